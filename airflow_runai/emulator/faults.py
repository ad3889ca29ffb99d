"""
Faults on demand: what a network, a gateway or a newer server may do to a client.

A fault fits a method and a path pattern and lasts for a number of calls or of seconds. The first
one that fits is used. Faults are planned and waited for here; ``application.py`` carries them out.
"""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

#: Text that breaks databases, encoders and terminals: NUL, red ink, a bell, right to left, a line's
#: end, half a character.
HOSTILE_TEXT = "nul \x00 ink \x1b[31m bell \x07 turn \u202e line \u2028 half \ud83d"

#: Between two looks of a call that waits: are the faults cleared?
_SECONDS_PER_LOOK = 0.05

KINDS = {
    "status": "answer with `status` (and Retry-After: `retry_after`) and do nothing",
    "html": "answer 502 (or `status`) with an HTML page and do nothing",
    "slow": "wait `seconds`, then go on as usual",
    "lose_reply": "do it, wait `seconds`, then close the connection without an answer",
    "reset": "reset the connection and do nothing",
    "deliver_late": "close the connection without an answer, and do it `seconds` later",
    "stale_list": "lists show the world as it was `seconds` ago, deletions included",
    "empty_list": "lists are empty",
    "hide_new": "a workload younger than `seconds` answers 404",
    "hide": "workloads whose name fits the pattern `name` answer 404 and are in no list",
    "skew": "the header `Date` is wrong by `seconds`; less than 0: behind",
    "future": "a newer server: phases renamed, fields added",
    "missing_fields": "leave out the fields named in `missing` wherever they occur",
    "replace": "put `text` in place of the fields named in `fields` (by default `phaseMessage`) "
    "wherever they occur",
    "from_before_3_0": "suspend and resume of workloads whose name fits the pattern `name` are "
    "accepted and do nothing, as for those from before an upgrade to Run:ai 3.0",
    "stuck_resuming": "a workload that is resumed stays `Resuming` until it is deleted",
    "show_deleted": "a deleted workload is still found by its id, with `deletedAt`",
    "unnamed_preemption": "preemptions happen, but no message calls them so",
}


@dataclass
class Fault:
    """
    One fault.

    :param kind: one of ``KINDS``.
    :param path: pattern with ``*`` (which also stands for ``/``), matched against the path without
        query.
    :param method: HTTP method, or ``*``.
    :param times: for how many calls; None until it is removed.
    :param lasts: for how many seconds of the emulator's clock; None for no such limit.
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
    lasts: float | None = None
    missing: tuple[str, ...] = ("category", "phaseUpdatedAt")
    fields: tuple[str, ...] = ("phaseMessage",)
    text: str = HOSTILE_TEXT
    name: str = "*"
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: {self.kind!r} is not a fault; use one of {', '.join(KINDS)}")
        if self.times is not None and self.times < 1:
            raise ValueError(
                f"times: {self.times} is not 1 or more; leave it null to last until removed"
            )

    def fits(self, method: str, path: str) -> bool:
        """Whether the fault is for this call."""
        return self.method in ("*", method) and fnmatchcase(path, self.path)

    def pause(self, limit: float = 300.0) -> float:
        """Seconds to wait."""
        return min(self.seconds, limit)


class Faults:
    """
    The planned faults.

    :param now: returns the time in epoch seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._planned: list[Fault] = []
        self._ends: dict[str, float] = {}
        self._cleared = 0  # how often

    def add(self, kind: str, **details: Any) -> Fault:
        """
        Plan a fault; the details are the fields of :class:`Fault`.

        :raises ValueError: the kind or a detail is unknown.
        """
        allowed = {item.name for item in fields(Fault)} - {"id", "kind"}
        unknown = sorted(set(details) - allowed)
        if unknown:
            names = ", ".join(sorted(allowed))
            raise ValueError(f"{unknown[0]}: not a detail of a fault; known are {names}")
        for name in {"missing", "fields"} & details.keys():
            details[name] = tuple(details[name])
        fault = Fault(kind, **details)
        self._planned.append(fault)
        if fault.lasts is not None:
            self._ends[fault.id] = self._now() + fault.lasts
        return fault

    def clear(self) -> None:
        """Forget all faults; calls that they let wait go on."""
        self._planned.clear()
        self._cleared += 1

    async def pause(self, fault: Fault) -> None:
        """Wait as long as a fault says, or until all are forgotten."""
        clock, cleared = asyncio.get_running_loop().time, self._cleared
        end = clock() + fault.pause()
        # No event: any thread may clear them, and an event belongs to one loop.
        while self._cleared == cleared and (left := end - clock()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, _SECONDS_PER_LOOK))

    def planned(self) -> list[Mapping[str, Any]]:
        """List the faults that are still to come."""
        return [asdict(fault) for fault in self._present()]

    def take(self, method: str, path: str) -> list[Fault]:
        """
        Return the faults for this call, and count it.

        One fault decides what happens to the call; faults that change only the answer apply beside
        it.
        """
        taken: list[Fault] = []
        for fault in [fault for fault in self._present() if fault.fits(method, path)]:
            decided = any(other.kind in _DECIDING for other in taken)
            # A call that is let pass counts, too.
            if fault.after > 0:
                fault.after -= 1
            elif fault.kind not in _DECIDING or not decided:
                taken.append(fault)
                self._count(fault)
        return taken

    def _present(self) -> list[Fault]:
        now = self._now()
        self._planned = [one for one in self._planned if now < self._ends.get(one.id, math.inf)]
        return self._planned

    def _count(self, fault: Fault) -> None:
        # Without a number it stays until it is removed.
        if fault.times is not None:
            fault.times -= 1
            if fault.times == 0:
                self._planned.remove(fault)


#: Kinds that decide what happens to a call; the others change only its answer.
_DECIDING = frozenset(
    {
        "status",
        "html",
        "slow",
        "lose_reply",
        "reset",
        "deliver_late",
    }
)
