"""Checks on how a training goes down and comes up: its end, its signal handling, its files."""

from __future__ import annotations

import math
from collections.abc import Sequence

from airflow_runai.core.texts import plural
from airflow_runai.drill.answers import Answer, fails, passes, unknown
from airflow_runai.drill.facts import (
    CheckpointState,
    CheckpointSummary,
    DrillFacts,
    Start,
    TrainingRun,
    Write,
)

#: A checkpoint that is at most one step old when the signal comes need not be written again.
_STEPS_NOT_LOST = 2.0
_HANDLE = "handle SIGTERM: poll a flag after every step, save, and end"
_PUBLISH = "write to a temporary name and rename when it is whole (training/preemptible.py does)"


def finished(facts: DrillFacts) -> Answer:
    """Check that it reached its end by itself, after all preemptions."""
    run, preemptions = facts.run, len(facts.run.preempted)
    of_planned = f"{preemptions} of {plural(facts.plan.times, 'preemption')}"
    if run.ended == "failed":
        return _crashed(run)
    if run.ended == "limit":
        return unknown(
            f"was stopped after {facts.plan.limit:g} s, {of_planned} done",
            "let it train less (fewer epochs, by an argument or --env), or give a longer --limit",
        )
    if facts.cut_short:
        return unknown(
            "ended upon SIGTERM, see sigterm; whether it would have reached its end is not known"
        )
    if preemptions < facts.plan.times:
        return unknown(
            f"ended by itself after {of_planned}",
            "use a shorter --preempt-after, or let it train longer",
        )
    starts = plural(len(run.starts), "start")
    return passes(f"reached its end after {plural(preemptions, 'preemption')}, in {starts}")


def _crashed(run: TrainingRun) -> Answer:
    last_lines = run.log.splitlines()[-1:] or ["(nothing)"]
    return fails(
        f"start {len(run.starts)} ended with exit code {run.starts[-1].exit_code}, after "
        f"{plural(len(run.preempted), 'preemption')}; its last line: {last_lines[0]}",
        "see its log; every start must cope with what the one before left behind",
    )


def sigterm(facts: DrillFacts) -> Answer:
    """Check that each SIGTERM was followed by a checkpoint and an end."""
    # A start that completed its last steps within the grace period has nothing to resume.
    starts = [start for start in facts.run.preempted if start.exit_code != 0 or facts.cut_short]
    # A start that was preempted during its imports had nothing to save; unless all of them were.
    with_handler = [start for start in starts if start.reach in ("first", "child", "ignored")]
    judged = with_handler or starts
    if not judged:
        return unknown("it was never preempted", "use a shorter --preempt-after")
    for start in judged:
        problem = _wrong_exit(facts, start) or _not_saved(facts, start)
        if problem:
            return problem
    slowest = max(start.stop_seconds for start in judged)
    codes = sorted({start.exit_code for start in judged if start.exit_code is not None})
    return passes(
        f"saved and ended by itself {len(judged)} of {len(judged)} times, within {slowest:.2f} s "
        f"of a grace of {facts.plan.grace:g} s, exit code {', '.join(map(str, codes))}"
    )


def _wrong_exit(facts: DrillFacts, start: Start) -> Answer | None:
    if start.killed:
        return _too_slow(facts, start)
    if start.reach == facts.reference.starts[0].reach == "nobody":
        return fails(
            "no process of it handles SIGTERM: in a container the signal has no effect, and after "
            "the grace the training is killed",
            _HANDLE,
        )
    if start.exit_code == 0:  # of those judged, none had reached its end
        return fails(
            f"start {start.number} ended {start.stop_seconds:.2f} s after SIGTERM with exit code "
            "0: that means finished, to Run:ai, so that it is never resumed",
            "end with another code, such as 143, when told to stop before the end",
        )
    if start.reach == "child":
        return fails(
            f"SIGTERM stops at {start.first_process!r}, the first process, which does not handle "
            "it: in a container only this one gets the signal, and the training that would save "
            "does not",
            'start the training with exec (exec python train.py "$@"), or forward the signal '
            "with trap",
        )
    return None


def _too_slow(facts: DrillFacts, start: Start) -> Answer:
    late = f"did not end within the grace of {facts.plan.grace:g} s after SIGTERM and was killed"
    if start.reach == "ignored":
        return fails(f"start {start.number} {late}; it ignores SIGTERM", _HANDLE)
    if start.reach not in ("first", "child"):
        return fails(f"start {start.number} {late}", _HANDLE)
    signalled_at = start.signalled_at or 0.0
    saved = [write.at for write in facts.run.written(start) if write.at >= signalled_at]
    if saved:
        return fails(
            f"start {start.number} saved {saved[0] - signalled_at:.2f} s after SIGTERM, but {late}",
            "end at once when the checkpoint is saved: leave the training loop, stop workers and "
            "threads",
        )
    return fails(
        f"start {start.number} handles SIGTERM, but saved nothing after it and {late}",
        "poll the flag after every step, not every epoch; if saving takes that long, save less, "
        "or give a longer grace",
    )


def _not_saved(facts: DrillFacts, start: Start) -> Answer | None:
    run, ended = facts.run, f"start {start.number} ended {start.stop_seconds:.2f} s after SIGTERM"
    if run.blind:
        return unknown(f"no checkpoint was seen: {run.blind}")
    if run.saved and not run.writes:
        return unknown(
            "its checkpoints were found, but no write of them was seen",
            "do not replace the directory at a start",
        )
    written = run.written(start)
    torn = _torn(start, written)
    if torn:
        return fails(
            f"{ended}, but what it saved, {torn.name}, was {torn.verdict}: {torn.message}",
            f"end only when the checkpoint is whole; {_PUBLISH}",
        )
    # Negative if the last checkpoint is newer than the signal.
    age = (start.signalled_at or 0.0) - written[-1].at if written else math.inf
    if age <= 0 or _steps_done_in(age, facts) < _STEPS_NOT_LOST:
        return None
    last = f"the last one was {age:.1f} s old" if written else "this start had saved none"
    return fails(
        f"{ended} with exit code {start.exit_code} and without a new checkpoint; {last}",
        "handle SIGTERM: save a checkpoint before ending"
        if run.writes
        else "save checkpoints, and resume from them",
    )


def _steps_done_in(seconds: float, facts: DrillFacts) -> float:
    # Without a pace, nothing shows that an older checkpoint is new enough.
    return seconds * facts.pace if facts.pace else math.inf


def _torn(start: Start, written: Sequence[Write]) -> CheckpointSummary | None:
    """Return the checkpoint that a start wrote last, if it cannot be resumed from."""
    newest = start.standing.newest if start.standing else None
    if newest is None or not written or written[-1].name != newest.name:
        return None
    return newest if newest.rejected else None


def valid(facts: DrillFacts) -> Answer:
    """Check that the newest checkpoint after each start can be resumed from."""
    states = [(start.number, start.standing) for start in facts.run.starts if start.standing]
    newest = [(number, state.newest) for number, state in states if state.newest]
    if not newest:
        return _no_checkpoint(facts.run)
    rejected = [(number, checkpoint) for number, checkpoint in newest if checkpoint.rejected]
    if rejected:
        number, first = rejected[0]
        return fails(
            f"{len(rejected)} of {len(states)} times the newest was not; after start {number} "
            f"{first.name} was {first.verdict}: {first.message}",
            _PUBLISH,
        )
    for _, checkpoint in newest:
        if checkpoint.undecided:
            return unknown(
                f"{checkpoint.name} could not be read: {checkpoint.message}",
                f"to have them proven, {_PUBLISH}",
            )
    return _all_accepted([checkpoint for _, checkpoint in newest], len(states) - len(newest))


def _all_accepted(checkpoints: Sequence[CheckpointSummary], starts_without: int) -> Answer:
    starts = plural(len(checkpoints), "start")
    unproven = sum(checkpoint.verdict != "valid" for checkpoint in checkpoints)
    reason = f"valid after {starts}" if starts_without else f"valid after each of {starts}"
    if starts_without:
        reason += f"; {starts_without} left none"
    if unproven:
        reason += f"; {unproven} of them whole, but without checksums in their format to prove it"
    return passes(reason)


def atomic(facts: DrillFacts) -> Answer:
    """Check that a kill at the wrong moment cannot leave half a checkpoint."""
    writes = [write for run in (facts.run, *facts.references) for write in run.writes]
    in_place = [write for write in writes if write.in_place]
    if not writes:
        return _no_checkpoint(facts.run)
    if not in_place:
        return passes(f"{plural(len(writes), 'checkpoint')}, each renamed into place")
    written = (
        f"{len(in_place)} of {len(writes)} checkpoints were written in place, under their final "
        "name"
    )
    # Half a checkpoint does no harm to a training that skips it.
    return _survived_kill(facts.kill_during_write, written) or fails(
        f"{written} ({in_place[0].name}): a kill in that moment leaves half a checkpoint",
        _PUBLISH,
    )


def _survived_kill(run: TrainingRun | None, written: str) -> Answer | None:
    """Return how it went on from half a checkpoint; ``None`` if the kill left none."""
    state = _state_after_kill(run)
    torn = state.newest if state else None
    if run is None or state is None or torn is None or not torn.rejected:
        return None
    left = f"{written}; killed in that moment, it left {torn.name} {torn.verdict} ({torn.message})"
    if run.ended == "failed":
        return fails(f"{left}, and ended with exit code {run.starts[-1].exit_code}", _PUBLISH)
    if not _resumed_from(run, state.best):
        return fails(f"{left}, and did not go on from the one before", _PUBLISH)
    return passes(f"{left}, and went on from the one before")


def _state_after_kill(run: TrainingRun | None) -> CheckpointState | None:
    """Return the checkpoints after the kill; ``None`` if the write was too quick to be hit."""
    killed = run is not None and run.starts and run.starts[0].killed
    return run.starts[0].standing if run and killed else None


def _resumed_from(run: TrainingRun, checkpoint: CheckpointSummary | None) -> bool:
    """Return whether every later checkpoint is of a later step."""
    if checkpoint is None or checkpoint.step is None:
        return False
    steps = [write.step for start in run.starts[1:] for write in run.written(start)]
    return bool(steps) and all(step is not None and step > checkpoint.step for step in steps)


def _no_checkpoint(run: TrainingRun) -> Answer:
    if run.blind:
        return unknown(f"no checkpoint was seen: {run.blind}")
    return unknown(
        "no checkpoint was seen",
        "save where $CHECKPOINTS says, or name the place with --checkpoints",
    )
