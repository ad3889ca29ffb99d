"""
Conversations with the outside world, written once for blocking and asynchronous use.

A *flow* is a generator. It yields steps (a request, a sleep, a file to read), receives the answer
to each, and returns its result. It never sends, reads or sleeps itself: :func:`drive` performs its
steps one after the other and blocks, :func:`adrive` awaits each; tests answer by hand. What a step
fails with is raised in the flow, at its ``yield``.

A conversation with the control plane yields the steps that are defined here, and gets a
:class:`Reply` for each; ``backends/drivers.py`` performs them.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias, TypeVar, cast

S = TypeVar("S")
A = TypeVar("A")
T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """
    One HTTP request, relative to the control plane's address.

    :param path: or a whole address of a cluster's own API; the token goes there, too.
    :param params: query parameters in order; a sequence, because order makes logs and tests
        readable.
    :param json: JSON body; mutually exclusive with ``form``. Bodies may hold secrets: neither is in
        the ``repr``.
    :param form: form-encoded body (the OAuth token call).
    :param headers: additional headers; never logged.
    :param rank: whose turn it is where requests have to queue; see ``backends/throttle.py``.
    :param decode: turns the body of a good reply into :attr:`Reply.body`; raises ``ValueError`` for
        one that is not JSON. For large lists, of which little is kept.
    :param keep: bytes of the end of the body that are kept; ``None`` for all of it.
    """

    method: str
    path: str
    params: Sequence[tuple[str, str]] = ()
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    rank: int = 1
    decode: Callable[[bytes | bytearray], Any] | None = field(
        default=None, repr=False, compare=False
    )
    keep: int | None = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether it goes to a cluster, and not to the control plane."""
        return "://" in self.path

    def with_header(self, name: str, value: str) -> Request:
        """Return the same request with one more header."""
        return replace(self, headers={**self.headers, name: value})


@dataclass(frozen=True, slots=True)
class Sleep:
    """
    Let time pass.

    :param seconds: at least 0.
    :param jitter: share by which the driver may lengthen the sleep at random (1: up to twice as
        long), so that many waits do not march in step.
    """

    seconds: float
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class Notice:
    """
    Something that an observer may want to see now (a new phase, an outage); not an end.

    :param kind: ``timeline`` (the newest phase, with all that is known), ``moment`` (one before it,
        seen only now), ``trouble``, or ``retry`` (what went wrong, and until when it is tried
        again); without text, for what goes on beside a wait: ``sighting`` (the first reading holds
        no news), ``departure`` (an incarnation leaves or has left, and its history is read next)
        and ``end`` (with ``status`` and ``reason``).
    """

    kind: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


class Signal:
    """An event that one flow sets and others wait for."""

    __slots__ = ("_is_set", "_listeners")

    def __init__(self) -> None:
        self._is_set = False
        self._listeners: list[Callable[[], object]] = []

    def set(self) -> None:
        """Wake everyone who waits for it."""
        self._is_set = True
        for listener in tuple(self._listeners):
            listener()

    def add_listener(self, listener: Callable[[], object]) -> None:
        """Call ``listener`` when the signal is set; at once, if it is already."""
        self._listeners.append(listener)
        # Registered first: a signal that is set in between calls twice, but is never missed.
        if self._is_set:
            listener()

    def remove_listener(self, listener: Callable[[], object]) -> None:
        """Forget a listener."""
        self._listeners.remove(listener)


@dataclass(frozen=True, slots=True)
class Wait:
    """
    Wait until another flow sets a signal, or some time has passed.

    :param seconds: at most so long, at least 0; infinite for no limit.
    """

    signal: Signal
    seconds: float = math.inf


@dataclass(frozen=True, slots=True)
class Open:
    """
    Send a request whose body has no end yet, and read it by :class:`NextLine`.

    A good reply has no body; a bad one comes whole, and leaves nothing open. A flow has one stream:
    opening another one closes it, and so does the end of the flow, however it ends.

    :param request: neither its ``decode`` nor its ``keep`` counts.
    :param silence: seconds without a byte after which the other side is taken for lost; infinite
        for never.
    :param limit: bytes of a line that are kept; the rest of it is skipped.
    """

    request: Request
    silence: float
    limit: int = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class NextLine:
    """
    Wait for the next line of the open stream; raises ``Silent`` after the silence.

    The reply's body is the line, as bytes without its end, or ``None`` after the last one. A stream
    that breaks has ended: streams of servers that restart, and of gateways, always break, and what
    follows is the same. Half a line before a break is dropped.
    """


@dataclass(frozen=True, slots=True)
class Reply:
    """
    The answer to a step.

    :param status: HTTP status; 0 after any step but a :class:`Request` and an :class:`Open`.
    :param now: epoch seconds at which the reply was complete.
    :param body: decoded JSON, or ``None`` where the body was empty or not JSON; of a
        :class:`NextLine`, the line.
    :param text: the raw text, cut, for messages where ``body`` is ``None``.
    """

    status: int
    now: float
    body: Any = None
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


Step: TypeAlias = Request | Sleep | Notice | Wait | Open | NextLine
Flow: TypeAlias = Generator[Step, Reply, T]


def now() -> Flow[float]:
    """Ask the driver for the present moment (epoch seconds)."""
    return (yield Sleep(0)).now


def through(flow: Flow[T], send: Callable[[Request], Flow[Reply]]) -> Flow[T]:
    """Return the flow with each of its requests sent by another flow."""
    try:
        step = next(flow)
        while True:
            try:
                reply = (yield from send(step)) if isinstance(step, Request) else (yield step)
            except Exception as error:
                step = flow.throw(error)
            else:
                step = flow.send(reply)
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        flow.close()


class Lock:
    """Lets one flow at a time through; the others wait without polling."""

    def __init__(self) -> None:
        self._released: Signal | None = None

    def hold(self, flow: Flow[T]) -> Flow[T]:
        """Run ``flow`` when no other flow holds the lock; release it however that ends."""
        while self._released is not None:
            yield Wait(self._released)
        released = self._released = Signal()
        try:
            return (yield from flow)
        finally:
            # Two threads may have taken it at the same moment: each frees those that wait for it.
            if self._released is released:
                self._released = None
            released.set()


class Holder(Protocol):
    """What performs steps, and may leave something open."""

    def release(self) -> Awaitable[object] | None:
        """Give it back; await the result, if there is one."""


def drive(flow: Generator[S, A, T], perform: Callable[[S], A], holder: Holder | None = None) -> T:
    """
    Perform the steps of a flow, blocking, until it returns.

    :param perform: performs one step and returns the answer. An ``Exception`` that it raises is
        raised in the flow; anything else (``KeyboardInterrupt``) closes the flow and passes
        through.
    :param holder: gives back at the end, whichever it is, what performing has left open.
    """
    try:
        step = next(flow)
        while True:
            try:
                answer = perform(step)
            except Exception as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        flow.close()
        if holder:
            holder.release()


async def adrive(
    flow: Generator[S, A, T],
    perform: Callable[[S], Awaitable[A]],
    holder: Holder | None = None,
) -> T:
    """
    Perform the steps of a flow on an event loop; the parameters are those of :func:`drive`.

    Cancellation closes the flow and passes through.
    """
    try:
        step = next(flow)
        while True:
            try:
                performing = perform(step)
                # Neither the step nor the last answer is kept: thousands of flows sleep for days.
                del step
                answer = await performing
            except Exception as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
                del answer
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        flow.close()
        if holder and (closing := holder.release()):
            await closing
