"""
What a drill saw, as plain data: runs, starts, checkpoints. Nothing here judges.

All times are seconds since the run was submitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_runai.drill.plan import DrillPlan

Ending = Literal["completed", "failed", "limit"]
SigtermHandler = Literal["first", "child", "ignored", "nobody", "unknown"]
"""Who handles SIGTERM: the first process, only one it started, nobody; ``ignored`` if it is thrown away on purpose."""


@dataclass(frozen=True)
class Write:
    """
    A checkpoint that appeared under its final name.

    :param step: training step, where its name or content tells one.
    :param in_place: it was filled under that name, instead of renamed when it was whole.
    """

    at: float
    name: str
    step: int | None = None
    in_place: bool = False


@dataclass(frozen=True)
class CheckpointSummary:
    """
    One checkpoint, read while nobody wrote; the fields are those of a checkpoint report.

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
        """Whether nothing is wrong with it, be it proven or not."""
        return self.verdict in ("valid", "unverifiable")


@dataclass(frozen=True)
class CheckpointState:
    """
    What lay there after a start had ended.

    :param newest: what a training that trusts names would resume from.
    :param best: the newest that is accepted.
    """

    newest: CheckpointSummary | None = None
    best: CheckpointSummary | None = None

    @property
    def kept(self) -> CheckpointSummary | None:
        """What can be gone on from; a newest one that cannot be read here is given the benefit of the doubt."""
        return self.newest if self.newest and self.newest.verdict == "unknown" else self.best


@dataclass(frozen=True)
class Start:
    """
    One incarnation: from one start of the process to its end.

    :param ready_at: when somebody in it first handled (or ignored) SIGTERM; ``None`` if never seen.
    :param signalled_at: when SIGTERM was sent; ``None`` if it was not preempted.
    :param killed: it outlived the grace period, or was killed in the middle of a write on purpose.
    :param first_process: name of the process that Run:ai started.
    :param standing: ``None`` if the run was cut short.
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
    def kept(self) -> CheckpointSummary | None:
        """The checkpoint that the next start can go on from."""
        return self.standing.kept if self.standing else None


@dataclass(frozen=True)
class TrainingRun:
    """
    A training from submission to its end.

    :param ended: ``limit`` if it was stopped because it took too long.
    :param log: the last lines of the last start.
    :param blind: why its checkpoints could not be seen; empty if they were, or if there is no sign
        of any.
    """

    kind: Literal["reference", "drill", "strike"]
    ended: Ending
    starts: tuple[Start, ...] = ()
    writes: tuple[Write, ...] = ()
    log: str = ""
    blind: str = ""

    @property
    def final(self) -> CheckpointSummary | None:
        """The checkpoint that is left at its end."""
        return self.starts[-1].kept if self.starts else None

    @property
    def saved(self) -> bool:
        """Whether any checkpoint was seen, on its way or lying there."""
        return bool(self.writes) or any(
            start.standing and start.standing.newest for start in self.starts
        )

    @property
    def preempted(self) -> tuple[Start, ...]:
        """The starts that were preempted."""
        return tuple(start for start in self.starts if start.signalled_at is not None)

    def written(self, start: Start) -> tuple[Write, ...]:
        """List the checkpoints of one start, oldest first."""
        return tuple(
            write for write in self.writes if start.started_at <= write.at <= start.ended_at
        )


@dataclass(frozen=True)
class DrillFacts:
    """
    Everything a drill saw.

    :param references: one or two uninterrupted runs.
    :param strike: a run that was killed in the middle of a write; only held if a write under a
        final name was seen.
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
        """Whether it ended as finished when it was told to stop, before it was where the uninterrupted run ends."""
        if self.run.ended != "completed" or self.run.starts[-1].signalled_at is None:
            return False
        mine, other = self.run.final, self.reference.final
        if mine is None or other is None:
            return True
        return mine.step != other.step if mine.step is not None else mine.digest != other.digest

    @property
    def pace(self) -> float | None:
        """
        Training steps a second of the uninterrupted run; ``None`` where checkpoints tell no steps.
        """
        told = [(write.at, write.step) for write in self.reference.writes if write.step is not None]
        if not told:
            return None
        if len(told) == 1:
            told.insert(
                0, (self.reference.starts[0].ready_at or self.reference.starts[0].started_at, 0)
            )
        (begin, first), (end, last) = told[0], told[-1]
        return (last - first) / (end - begin) if end > begin and last > first else None
