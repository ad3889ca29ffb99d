"""Checks on what a training does with its checkpoints: whether it goes on, does no step twice, comes out the same."""

from __future__ import annotations

from itertools import pairwise

from airflow_runai.drill.answers import Answer, fails, passes, unknown
from airflow_runai.drill.facts import Facts, Seen
from airflow_runai.drill.losses import steps_back

__all__ = ["position", "result", "resumed"]

_NO_STEP = "let names or contents of checkpoints tell the step: step-00000042, checkpoint-42, a manifest"
_WHOLE_STATE = (
    "save and load all that the next step depends on: step, epoch and place in it, optimizer, random generators"
)


def resumed(facts: Facts) -> Answer:
    """Whether each start went on from the newest valid checkpoint."""
    pairs = [(one, then) for one, then in pairwise(facts.run.starts) if one.signalled_at is not None]
    if facts.run.blind:
        return unknown(f"no checkpoint was seen: {facts.run.blind}")
    if not pairs:
        return unknown("it was never started again")
    if not facts.run.saved:
        return fails(
            f"there was no checkpoint to go on from: each of {len(pairs)} further starts began anew",
            "save checkpoints, and load the newest valid one at every start",
        )
    kept = [(then, one.kept) for one, then in pairs]
    backs = [(then, seen, steps_back(facts, then, seen)) for then, seen in kept]
    for then, seen, back in backs:
        if back and seen:
            return fails(
                _fell_back(then.number, seen, back), "load the newest valid checkpoint at every start, and its step"
            )
    known = [back for *_, back in backs if back is not None]
    if known:
        return passes(f"{len(known)} of {len(pairs)} further starts went on from the newest checkpoint")
    no_step = any(seen is not None and seen.step is None for _, seen in kept)
    return (
        unknown("checkpoints tell no step", _NO_STEP)
        if no_step
        else unknown(
            "no start lived long enough to show it by a checkpoint", "use a longer --preempt-after, or save more often"
        )
    )


def _fell_back(number: int, seen: Seen, back: int) -> str:
    where = "at step 0" if back == seen.step else f"{back} steps behind it"
    return f"start {number} found {seen.name} (step {seen.step}) and began again {where}"


def position(facts: Facts) -> Answer:
    """Whether as many steps were done as without preemptions."""
    undecided = _unfinished(facts)
    if undecided:
        return undecided
    mine, other = facts.run.final, facts.reference.final
    if mine is None or other is None or mine.step is None or other.step is None:
        return unknown("the last checkpoints tell no step", _NO_STEP)
    again = sum(steps_back(facts, then, one.kept) or 0 for one, then in pairwise(facts.run.starts))
    done = mine.step + again
    if done == other.step:
        return passes(f"{done} steps, as without preemptions")
    if done < other.step:
        return fails(f"{done} steps, {other.step} without preemptions: it skips some", _WHOLE_STATE)
    how = "it goes back to an earlier step" if again else "it resumes its weights but not its place in the training"
    return fails(
        f"{done} steps, {other.step} without preemptions: {how}, and repeats {done - other.step} steps", _WHOLE_STATE
    )


def result(facts: Facts) -> Answer:
    """Whether the last checkpoint is the one of an uninterrupted run."""
    undecided = _unfinished(facts)
    if undecided:
        return undecided
    mine, other = facts.run.final, facts.reference.final
    if mine is None or other is None or mine.digest is None or other.digest is None:
        return unknown("no last checkpoint that can be read", "save one at the end")
    if mine.digest == other.digest:
        return passes(f"{mine.name} equals that of an uninterrupted run, bit for bit")
    if mine.step != other.step:
        return fails(f"ends with step {mine.step}, an uninterrupted run with step {other.step}", _WHOLE_STATE)
    if len({run.final.digest for run in facts.references if run.final}) > 1:
        return unknown(
            f"{mine.name} differs from that of an uninterrupted run, but so do two uninterrupted runs from each other",
            "fix seeds and let frameworks work deterministically for the drill; leave times and host names out of "
            "checkpoints",
        )
    return fails(f"{mine.name} differs from that of an uninterrupted run{_metrics(mine, other)}", _WHOLE_STATE)


def _metrics(mine: Seen, other: Seen) -> str:
    shared = [name for name in mine.metrics if name in other.metrics and mine.metrics[name] != other.metrics[name]]
    told = ", ".join(f"{name} {mine.metrics[name]} instead of {other.metrics[name]}" for name in shared[:3])
    return f": {told}" if told else " in its content"


def _unfinished(facts: Facts) -> Answer | None:
    """Nothing can be said of the end of a training that did not reach it."""
    for run in (facts.run, facts.reference):
        if run.blind or not run.saved:
            return unknown(f"no checkpoint was seen{': ' * bool(run.blind)}{run.blind}")
    if facts.run.ended != "completed" or facts.reference.ended != "completed" or facts.cut_short:
        return unknown("one of the runs did not reach its end")
    return None
