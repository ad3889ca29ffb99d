"""
How a wait ended, and the one mapping in which that crosses from the triggerer to a worker.

The event carries all that the worker needs: Airflow's ``dag.test()`` drops the keyword arguments of
``defer`` as soon as an event arrives, and a worker that wakes up days later has no memory of the
submission.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from math import isfinite
from typing import TypeVar

from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.phases import Meaning, meaning
from airflow_runai.core.progress import StepProgress
from airflow_runai.core.texts import cut, plural, said
from airflow_runai.core.timeline import Clocks, Moment, bounded, merge
from airflow_runai.core.workload import Workload

T = TypeVar("T")

SUCCEEDED = "succeeded"
FAILED = "failed"
STOPPED = "stopped"
GONE = "gone"
TIMED_OUT = "timed_out"
STALLED = "stalled"
STATUSES = frozenset({SUCCEEDED, FAILED, STOPPED, GONE, TIMED_OUT, STALLED})
#: Fields that are plain texts, in :class:`Outcome` and in its event.
_TEXTS = ("workload_id", "name", "phase", "reason", "project_id", "cluster_id", "kind")


@dataclass(frozen=True)
class Outcome:
    """
    The only ways in which a wait ends.

    :param status: one of :data:`STATUSES`.
    :param reason: a sentence for people: which clock ran out, what the platform said.
    :param ended_at: epoch seconds of the last reading.
    :param absent: it could not be found for a long time, and is not listed as deleted.
    :param project_id: needed, as are ``cluster_id`` and ``kind``, to look again.
    :param reasons: why, as far as the platform tells: sentences of ``core/reasons``.
    :param log: what is still to be written of the workload's log; see ``tasks/log_tail.py``.
    :param progress: what was known of the training's steps.
    """

    status: str
    workload_id: str
    name: str
    phase: str
    reason: str
    ended_at: float
    clocks: Clocks = field(default_factory=Clocks)
    timeline: tuple[Moment, ...] = ()
    absent: bool = False
    project_id: str = ""
    cluster_id: str = ""
    kind: str = ""
    reasons: tuple[str, ...] = ()
    log: JsonMapping = field(default_factory=dict)
    progress: StepProgress | None = None

    @property
    def has_run(self) -> bool:
        """Whether the workload was seen to run."""
        return any(meaning(moment.phase) is Meaning.RUNNING for moment in self.timeline)

    def to_event(self) -> JsonObject:
        """Return plain JSON values; :meth:`from_event` is the inverse."""
        return {
            "status": self.status,
            "workload_id": self.workload_id,
            "name": self.name,
            "phase": self.phase,
            # Airflow stores the event, and a server's text may be long.
            "reason": cut(self.reason),
            "ended_at": self.ended_at,
            "clocks": self.clocks.to_dict(),
            "timeline": moments_to_json(self.timeline),
            "absent": self.absent,
            "project_id": self.project_id,
            "cluster_id": self.cluster_id,
            "kind": self.kind,
            "reasons": list(self.reasons),
            "log": dict(self.log),
            "progress": self.progress.to_json() if self.progress else None,
        }

    @classmethod
    def from_event(cls, event: JsonMapping) -> Outcome:
        """
        Read what :meth:`to_event` wrote.

        :raises ValueError: for an unknown status: an event that we do not understand must not pass
            as success.
        """
        status = event.get("status")
        if status not in STATUSES:
            raise ValueError(
                f"event.status: {status!r}; allowed: {', '.join(sorted(STATUSES))}. "
                "Was this trigger written by another version of the provider?"
            )
        return cls(
            status=status,
            ended_at=float(event.get("ended_at", 0.0)),
            clocks=_record(Clocks, event.get("clocks") or {}),
            timeline=tuple(_record(Moment, moment) for moment in event.get("timeline") or ()),
            absent=bool(event.get("absent")),
            reasons=tuple(map(str, event.get("reasons") or ())),
            log=event.get("log") or {},
            progress=StepProgress.from_json(event.get("progress")),
            **{key: str(event.get(key) or "") for key in _TEXTS},
        )

    def workload(self) -> Workload:
        """Return what is known of the workload, for another look."""
        return Workload(
            id=self.workload_id,
            name=self.name,
            phase=self.phase,
            project_id=self.project_id,
            cluster_id=self.cluster_id,
            kind=self.kind,
            created_at=self.timeline[0].at if self.timeline else 0.0,
        )

    @property
    def sentence(self) -> str:
        """Which workload ended in which way, and why; the reason may begin with the way itself."""
        return f"workload {self.name} {said(self.status, self.reason)}"

    @property
    def summary(self) -> str:
        """Which workload ended in which way, after how long."""
        clocks = self.clocks
        return (
            f"{self.name} {self.status} after {clocks.total:.0f} s "
            f"({clocks.running:.0f} s running, {plural(clocks.interruptions, 'interruption')})"
        )

    def to_news(self) -> JsonObject:
        """Return what the live timeline shows at its end."""
        return news(self.timeline, self.clocks, self.phase, self.reasons, self.progress)

    def to_result(self, project: str) -> JsonObject:
        """Return the small mapping that the operator leaves as its result."""
        times = {meaning(moment.phase): moment.at for moment in reversed(self.timeline)}
        return {
            "workload_id": self.workload_id,
            "name": self.name,
            "project": project,
            "phase": self.phase,
            "submitted_at": self.timeline[0].at if self.timeline else None,
            "started_at": times.get(Meaning.RUNNING),
            "ended_at": self.ended_at,
            "clocks": self.clocks.to_dict(),
            # Again at the top, where a branch or a mail template looks for them.
            "interruptions": self.clocks.interruptions,
            "preemptions": self.clocks.preemptions,
            "progress": self.progress.to_json() if self.progress else None,
        }


def _record(cls: Callable[..., T], value: JsonMapping) -> T:
    """Leave out what another version of this package has added."""
    parameters = signature(cls).parameters
    return cls(**{key: entry for key, entry in value.items() if key in parameters})


def news(
    timeline: tuple[Moment, ...],
    clocks: Clocks,
    phase: str,
    reasons: Sequence[str] = (),
    progress: StepProgress | None = None,
) -> JsonObject:
    """Return what is published of a workload, during the wait and at its end, in one shape."""
    shown = {"timeline": moments_to_json(timeline), "clocks": clocks.to_dict(), "phase": phase}
    if reasons:
        shown["reasons"] = list(reasons)
    return {**shown, "progress": progress.to_json()} if progress else shown


def moments_from_json(value: object) -> tuple[Moment, ...]:
    """Read what :func:`news` has published; leave out what is not a moment."""
    listed = value.get("timeline") if isinstance(value, Mapping) else None
    entries = listed if isinstance(listed, (list, tuple)) else ()
    moments = (_moment(entry) for entry in entries if isinstance(entry, Mapping))
    return merge(moment for moment in moments if moment is not None)


def _moment(entry: JsonMapping) -> Moment | None:
    at, phase = entry.get("at"), entry.get("phase")
    if not isinstance(phase, str) or not isinstance(at, (int, float)):
        return None
    # JSON of Python's may hold NaN, and a boolean is an int to it.
    if isinstance(at, bool) or not isfinite(at):
        return None
    return Moment(float(at), phase, str(entry.get("message") or ""))


def moments_to_json(timeline: tuple[Moment, ...]) -> list[JsonObject]:
    """Return the bounded timeline as plain JSON, oldest first."""
    return [{"at": m.at, "phase": m.phase, "message": cut(m.message)} for m in bounded(timeline)]
