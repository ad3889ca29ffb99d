"""Checks on a training's progress: it resumes, does each step once, and ends the same."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_runai.core.texts import plural
from airflow_runai.drill.answers import Answer, fails, passes, unknown
from airflow_runai.drill.facts import CheckpointSummary, DrillFacts
from airflow_runai.drill.losses import steps_behind

_NO_STEP = (
    "let names or contents of checkpoints tell the step: step-00000042, checkpoint-42, a manifest"
)
_WHOLE_STATE = (
    "save and load all that the next step depends on: step, epoch and place in it, optimizer, "
    "random generators"
)


def resumed(facts: DrillFacts) -> Answer:
    """Check that each start resumed from the newest valid checkpoint."""
    run, pairs = facts.run, facts.run.resumptions
    further_starts = plural(len(pairs), "further start")
    if run.blind:
        return unknown(f"no checkpoint was seen: {run.blind}")
    if not pairs:
        return unknown("it was never started again")
    if not run.saved:
        return fails(
            f"there was no checkpoint to go on from: each of {further_starts} began anew",
            "save checkpoints, and load the newest valid one at every start",
        )
    shown = 0
    for start, then in pairs:
        checkpoint = start.resumable
        behind = steps_behind(facts, then, checkpoint)
        if behind and checkpoint:
            return _fell_back(then.number, checkpoint, behind)
        # 0 is a proof; of a start that saved nothing, nothing shows where it began.
        shown += behind is not None
    if shown:
        return passes(f"{shown} of {further_starts} went on from the newest checkpoint")
    return _not_shown(facts, [start.resumable for start, _ in pairs if start.resumable])


def _not_shown(facts: DrillFacts, checkpoints: Sequence[CheckpointSummary]) -> Answer:
    save_more_often = "use a longer --preempt-after, or save more often"
    if not checkpoints:
        return unknown(
            "no start that was preempted left a checkpoint to go on from", save_more_often
        )
    if any(checkpoint.step is None for checkpoint in checkpoints):
        return unknown("checkpoints tell no step", _NO_STEP)
    if facts.run.ended == "failed":
        return unknown(f"start {len(facts.run.starts)} crashed before it saved a checkpoint")
    return unknown("no further start lived long enough to save a checkpoint", save_more_often)


def _fell_back(number: int, checkpoint: CheckpointSummary, behind: int) -> Answer:
    where = "at step 0" if behind == checkpoint.step else f"{plural(behind, 'step')} behind it"
    return fails(
        f"start {number} found {checkpoint.name} (step {checkpoint.step}) and began again {where}",
        "load the newest valid checkpoint at every start, and its step",
    )


def position(facts: DrillFacts) -> Answer:
    """Check that it did as many steps as without preemptions."""
    undecided = _unfinished(facts)
    if undecided:
        return undecided
    final, expected = facts.run.final, facts.reference.final
    if final is None or expected is None or final.step is None or expected.step is None:
        return unknown("the last checkpoints tell no step", _NO_STEP)
    pairs = facts.run.resumptions
    repeated = sum(steps_behind(facts, then, start.resumable) or 0 for start, then in pairs)
    # A start that repeats steps from an older checkpoint counts them in its step only once.
    return _compare_steps(final.step + repeated, expected.step, repeated)


def _compare_steps(done: int, expected: int, repeated: int) -> Answer:
    if done == expected:
        return passes(f"{done} steps, as without preemptions")
    counts = f"{done} steps, {expected} without preemptions"
    if done < expected:
        return fails(f"{counts}: it skips some", _WHOLE_STATE)
    cause = "it resumes its weights but not its place in the training"
    if repeated:
        cause = "it goes back to an earlier step"
    return fails(f"{counts}: {cause}, and repeats {plural(done - expected, 'step')}", _WHOLE_STATE)


def result(facts: DrillFacts) -> Answer:
    """Check that its last checkpoint is that of an uninterrupted run."""
    undecided = _unfinished(facts)
    if undecided:
        return undecided
    final, expected = facts.run.final, facts.reference.final
    if final is None or expected is None or final.digest is None or expected.digest is None:
        return unknown("no last checkpoint that can be read", "save one at the end")
    # Equal bytes are equal states, whatever their steps are called.
    if final.digest == expected.digest:
        return passes(f"{final.name} equals that of an uninterrupted run, bit for bit")
    if final.step != expected.step:
        return fails(
            f"ends with step {final.step}, an uninterrupted run with step {expected.step}",
            _WHOLE_STATE,
        )
    return _differs(facts, final, expected)


def _differs(facts: DrillFacts, final: CheckpointSummary, expected: CheckpointSummary) -> Answer:
    differs = f"{final.name} differs from that of an uninterrupted run"
    # Then the difference may be chance.
    if len({run.final.digest for run in facts.references if run.final}) > 1:
        return unknown(
            f"{differs}, but so do two uninterrupted runs from each other",
            "fix seeds and let frameworks work deterministically for the drill; leave times and "
            "host names out of checkpoints",
        )
    advice = _WHOLE_STATE
    if len(facts.references) == 1:
        advice += "; if it is never the same twice, --references 2 shows it"
    return fails(f"{differs}{_metrics(final, expected)}", advice)


def _metrics(final: CheckpointSummary, expected: CheckpointSummary) -> str:
    differing = [
        f"{name} {value} instead of {expected.metrics[name]}"
        for name, value in final.metrics.items()
        if name in expected.metrics and expected.metrics[name] != value
    ]
    return f": {', '.join(differing[:3])}" if differing else " in its content"


def _unfinished(facts: DrillFacts) -> Answer | None:
    """Return why the end of the training cannot be compared, if it cannot."""
    for run in (facts.run, facts.reference):
        if run.blind:
            return unknown(f"no checkpoint was seen: {run.blind}")
        if not run.saved:
            return unknown("no checkpoint was seen")
    if facts.run.ended != "completed" or facts.reference.ended != "completed" or facts.cut_short:
        return unknown("one of the runs did not reach its end")
    return None
