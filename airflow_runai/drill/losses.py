"""
What each preemption cost, and what preemptions would cost a day.

    overhead of a preemption = work lost + time to stop + time to start
    overhead a day           = preemptions a day × mean overhead of a preemption

Work is lost from the last checkpoint that the training went on from, up to the signal; or up to the
end, if it had to be killed: then the time to stop is in it already. Waiting for a node is no part
of it: that is the cluster's, not the training's.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from airflow_runai.drill.facts import CheckpointSummary, DrillFacts, Start, Write

_DAY = 86400.0


@dataclass(frozen=True)
class Loss:
    """
    One preemption.

    :param seconds: of work that was done and is lost.
    :param steps: the same in training steps; ``None`` where checkpoints tell none.
    :param stop_seconds: from SIGTERM to the end of the process.
    :param start_seconds: from the next start until it handles SIGTERM (imports, loading); 0 if it
        never does.
    :param killed: it did not end by itself.
    """

    number: int
    seconds: float
    steps: int | None
    stop_seconds: float
    start_seconds: float
    killed: bool = False

    @property
    def overhead(self) -> float:
        """All of it, in seconds."""
        return self.seconds + self.start_seconds + (0.0 if self.killed else self.stop_seconds)


@dataclass(frozen=True)
class Cost:
    """
    What it would cost at a rate.

    :param rate: preemptions a day.
    :param overhead: mean seconds a preemption.
    :param seconds_per_day: of overhead; at most a day.
    """

    rate: float
    overhead: float
    seconds_per_day: float

    @property
    def share(self) -> float:
        """Part of the day that is spent on it, 0 to 1."""
        return self.seconds_per_day / _DAY


def losses(facts: DrillFacts) -> tuple[Loss, ...]:
    """
    Account for every preemption that the training came back from; one after which it crashes has no price.

    Nothing is said of a training whose checkpoints could not be seen: it may have lost nothing.
    """
    if facts.run.blind:
        return ()
    starts = facts.run.starts[:-1] if facts.run.ended == "failed" else facts.run.starts
    return tuple(
        _loss(facts, one, then) for one, then in pairwise(starts) if one.signalled_at is not None
    )


def cost(facts: DrillFacts, found: tuple[Loss, ...]) -> Cost | None:
    """Say what preemptions cost at the plan's rate; ``None`` if there was none to measure."""
    if not found:
        return None
    mean = sum(loss.overhead for loss in found) / len(found)
    return Cost(facts.plan.rate, mean, min(_DAY, mean * facts.plan.rate))


def restarts_from_scratch(facts: DrillFacts) -> bool:
    """
    Whether it loses everything at each preemption: nothing was kept, or a start began again at step 0.

    What that costs is no matter of this drill's few seconds: it is all that was done since the last
    preemption.
    """
    if facts.run.blind or not facts.run.preempted:
        return False
    if not any(one.standing and one.standing.newest for one in facts.run.preempted):
        return True
    pairs = [
        (one.kept, then) for one, then in pairwise(facts.run.starts) if one.signalled_at is not None
    ]
    return any(
        kept and kept.step and steps_behind(facts, then, kept) == kept.step for kept, then in pairs
    )


def steps_behind(facts: DrillFacts, then: Start, kept: CheckpointSummary | None) -> int | None:
    """
    Say by how many steps a start fell behind the checkpoint that lay there; 0 if it went on from it.

    Told by the first checkpoint that it writes: a training that begins anew writes the one that
    every fresh training writes first. ``None`` where nothing tells.
    """
    first = next((write for write in facts.run.written(then) if write.step is not None), None)
    if kept is None or kept.step is None or first is None or first.step is None:
        return None
    if first.step > kept.step or (first.step == kept.step and not _redone(facts, then, first)):
        return 0
    fresh = next(
        (write.step for write in facts.reference.writes if write.step is not None), first.step
    )
    return kept.step - max(0, first.step - fresh)


def _redone(facts: DrillFacts, then: Start, first: Write) -> bool:
    """
    Whether a start took as long for its first checkpoint as a fresh training does for the same one.
    """
    fresh = next((write for write in facts.reference.writes if write.step is not None), None)
    if fresh is None or fresh.step != first.step:
        return False
    begin = facts.reference.starts[0]
    needed = fresh.at - (begin.ready_at or begin.started_at)
    return first.at - (then.ready_at or then.started_at) >= needed / 2


def _loss(facts: DrillFacts, one: Start, then: Start) -> Loss:
    assert one.signalled_at is not None
    kept = one.kept
    until = one.ended_at if one.killed else one.signalled_at
    seconds = max(0.0, until - _saved_at(facts, one, kept))
    pace = facts.pace
    steps = None if pace is None else round(seconds * pace)
    back = steps_behind(facts, then, kept)
    if back:
        steps = back + (steps or 0)
        seconds += back / pace if pace else 0.0
    stop = one.ended_at - one.signalled_at
    start = then.ready_at - then.started_at if then.ready_at is not None else 0.0
    return Loss(one.number, seconds, steps, stop, start, one.killed)


def _saved_at(facts: DrillFacts, one: Start, kept: CheckpointSummary | None) -> float:
    """When the checkpoint was written that is gone on from; work of earlier starts was accounted for before."""
    begin = one.ready_at or one.started_at
    if kept is None:
        return begin
    written = [write.at for write in facts.run.written(one) if write.name == kept.name]
    return max(written[-1] if written else begin, begin)
