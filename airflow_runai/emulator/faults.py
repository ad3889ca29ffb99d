"""
Faults on demand: what a network, a gateway or a newer server may do to a client.

A fault fits a method and a path pattern and lasts for a number of calls. The first fitting one is used. Here
is only what is to happen; ``application.py`` makes it happen.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

__all__ = ["Fault", "Faults"]

KINDS = {
    "status": "answer with `status` (and Retry-After: `retry_after`) and do nothing",
    "html": "answer 502 (or `status`) with an HTML page and do nothing",
    "slow": "wait `seconds`, then go on as usual",
    "lose_reply": "do it, wait `seconds`, then close the connection without an answer",
    "reset": "reset the connection and do nothing",
    "stale_list": "lists show the world as it was `seconds` ago",
    "hide_new": "a workload younger than `seconds` answers 404",
    "future": "a newer server: phases renamed, fields added",
    "missing_fields": "leave out the fields named in `missing` wherever they occur",
}


@dataclass
class Fault:
    """
    One fault.

    :param kind: one of ``KINDS``.
    :param path: pattern with ``*`` (which also stands for ``/``), matched against the path without query.
    :param method: HTTP method, or ``*``.
    :param times: for how many calls; None until it is removed.
    :param after: how many fitting calls to let pass first.
    """

    kind: str
    path: str = "*"
    method: str = "*"
    times: int | None = 1
    after: int = 0
    status: int = 503
    retry_after: float | None = None
    seconds: float = 0.0
    missing: tuple[str, ...] = ("category", "phaseUpdatedAt")
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: {self.kind!r} is not a fault; use one of {', '.join(KINDS)}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times: {self.times} is not 1 or more; leave it null to last until removed")

    def fits(self, method: str, path: str) -> bool:
        """Say whether this call is meant."""
        return self.method in ("*", method) and fnmatchcase(path, self.path)

    def pause(self, limit: float = 300.0) -> float:
        """Tell how long to wait, in seconds."""
        return min(self.seconds, limit)


class Faults:
    """The faults that are planned."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []

    def add(self, kind: str, **details: Any) -> Fault:
        """
        Plan a fault; the details are the fields of :class:`Fault`.

        :raises ValueError: the kind or a detail is not known.
        """
        known = {item.name for item in fields(Fault)} - {"id", "kind"}
        unknown = sorted(set(details) - known)
        if unknown:
            raise ValueError(f"{unknown[0]}: not a detail of a fault; known are {', '.join(sorted(known))}")
        if "missing" in details:
            details["missing"] = tuple(details["missing"])
        fault = Fault(kind, **details)
        self._planned.append(fault)
        return fault

    def clear(self) -> None:
        """Forget all faults."""
        self._planned.clear()

    def planned(self) -> list[Mapping[str, Any]]:
        """List the faults that are still to come."""
        return [asdict(fault) for fault in self._planned]

    def take(self, method: str, path: str) -> list[Fault]:
        """
        Get the faults for this call, and count it.

        One fault decides what happens to the call; faults that only colour the answer apply beside it.
        """
        taken: list[Fault] = []
        for fault in [fault for fault in self._planned if fault.fits(method, path)]:
            if fault.after > 0:
                fault.after -= 1
            elif fault.kind in _COLOURS or all(other.kind in _COLOURS for other in taken):
                taken.append(fault)
                self._count(fault)
        return taken

    def _count(self, fault: Fault) -> None:
        if fault.times is not None:
            fault.times -= 1
            if fault.times == 0:
                self._planned.remove(fault)


_COLOURS = frozenset({"stale_list", "hide_new", "future", "missing_fields"})
