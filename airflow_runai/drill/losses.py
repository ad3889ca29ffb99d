"""
What each preemption cost, and what preemptions would cost a day.

    overhead of a preemption = work lost + time to stop + time to start
    overhead a day           = preemptions a day × mean overhead of a preemption

Work is lost from the checkpoint that the training resumes from until the signal; or until the end,
if it had to be killed: then the time to stop is part of it. Waiting for a node does not count: that
is up to the cluster, not to the training.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_runai.drill.facts import CheckpointSummary, DrillFacts, Start

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
    What preemptions would cost at a rate.

    :param rate: preemptions a day.
    :param overhead: mean seconds a preemption.
    :param seconds_per_day: of overhead; at most a day.
    """

    rate: float
    overhead: float
    seconds_per_day: float

    @property
    def share(self) -> float:
        """Part of the day that is lost, 0 to 1."""
        return self.seconds_per_day / _DAY


def losses(facts: DrillFacts) -> tuple[Loss, ...]:
    """
    Account for every preemption that the training came back from.

    One after which it crashes is left out, and so are all if no checkpoint could be read: the
    training may have lost nothing.
    """
    run = facts.run
    if run.blind:
        return ()
    crashed = run.starts[-1] if run.ended == "failed" else None
    return tuple(
        _loss(facts, start, then) for start, then in run.resumptions if then is not crashed
    )


def cost(facts: DrillFacts, losses: tuple[Loss, ...]) -> Cost | None:
    """Return the cost at the plan's rate; ``None`` if there was no preemption to measure."""
    if not losses:
        return None
    mean = sum(loss.overhead for loss in losses) / len(losses)
    # A whole day of overhead means that it never ends.
    return Cost(facts.plan.rate, mean, min(_DAY, mean * facts.plan.rate))


def restarts_from_scratch(facts: DrillFacts) -> bool:
    """
    Return whether it loses everything at a preemption: nothing was kept, or it restarts at step 0.

    The few seconds of a drill do not show what that costs: all work since the last preemption.
    """
    run = facts.run
    if run.blind or not run.preempted:
        return False
    if not any(start.standing and start.standing.newest for start in run.preempted):
        return True
    for start, then in run.resumptions:
        checkpoint = start.resumable
        lost = steps_behind(facts, then, checkpoint)
        if checkpoint and checkpoint.step and lost == checkpoint.step:
            return True
    return False


def steps_behind(
    facts: DrillFacts, start: Start, checkpoint: CheckpointSummary | None
) -> int | None:
    """
    Return by how many steps a start fell behind an earlier checkpoint; 0 if it resumed from it.

    The first checkpoint that it writes shows this: a training that starts from scratch first
    writes the one that every fresh training writes first. ``None`` where nothing shows it.
    """
    times = facts.run.step_times(start)
    if checkpoint is None or checkpoint.step is None or not times:
        return None
    at, step = times[0]
    is_saved_again = step == checkpoint.step and not _took_as_long_as_fresh(facts, start, at, step)
    if step > checkpoint.step or is_saved_again:
        return 0
    fresh_times = facts.reference.step_times()
    fresh_step = fresh_times[0][1] if fresh_times else step
    return checkpoint.step - max(0, step - fresh_step)


def _took_as_long_as_fresh(facts: DrillFacts, start: Start, at: float, step: int) -> bool:
    """Return whether its first checkpoint took as long as the same one of a fresh training."""
    fresh_times = facts.reference.step_times()
    if not fresh_times or fresh_times[0][1] != step:
        return False
    fresh_seconds = fresh_times[0][0] - facts.reference.starts[0].trains_from
    # Half, since no two starts take the same; one that resumed here saves this step at once.
    return at - start.trains_from >= fresh_seconds / 2


def _loss(facts: DrillFacts, start: Start, then: Start) -> Loss:
    # The grace period of a start that had to be killed is lost work; else it is time to stop.
    signalled_at = start.signalled_at or start.ended_at
    until = start.ended_at if start.killed else signalled_at
    seconds, pace = max(0.0, until - _saved_at(facts, start)), facts.pace
    steps = None if pace is None else round(seconds * pace)
    behind = steps_behind(facts, then, start.resumable)
    if behind:
        # The next start repeats these, too, at the pace of the uninterrupted run.
        steps = behind + (steps or 0)
        seconds += behind / pace if pace else 0.0
    return Loss(
        start.number,
        seconds,
        steps,
        stop_seconds=start.stop_seconds,
        start_seconds=0.0 if then.ready_at is None else then.ready_at - then.started_at,
        killed=start.killed,
    )


def _saved_at(facts: DrillFacts, start: Start) -> float:
    """Return since when work is lost; work of earlier starts is part of their own losses."""
    checkpoint = start.resumable
    times = [
        write.at
        for write in facts.run.written(start)
        if checkpoint is not None and write.name == checkpoint.name
    ]
    # A name may be written twice: the last write is what is left.
    return max([start.trains_from, *times[-1:]])
