"""
What must hold in every history, each as a function that names the promise of ``docs/waiting.md`` that it checks.

A judge sees the truth (the world, the story), never what the package believes. A violation carries
a *class*: what was broken, and by what. Which classes are still open, and how to see them, is in
``open_classes.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from airflow_runai.core.completion import why_incomplete
from airflow_runai.core.timeline import Moment
from tests.simulation.endings import how_it_ended
from tests.simulation.justice import reason_missing
from tests.simulation.overdue import a_limit_is_enforced
from tests.simulation.simulation import Played
from tests.simulation.story import Fact
from tests.simulation.violation import Invariant, Violation
from tests.simulation.world import (
    EMPTY_LIST,
    FOREVER,
    HIDDEN,
    LATE_LIST,
    LATE_STOP,
    Workload,
)

#: For how many seconds a lie of the control plane may explain what is done after it.
MEMORY = 1200.0
#: For how many seconds nothing may happen to a task whose workloads have ended: longer than any
#: outage.
LONGEST_PAUSE = 3600.0


def one_is_alive(played: Played) -> Iterator[Violation]:
    """Check: "One run of one task has one workload."."""
    mine = played.mine
    for newer in mine:
        for older in mine[: mine.index(newer)]:
            both = _overlap(older.stretches, newer.stretches)
            if both is not None:
                words = f"{older.name} ({older.ordinal}) and {newer.name} ({newer.ordinal}) live side by side"
                yield Violation(f"two alive: {_excuse(played, older, newer)}", both, words)


def nobody_writes_beside(played: Played) -> Iterator[Violation]:
    """Check: "ends the old workload, waits until it is gone, creates the next generation"."""
    mine = played.mine
    for newer in mine:
        for older in mine[: mine.index(newer)]:
            ended = older.stretches[-1][1] if older.stretches else older.created
            can_be_seen = "list pods" not in getattr(played.history.cluster, "forbidden", ())
            if ended <= newer.created and older.has_pods(newer.created) and can_be_seen:
                goodbye = played.history.platform.early_goodbye
                cause = "it was listed as deleted" if goodbye else _excuse(played, older, newer)
                words = f"pods of {older.name} still go down when {newer.name} is created"
                yield Violation(f"still writing: {cause}", newer.created, words)


def nothing_is_lost(played: Played) -> Iterator[Violation]:
    """Check: "marked failed or success …: it is finished, so `on_kill`", and that no workload outlives its task."""
    for workload in left_behind(played):
        if not is_wanted(played, workload) and _may_be_ended(played, workload):
            cause = (
                "beside a second one"
                if any(one_is_alive(played))
                else how_it_ended(played, workload)
            )
            yield Violation(
                f"lost: {cause}",
                played.judged_at or FOREVER,
                f"{workload.name} goes on, awaited by nobody",
            )


def _may_be_ended(played: Played, workload: Workload) -> bool:
    """Tell whether ours can find what is left, and have the right to do what the author wants."""
    if workload.is_disowned:
        return False
    return not (played.ti.task.on_kill == "suspend" and "patch jobs" in played.forbidden)


def left_behind(played: Played) -> list[Workload]:
    """
    Return what is still there of a task that has ended, after the reaper's rounds; wanted or not.
    """
    judged = played.judged_at
    return (
        [w for w in played.mine if not w.is_over]
        if judged is not None and played.ti.is_finished
        else []
    )


def is_wanted(played: Played, workload: Workload) -> bool:
    """Tell whether the author or a person wanted it to stay: kept, suspended, or resumed when its task had ended."""
    ended = max(f.at for f in played.story.facts if f.who == played.ti.task_id)
    return (
        played.ti.task.on_kill == "keep"
        or not workload.is_alive
        or _resumed_since(played, workload, ended)
    )


def a_refusal_is_no_failure(played: Played) -> Iterator[Violation]:
    """
    Check: "Not knowing is not failing.

    An outage, a refusal … lengthen the wait; they never end it".
    """
    refusals = (
        "Unauthorized",
        "Forbidden",
        "NotResolved",
        "Refused",
        "NotFound",
        "ForeignWorkload",
    )
    for fact in played.facts("raised", hopeless=True):
        kind = fact.error.removeprefix("AirflowFailException: ").partition(":")[0]
        mine = [w for w in played.mine if w.created >= _life_began(played, fact.at)]
        if kind in refusals and any(w.lives_at(fact.at) for w in mine):
            yield Violation(
                f"refused: {kind}", fact.at, f"the task fails for good: {fact.error[:120]}"
            )


def success_was_earned(played: Played) -> Iterator[Violation]:
    """
    Check: "`succeeded`: phase `Completed`", of a workload of this life of the run.

    Nor is one a success that the platform had begun to take away, as far as its history is read.
    """
    for fact in played.story.of("success"):
        if fact.who != played.ti.task_id or played.ti.sensor_of or fact.why != "its worker says so":
            continue
        begun = _life_began(played, fact.at)
        # A later try that finds no note may have lost it: what it adopts must at least have gone on
        # in this life.
        mine = [
            w
            for w in played.mine
            if w.created >= begun or (fact.attempt > 1 and not _completed_by(w, begun))
        ]
        if not any(_completed_by(w, fact.at) for w in mine):
            cause = "an earlier life of the run" if begun else "other"
            yield Violation(
                f"success without training: {cause}", fact.at, "no workload of this run completed"
            )
        elif played.history.platform.history == "full" and all(
            why_incomplete(_moments(w, fact.at)) for w in mine if _completed_by(w, fact.at)
        ):
            yield Violation(
                "success without training: taken away", fact.at, "it ended with 0 half way"
            )


def gone_was_gone(played: Played) -> Iterator[Violation]:
    """Check: "`gone`: deleted by someone else"."""
    for fact in played.facts("fired", status="gone"):
        awaited = [w for w in played.world.workloads if w.id == fact.workload_id]
        if not any(w.condemned is not None and w.condemned <= fact.at for w in awaited):
            yield Violation(
                "false gone", fact.at, "the wait ended with gone, and the workload is there"
            )


def what_is_stopped_deserved_it(played: Played) -> Iterator[Violation]:
    """
    Check: "The workload is stopped only when …", and no limit is enforced before it is reached.
    """
    for fact in (*played.story.of("deleted"), *played.story.of("suspended")):
        workload = played.world.workloads[fact.ordinal]
        if fact.who == "a person" or workload not in played.mine:
            continue
        missing = reason_missing(played, fact, workload)
        if missing:
            yield Violation(
                f"undeserved: {missing}", fact.at, f"{fact.who} ends {fact.workload} ({fact.phase})"
            )


def a_retry_trains(played: Played) -> Iterator[Violation]:
    """Check: "the workload failed, and Airflow retries: creates the next generation"."""
    begun: dict[tuple[int, int], float] = {}
    for fact in played.story.of("running"):
        if fact.who == played.ti.task_id:
            begun.setdefault((fact.life, fact.attempt), fact.at)
    for fact in played.facts("raised"):
        ended = re.match(r"WorkloadEnded: workload (\S+) (?:failed|gone)\b", fact.error)
        since = max(
            (at for (_, attempt), at in begun.items() if attempt == fact.attempt and at <= fact.at),
            default=0.0,
        )
        # A run that is made again may use a name again.
        named = [w for w in played.mine if ended and w.name == ended[1] and w.created < fact.at]
        for workload in named[-1:]:
            over = next(
                (at for at, phase, _ in workload.phases if phase == "Failed"), workload.condemned
            )
            if workload.phase == "Completed":
                # That it was cut short, a try must find out before another one can know.
                over = _judged(played, workload, fact)
            if workload.created < since and over is not None and over < since:
                yield Violation(
                    "wasted retry",
                    fact.at,
                    f"try {fact.attempt} only repeats the end of {workload.name}",
                )


def _judged(played: Played, workload: Workload, fact: Fact) -> float | None:
    """Tell when an earlier try failed because of a workload."""
    words = f"WorkloadEnded: workload {workload.name} failed: "
    earlier = (
        f.at
        for f in played.facts("raised")
        if workload.created < f.at < fact.at
        and f.attempt < fact.attempt
        and f.error.startswith(words)
    )
    return next(earlier, None)


def no_trigger_raises(played: Played) -> Iterator[Violation]:
    """Check: "Not knowing is not failing": a trigger that raises fails its task."""
    for fact in played.facts("broke"):
        yield Violation("trigger raised", fact.at, fact.error)


def strangers_are_left_alone(played: Played) -> Iterator[Violation]:
    """
    Check: "The sensor never touches the workload", nor does anybody touch what others submitted.
    """
    for fact in (*played.story.of("deleted"), *played.story.of("suspended")):
        if (
            fact.who != "a person"
            and not played.world.workloads[fact.ordinal].task
            and not played.ti.sensor_of
        ):
            yield Violation("stranger touched", fact.at, f"{fact.who} ends {fact.workload}")


def every_task_ends(played: Played) -> Iterator[Violation]:
    """Check that nothing hangs: where the workload has ended and the control plane answers, the task goes on."""
    if played.ti.is_finished or not all(w.is_over for w in played.mine):
        return
    named = [w for w in played.world.workloads if w.name == played.ti.sensor_of]
    if played.ti.sensor_of and all(w.deleted is not None for w in named):
        return  # it waits for the next one of this name
    moved = [f.at for f in played.story.facts if f.who == played.ti.task_id]
    moved += [workload.phases[-1][0] for workload in played.mine]
    if played.story.facts[-1].at - max(moved) > LONGEST_PAUSE:
        yield Violation("hang", max(moved), f"the task is {played.ti.state} for ever")


def texts_are_clean(played: Played) -> Iterator[Violation]:
    """Check: what the platform says reaches Airflow as data, without what a database or terminal cannot take."""
    said = repr([f.about for f in played.story.facts if f.kind in ("fired", "raised", "says")])
    stored = json.dumps(played.ti.xcoms)
    if any(token in said + stored for token in ("\\x00", "\\x1b", "\\ud83d", "\\u0000", "\\u001b")):
        yield Violation(
            "dirty text",
            0.0,
            "a control character or half a character of the platform reached Airflow",
        )


INVARIANTS: tuple[Invariant, ...] = (
    one_is_alive,
    nobody_writes_beside,
    nothing_is_lost,
    a_refusal_is_no_failure,
    success_was_earned,
    gone_was_gone,
    what_is_stopped_deserved_it,
    a_limit_is_enforced,
    a_retry_trains,
    no_trigger_raises,
    strangers_are_left_alone,
    every_task_ends,
    texts_are_clean,
)


def judge(played: Played) -> list[Violation]:
    """Ask all judges about all tasks."""
    return [
        violation
        for view in played.views
        for invariant in (*INVARIANTS, *_of_platform(played))
        for violation in invariant(view)
    ]


def _of_platform(played: Played) -> tuple[Invariant, ...]:
    if played.history.cluster is None:
        return ()
    # Imported here: what this one is compared with brings no model of Kubernetes.
    from tests.simulation.kubernetes.invariants import INVARIANTS as OF_CLUSTERS

    return OF_CLUSTERS


def _life_began(played: Played, moment: float) -> float:
    """Tell since when the run exists: a deleted run that was made again is another one."""
    return max((f.at for f in played.facts("run deleted") if f.at < moment), default=0.0)


def _resumed_since(played: Played, workload: Workload, moment: float) -> bool:
    return any(f.at >= moment for f in played.story.of("resumed", ordinal=workload.ordinal))


def _completed_by(workload: Workload, moment: float) -> bool:
    return any(phase == "Completed" and at <= moment for at, phase, _ in workload.phases)


def _moments(workload: Workload, moment: float) -> list[Moment]:
    return [Moment(*phase) for phase in workload.phases if phase[0] <= moment]


def _overlap(one: list[tuple[float, float]], other: list[tuple[float, float]]) -> float | None:
    starts = [max(a, c) for a, b in one for c, d in other if max(a, c) < min(b, d)]
    return min(starts, default=None)


def _excuse(played: Played, older: Workload, newer: Workload) -> str:
    """Tell what kept the older one from being seen, or else what people changed."""
    for lie in (HIDDEN, LATE_STOP, LATE_LIST, EMPTY_LIST):
        if older.was_denied(lie, newer.created - MEMORY, newer.created):
            return lie
    if "late" in next(f.who for f in played.story.of("created", ordinal=newer.ordinal)):
        return "a create delivered late"
    acts = {f.what for f in played.story.of("act") if f.at <= newer.created}
    return next((act for act in ("rename", "retries", "delete the run") if act in acts), "other")
