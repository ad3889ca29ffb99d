"""Checks on what a training does with its checkpoints: whether it goes on, does no step twice, comes out the same."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from airflow_runai.drill.answers import Answer, fails, passes, plural, unknown
from airflow_runai.drill.facts import CheckpointSummary, DrillFacts
from airflow_runai.drill.losses import steps_behind

_NO_STEP = (
    "let names or contents of checkpoints tell the step: step-00000042, checkpoint-42, a manifest"
)
_WHOLE_STATE = "save and load all that the next step depends on: step, epoch and place in it, optimizer, random generators"


def resumed(facts: DrillFacts) -> Answer:
    """Whether each start went on from the newest valid checkpoint."""
    pairs = [
        (one, then) for one, then in pairwise(facts.run.starts) if one.signalled_at is not None
    ]
    if facts.run.blind:
        return unknown(f"no checkpoint was seen: {facts.run.blind}")
    if not pairs:
        return unknown("it was never started again")
    if not facts.run.saved:
        return fails(
            f"there was no checkpoint to go on from: each of {plural(len(pairs), 'further start')} began anew",
            "save checkpoints, and load the newest valid one at every start",
        )
    kept = [(then, one.kept) for one, then in pairs]
    backs = [(then, seen, steps_behind(facts, then, seen)) for then, seen in kept]
    for then, seen, back in backs:
        if back and seen:
            return fails(
                _fell_back(then.number, seen, back),
                "load the newest valid checkpoint at every start, and its step",
            )
    known = [back for *_, back in backs if back is not None]
    if known:
        return passes(
            f"{len(known)} of {plural(len(pairs), 'further start')} went on from the newest checkpoint"
        )
    return _not_shown(facts, [seen for _, seen in kept if seen is not None])


def _not_shown(facts: DrillFacts, kept: Sequence[CheckpointSummary]) -> Answer:
    often = "use a longer --preempt-after, or save more often"
    if not kept:
        return unknown("no start that was preempted left a checkpoint to go on from", often)
    if any(seen.step is None for seen in kept):
        return unknown("checkpoints tell no step", _NO_STEP)
    if facts.run.ended == "failed":
        return unknown(f"start {len(facts.run.starts)} crashed before it saved a checkpoint")
    return unknown("no further start lived long enough to show it by a checkpoint", often)


def _fell_back(number: int, seen: CheckpointSummary, back: int) -> str:
    where = "at step 0" if back == seen.step else f"{back} steps behind it"
    return f"start {number} found {seen.name} (step {seen.step}) and began again {where}"


def position(facts: DrillFacts) -> Answer:
    """Whether as many steps were done as without preemptions."""
    undecided = _unfinished(facts)
    if undecided:
        return undecided
    mine, other = facts.run.final, facts.reference.final
    if mine is None or other is None or mine.step is None or other.step is None:
        return unknown("the last checkpoints tell no step", _NO_STEP)
    again = sum(
        steps_behind(facts, then, one.kept) or 0 for one, then in pairwise(facts.run.starts)
    )
    done = mine.step + again
    if done == other.step:
        return passes(f"{done} steps, as without preemptions")
    if done < other.step:
        return fails(f"{done} steps, {other.step} without preemptions: it skips some", _WHOLE_STATE)
    how = (
        "it goes back to an earlier step"
        if again
        else "it resumes its weights but not its place in the training"
    )
    return fails(
        f"{done} steps, {other.step} without preemptions: {how}, and repeats {done - other.step} steps",
        _WHOLE_STATE,
    )


def result(facts: DrillFacts) -> Answer:
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
        return fails(
            f"ends with step {mine.step}, an uninterrupted run with step {other.step}", _WHOLE_STATE
        )
    if len({run.final.digest for run in facts.references if run.final}) > 1:
        return unknown(
            f"{mine.name} differs from that of an uninterrupted run, but so do two uninterrupted runs from each other",
            "fix seeds and let frameworks work deterministically for the drill; leave times and host names out of "
            "checkpoints",
        )
    chance = (
        ""
        if len(facts.references) > 1
        else "; if it is never the same twice, --references 2 will tell"
    )
    return fails(
        f"{mine.name} differs from that of an uninterrupted run{_metrics(mine, other)}",
        _WHOLE_STATE + chance,
    )


def _metrics(mine: CheckpointSummary, other: CheckpointSummary) -> str:
    shared = [
        name
        for name in mine.metrics
        if name in other.metrics and mine.metrics[name] != other.metrics[name]
    ]
    told = ", ".join(
        f"{name} {mine.metrics[name]} instead of {other.metrics[name]}" for name in shared[:3]
    )
    return f": {told}" if told else " in its content"


def _unfinished(facts: DrillFacts) -> Answer | None:
    """Nothing can be said of the end of a training that did not reach it."""
    for run in (facts.run, facts.reference):
        if run.blind or not run.saved:
            return unknown(f"no checkpoint was seen{': ' * bool(run.blind)}{run.blind}")
    if facts.run.ended != "completed" or facts.reference.ended != "completed" or facts.cut_short:
        return unknown("one of the runs did not reach its end")
    return None
