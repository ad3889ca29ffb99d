"""Checks on how a training goes down and comes up: its end, its signal handling, its checkpoints as files."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_runai.drill.answers import Answer, fails, passes, plural, unknown
from airflow_runai.drill.facts import CheckpointSummary, DrillFacts, Start, TrainingRun, Write

#: A checkpoint that is at most one step old when the signal comes need not be written again.
_STEPS_NOT_LOST = 2.0
_HANDLE = "handle SIGTERM: poll a flag after every step, save, and end"
_PUBLISH = "write to a temporary name and rename when it is whole (training/preemptible.py does)"


def finished(facts: DrillFacts) -> Answer:
    """Whether it came to its end by itself, after all preemptions."""
    run, wanted, had = facts.run, facts.plan.times, len(facts.run.preempted)
    if run.ended == "failed":
        code, log = run.starts[-1].exit_code, run.log.splitlines()[-1:] or ["(nothing)"]
        return fails(
            f"start {len(run.starts)} ended with exit code {code}, after {plural(had, 'preemption')}; its last line: "
            f"{log[0]}",
            "see its log; every start must cope with what the one before left behind",
        )
    if run.ended == "limit":
        return unknown(
            f"was stopped after {facts.plan.limit:g} s, {had} of {plural(wanted, 'preemption')} done",
            "let it train less (fewer epochs, by an argument or --env), or give a longer --limit",
        )
    if facts.cut_short:
        return unknown(
            "ended when it was told to stop, see sigterm; whether it would have reached its end is not known"
        )
    if had < wanted:
        return unknown(
            f"ended by itself after {had} of {plural(wanted, 'preemption')}",
            "use a shorter --preempt-after, or let it train longer",
        )
    return passes(
        f"reached its end after {plural(had, 'preemption')}, in {plural(len(run.starts), 'start')}"
    )


def sigterm(facts: DrillFacts) -> Answer:
    """Whether each SIGTERM was followed by a checkpoint and an end."""
    # Who was told to stop on its last steps, and made them, is no example.
    preempted = [start for start in facts.run.preempted if start.exit_code != 0 or facts.cut_short]
    # Who was preempted while it was still importing had nothing to save; unless it never gets any
    # further.
    judged = [start for start in preempted if start.reach in ("first", "child", "ignored")] or list(
        preempted
    )
    if not judged:
        return unknown("it was never preempted", "use a shorter --preempt-after")
    for start in judged:
        wrong = _wrong_exit(facts, start) or _not_saved(facts, start)
        if wrong:
            return wrong
    slowest = max(start.ended_at - (start.signalled_at or 0.0) for start in judged)
    codes = sorted({start.exit_code for start in judged if start.exit_code is not None})
    return passes(
        f"saved and ended by itself {len(judged)} of {len(judged)} times, within {slowest:.2f} s of a grace of "
        f"{facts.plan.grace:g} s, exit code {', '.join(map(str, codes))}"
    )


def _wrong_exit(facts: DrillFacts, start: Start) -> Answer | None:
    seconds = start.ended_at - (start.signalled_at or 0.0)
    if start.killed:
        return _too_slow(facts, start)
    if start.reach == facts.reference.starts[0].reach == "nobody":
        return fails(
            "nobody in it handles SIGTERM: in a container it goes unheard, and after the grace the training is killed",
            _HANDLE,
        )
    if start.exit_code == 0:
        return fails(
            f"start {start.number} ended {seconds:.2f} s after SIGTERM with exit code 0: that means finished, to "
            "Run:ai, so that it is never resumed",
            "end with another code, such as 143, when told to stop before the end",
        )
    if start.reach == "child":
        return fails(
            f"SIGTERM stops at {start.first_process!r}, the first process, which does not handle it: in a container "
            "only this one is told, and the training that would save is not",
            'start the training with exec (exec python train.py "$@"), or forward the signal with trap',
        )
    return None


def _too_slow(facts: DrillFacts, start: Start) -> Answer:
    late = f"did not end within the grace of {facts.plan.grace:g} s after SIGTERM and was killed"
    if start.reach not in ("first", "child"):
        return fails(
            f"start {start.number} {late}{'; it ignores SIGTERM' * (start.reach == 'ignored')}",
            _HANDLE,
        )
    saved = [
        write.at for write in facts.run.written(start) if write.at >= (start.signalled_at or 0.0)
    ]
    if saved:
        done = saved[0] - (start.signalled_at or 0.0)
        return fails(
            f"start {start.number} saved {done:.2f} s after SIGTERM, but {late}",
            "end at once when the checkpoint is saved: leave the training loop, stop workers and threads",
        )
    return fails(
        f"start {start.number} handles SIGTERM, but saved nothing after it and {late}",
        "poll the flag after every step, not every epoch; if saving takes that long, save less, or give a longer grace",
    )


def _not_saved(facts: DrillFacts, start: Start) -> Answer | None:
    if facts.run.blind:
        return unknown(f"no checkpoint was seen: {facts.run.blind}")
    if facts.run.saved and not facts.run.writes:
        return unknown(
            "its checkpoints were found, but not seen on their way",
            "do not remake the directory at a start",
        )
    written = facts.run.written(start)
    signalled = start.signalled_at or 0.0
    torn = _torn(start, written)
    if torn:
        return fails(
            f"start {start.number} ended {start.ended_at - signalled:.2f} s after SIGTERM, but what it saved, "
            f"{torn.name}, was {torn.verdict}: {torn.message}",
            f"end only when the checkpoint is whole; {_PUBLISH}",
        )
    if written and (
        written[-1].at >= signalled
        or (signalled - written[-1].at) * (facts.pace or 1e9) < _STEPS_NOT_LOST
    ):
        return None
    age = (
        f"the last one was {signalled - written[-1].at:.1f} s old"
        if written
        else "this start had saved none"
    )
    return fails(
        f"start {start.number} ended {start.ended_at - signalled:.2f} s after SIGTERM with exit code {start.exit_code} "
        f"and without a new checkpoint; {age}",
        "handle SIGTERM: save a checkpoint before ending"
        if facts.run.writes
        else "save checkpoints, and resume from them",
    )


def _torn(start: Start, written: Sequence[Write]) -> CheckpointSummary | None:
    """Return the last checkpoint of a start if it is known to be none that can be gone on from."""
    newest = start.standing.newest if start.standing else None
    if newest is None or not written or written[-1].name != newest.name or newest.accepted:
        return None
    return None if newest.verdict == "unknown" else newest


def valid(facts: DrillFacts) -> Answer:
    """Whether what lies there between two starts can be resumed from."""
    standings = [start.standing for start in facts.run.starts if start.standing]
    newest = [(start.number, start.standing.newest) for start in facts.run.starts if start.standing]
    found = [(number, seen) for number, seen in newest if seen is not None]
    if not found:
        return _none(facts.run)
    bad = [
        (number, seen) for number, seen in found if not seen.accepted and seen.verdict != "unknown"
    ]
    unread = [seen for _, seen in found if seen.verdict == "unknown"]
    if unread and not bad:
        return unknown(
            f"{unread[0].name} could not be read: {unread[0].message}",
            f"to have them proven, {_PUBLISH}",
        )
    if bad:
        number, seen = bad[0]
        return fails(
            f"{len(bad)} of {len(standings)} times the newest was not; after start {number} {seen.name} was "
            f"{seen.verdict}: {seen.message}",
            _PUBLISH,
        )
    unproven = sum(seen.verdict != "valid" for _, seen in found)
    note = (
        f"; {unproven} of them whole, but without checksums in their format that would prove it"
        if unproven
        else ""
    )
    none = len(standings) - len(found)
    without = f"; {none} left none" if none else ""
    return passes(
        f"valid after {'each of ' * (not none)}{plural(len(found), 'start')}{without}{note}"
    )


def atomic(facts: DrillFacts) -> Answer:
    """Whether a kill at the wrong moment can leave half a checkpoint."""
    writes = [write for run in (facts.run, *facts.references) for write in run.writes]
    filled = [write for write in writes if write.in_place]
    if not writes:
        return _none(facts.run)
    if not filled:
        return passes(f"{plural(len(writes), 'checkpoint')}, each renamed into place")
    seen = (
        f"{len(filled)} of {len(writes)} checkpoints were written in place, under their final name"
    )
    return _killed_during_write(seen, filled, facts.kill_during_write)


def _killed_during_write(
    seen: str, filled: Sequence[Write], kill_during_write: TrainingRun | None
) -> Answer:
    standing = (
        kill_during_write.starts[0].standing
        if kill_during_write and kill_during_write.starts and kill_during_write.starts[0].killed
        else None
    )
    torn: CheckpointSummary | None = standing.newest if standing else None
    if kill_during_write is None or torn is None or torn.accepted or torn.verdict == "unknown":
        return fails(
            f"{seen} ({filled[0].name}): whoever is killed in that moment leaves half a one",
            _PUBLISH,
        )
    found = f"{seen}; killed in that moment, it left {torn.name} {torn.verdict} ({torn.message})"
    if _came_back(kill_during_write, standing.best if standing else None):
        return passes(f"{found}, and went on from the one before")
    then = kill_during_write.starts[-1]
    how = (
        f"ended with exit code {then.exit_code}"
        if kill_during_write.ended == "failed"
        else "did not go on from the one before"
    )
    return fails(f"{found}, and {how}", _PUBLISH)


def _came_back(kill_during_write: TrainingRun, older: CheckpointSummary | None) -> bool:
    steps = [
        write.step
        for start in kill_during_write.starts[1:]
        for write in kill_during_write.written(start)
    ]
    if older is None or older.step is None or kill_during_write.ended == "failed":
        return False
    return bool(steps) and all(step is not None and step > older.step for step in steps)


def _none(run: TrainingRun) -> Answer:
    return unknown(
        f"no checkpoint was seen{': ' * bool(run.blind)}{run.blind}",
        "" if run.blind else "save where $CHECKPOINTS says, or name the place with --checkpoints",
    )
