"""
Conversations with a server, written once for blocking and asynchronous use.

A *flow* is a generator. It yields what it wants done (:class:`Request`, :class:`Sleep` or
:class:`Notice`), receives a :class:`Reply`, and returns its result. It never sends or sleeps
itself: ``backends/drivers.py`` has one driver that blocks and one that awaits, and tests feed
replies by hand. When the wire fails, the driver throws :class:`~airflow_runai.errors.Unreachable`
into the flow at the ``yield``.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """
    One HTTP request, relative to the control plane's address.

    :param params: query parameters in order; a sequence, because order makes logs and tests
        readable.
    :param json: JSON body; mutually exclusive with ``form``. Bodies may hold secrets: neither is in
        the ``repr``.
    :param form: form-encoded body (the OAuth token call).
    :param headers: additional headers; never logged.
    """

    method: str
    path: str
    params: Sequence[tuple[str, str]] = ()
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def with_header(self, name: str, value: str) -> Request:
        """Return the same request with one more header."""
        return replace(self, headers={**self.headers, name: value})


@dataclass(frozen=True)
class Sleep:
    """
    Let time pass.

    :param seconds: how long, at least 0.
    :param jitter: share (0–1) by which the driver may lengthen the sleep at random, so that many
        waits do not march in step.
    """

    seconds: float
    jitter: float = 0.0


@dataclass(frozen=True)
class Notice:
    """
    Something that an observer may want to see now (a new phase, an outage), not an end.

    :param kind: ``timeline`` or ``trouble``.
    """

    kind: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """
    What came back.

    :param status: HTTP status; 0 after a :class:`Sleep` or :class:`Notice`.
    :param now: epoch seconds at which the reply was complete.
    :param body: decoded JSON, or ``None`` where the body was empty or not JSON.
    :param text: the raw text, cut, for messages where ``body`` is ``None``.
    """

    status: int
    now: float
    body: Any = None
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


Step: TypeAlias = Request | Sleep | Notice
Flow: TypeAlias = Generator[Step, Reply, T]


def now() -> Flow[float]:
    """Ask the driver for the present moment (epoch seconds)."""
    return (yield Sleep(0)).now
