"""
What a drill observed, as plain data: runs, starts, checkpoints. Nothing here judges.

All times are seconds since the run was submitted. Names of fields are keys of the JSON report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from airflow_runai.core.completion import is_complete
from airflow_runai.drill.plan import DrillPlan

RunKind = Literal["reference", "drill", "strike"]
"""Never disturbed; preempted as planned; killed once, in the middle of a write."""
Ending = Literal["completed", "failed", "limit"]
SigtermHandler = Literal["first", "child", "ignored", "nobody", "unknown"]
"""The first process, only a child of it, or none; ``ignored`` if SIGTERM is dropped on purpose."""


@dataclass(frozen=True)
class Write:
    """
    A checkpoint that appeared under its final name.

    :param step: training step, where its name or content tells one.
    :param in_place: it was filled under that name, instead of renamed when it was complete.
    """

    at: float
    name: str
    step: int | None = None
    in_place: bool = False


@dataclass(frozen=True)
class CheckpointSummary:
    """
    One checkpoint, read while no process writes; the fields are those of a checkpoint report.

    :param verdict: as in the report; ``unknown`` also for formats that cannot be read here.
    """

    name: str
    verdict: str
    step: int | None = None
    digest: str | None = None
    message: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether no fault was found, proven or not."""
        return self.verdict in ("valid", "unverifiable")

    @property
    def undecided(self) -> bool:
        """Whether it could not be read here."""
        return self.verdict == "unknown"

    @property
    def rejected(self) -> bool:
        """Whether a fault was found."""
        return not self.accepted and not self.undecided


@dataclass(frozen=True)
class CheckpointState:
    """
    The checkpoints that a start left behind.

    :param newest: the one that a training resumes from if it trusts names.
    :param best: the newest one that is accepted.
    """

    newest: CheckpointSummary | None = None
    best: CheckpointSummary | None = None

    @property
    def resumable(self) -> CheckpointSummary | None:
        """The one to resume from; if the newest cannot be read here, it is taken for good."""
        return self.newest if self.newest and self.newest.undecided else self.best


@dataclass(frozen=True)
class Start:
    """
    One incarnation: from one start of the process to its end.

    :param ready_at: when a process of it first handled (or ignored) SIGTERM; ``None`` if none did.
    :param signalled_at: when SIGTERM was sent; ``None`` if it was not preempted.
    :param killed: it outlived the grace period, or was killed in the middle of a write on purpose.
    :param first_process: name of the process that Run:ai started.
    :param standing: the checkpoints after its end; ``None`` if the run was cut short.
    """

    number: int
    node: str
    started_at: float
    ended_at: float
    ready_at: float | None = None
    signalled_at: float | None = None
    exit_code: int | None = None
    killed: bool = False
    reach: SigtermHandler = "unknown"
    first_process: str = ""
    standing: CheckpointState | None = None

    @property
    def preempted(self) -> bool:
        """Whether SIGTERM was sent."""
        return self.signalled_at is not None

    @property
    def trains_from(self) -> float:
        """When its imports were done, as far as a handler of SIGTERM shows it."""
        return self.ready_at or self.started_at

    @property
    def stop_seconds(self) -> float:
        """From SIGTERM to the end of the process; 0 if it was not preempted."""
        return 0.0 if self.signalled_at is None else self.ended_at - self.signalled_at

    @property
    def resumable(self) -> CheckpointSummary | None:
        """The checkpoint that the next start can resume from."""
        return self.standing.resumable if self.standing else None


@dataclass(frozen=True)
class TrainingRun:
    """
    A training from submission to its end.

    :param ended: ``limit`` if it was stopped because it took too long.
    :param log: the last lines of the last start.
    :param blind: why its checkpoints could not be observed; empty if they were, or if there is no
        trace of any.
    """

    kind: RunKind
    ended: Ending
    starts: tuple[Start, ...] = ()
    writes: tuple[Write, ...] = ()
    log: str = ""
    blind: str = ""

    @property
    def final(self) -> CheckpointSummary | None:
        """The checkpoint that is left at its end."""
        return self.starts[-1].resumable if self.starts else None

    @property
    def saved(self) -> bool:
        """Whether there was any checkpoint, when it was written or after a start."""
        # A quick write may escape a watcher that polls.
        states = [start.standing for start in self.starts]
        return bool(self.writes) or any(state and state.newest for state in states)

    @property
    def preempted(self) -> tuple[Start, ...]:
        """The starts that were preempted."""
        return tuple(start for start in self.starts if start.preempted)

    @property
    def resumptions(self) -> tuple[tuple[Start, Start], ...]:
        """Each preempted start with the one that followed it."""
        return tuple(pair for pair in pairwise(self.starts) if pair[0].preempted)

    def written(self, start: Start) -> tuple[Write, ...]:
        """Return the checkpoints of one start, oldest first."""
        begin, end = start.started_at, start.ended_at
        # By time, because a name does not tell which start wrote it.
        return tuple(write for write in self.writes if begin <= write.at <= end)

    def step_times(self, start: Start | None = None) -> list[tuple[float, int]]:
        """Return time and step of each checkpoint (of one start) whose step is known."""
        writes = self.written(start) if start else self.writes
        return [(write.at, write.step) for write in writes if write.step is not None]


@dataclass(frozen=True)
class DrillFacts:
    """
    Everything that a drill observed.

    :param references: one or two uninterrupted runs.
    :param kill_during_write: a run that was killed in the middle of a write; only held if a write
        under a final name was observed.
    """

    plan: DrillPlan
    run: TrainingRun
    references: tuple[TrainingRun, ...]
    kill_during_write: TrainingRun | None = None

    @property
    def reference(self) -> TrainingRun:
        """The uninterrupted run to compare with."""
        return self.references[0]

    @property
    def cut_short(self) -> bool:
        """Whether SIGTERM made it end as completed before the end of the uninterrupted run."""
        if self.run.ended != "completed":
            return False
        told_to_leave = self.run.starts[-1].preempted
        return not is_complete(told_to_leave=told_to_leave, reached_end=self._reached_end)

    @property
    def _reached_end(self) -> bool:
        """Whether the last checkpoint is that of the uninterrupted run."""
        final, expected = self.run.final, self.reference.final
        if final is None or expected is None:
            return False
        if final.step is None:
            return final.digest == expected.digest
        return final.step == expected.step

    @property
    def pace(self) -> float | None:
        """Steps a second of the uninterrupted run; ``None`` where checkpoints tell no steps."""
        points = self.reference.step_times()
        if len(points) == 1:  # with the start of the training, one checkpoint is enough
            points.insert(0, (self.reference.starts[0].trains_from, 0))
        if not points:
            return None
        (begin, first), (end, last) = points[0], points[-1]
        return (last - first) / (end - begin) if end > begin and last > first else None
