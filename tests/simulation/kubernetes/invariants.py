"""What must hold on a cluster, beside what must hold on every platform."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import cast

from tests.model.kubelet import phase_of
from tests.simulation.kubernetes.attention import (
    lasts_a_refusal,
    longest_look,
    was_refused,
)
from tests.simulation.kubernetes.training import Training
from tests.simulation.kubernetes.world import ENDED, ClusterWorld
from tests.simulation.simulation import Played
from tests.simulation.violation import Invariant, Violation

_FAILED = re.compile(r"(?:\w+: )?workload (\S+) failed: ")
#: Failures that the author of a task allows who says nothing.
DEFAULT_BUDGET = 6
#: Seconds within which a failure is seen and acted on by who watches, and by who polls.
WATCHING, POLLING = 10.0, 60.0


def _mine(played: Played) -> list[Training]:
    return cast(list[Training], played.mine)


def pods_do_not_write_together(played: Played) -> Iterator[Violation]:
    """Check: never two pods that may write the same checkpoints, of whatever generations."""
    runs = [(begin, end, one) for one in _mine(played) for begin, end in one.runs.values()]
    for (_, end, older), (begin, _, newer) in pairwise(sorted(runs, key=lambda run: run[:2])):
        # A limit: who saw no pods when it submitted has waited for their grace only.
        if begin < end and not was_refused(
            played, "list pods", _tried(played, newer), newer.created
        ):
            words = f"a pod of {newer.name} is placed while one of {older.name} may write"
            yield Violation("two pods write", begin, words)


def _tried(played: Played, made: Training) -> float:
    """Tell when the try began that has made a Job."""
    begun = [f.at for f in played.story.of("running") if f.who == played.ti.task_id]
    return max((at for at in begun if at <= made.created), default=0.0)


def strangers_are_not_changed(played: Played) -> Iterator[Violation]:
    """Check: foreign objects are never touched."""
    if played.ti.sensor_of:
        return
    world = cast(ClusterWorld, played.world)
    for fact in played.story.of("changed"):
        named = [one for one in world.trainings if one.name == fact.workload]
        owners = [
            one
            for one in named
            if one.created <= fact.at and (one.deleted is None or one.deleted >= fact.at)
        ]
        if owners and not owners[-1].task:
            yield Violation(
                "stranger changed", fact.at, f"{fact.who} sends {fact.method} to {fact.workload}"
            )


def the_budget_is_the_authors(played: Played) -> Iterator[Violation]:
    """Check: interruptions never use up the budget, and failures of its own do, once somebody can see them."""
    budget = _budget(played)
    for one in _mine(played):
        failed = one.failed_at
        if one.phase == "Failed" and len(failed) <= budget:
            words = f"{one.name} ends after {len(failed)} failures; {budget} are allowed"
            yield Violation("budget used up by others", one.phases[-1][0], words)
        looked = longest_look(played, failed[budget], failed[-1]) if failed[budget:] else 0.0
        if looked > _reaction(played):
            words = f"{one.name} failed {len(failed)} times; {budget} are allowed"
            yield Violation("budget overdrawn", failed[-1], words)


def _budget(played: Played) -> int:
    given = played.ti.task.backoff_limit
    return DEFAULT_BUDGET if given is None else given


def _reaction(played: Played) -> float:
    """Tell within how many seconds an end is seen and acted on: at once by a watch, else at the next look."""
    is_watching = played.ti.task.deferrable and not any(
        was_refused(played, right, 0.0, float("inf")) for right in ("watch jobs", "watch pods")
    )
    return WATCHING if is_watching else POLLING


def a_failure_was_one(played: Played) -> Iterator[Violation]:
    """Check: a preemption never fails a task, nor does anything else but an end of the training."""
    for fact in played.facts("raised"):
        found = _FAILED.match(fact.error)
        named = [one for one in _mine(played) if found and one.name == found[1]]
        for one in [one for one in named if one.created <= fact.at][-1:]:
            until = [phase for phase in one.phases if phase[0] <= fact.at]
            phase = until[-1][1]
            is_condemned = one.condemned is not None and one.condemned <= fact.at
            is_spent = one.failures(fact.at) > _budget(played)
            is_cut_short = phase == "Completed" and one.cut_short is not None
            if phase == "Failed" or is_condemned or is_spent or is_cut_short:
                continue
            yield Violation(f"false failure: {phase}", fact.at, fact.error[:150])


def a_success_was_whole(played: Played) -> Iterator[Violation]:
    """Check: exit code 0 after an eviction is no success, where the pods can be seen."""
    for fact in played.story.of("success"):
        if fact.who != played.ti.task_id or fact.why != "its worker says so":
            continue
        done = [one for one in _mine(played) if one.phase_at(fact.at)[1] == "Completed"]
        if done and all(_was_visibly_cut_short(played, one, fact.at) for one in done):
            yield Violation("success without training: cut short", fact.at, done[-1].name)


def _was_visibly_cut_short(played: Played, one: Training, until: float) -> bool:
    """Tell whether its last pod was taken away, and whether ours could know that."""
    if one.cut_short is None:
        return False

    def could(right: str) -> bool:
        return not was_refused(played, right, one.cut_short or 0.0, until, remembered=True)

    is_named = one.last in one.named and could("list events")
    return could("list pods") and (one.last in one.seen or is_named)


def a_refusal_lasts(played: Played) -> Iterator[Violation]:
    """Check: a 403 is final only after a while: a server that was just started refuses wrongly."""
    for fact in played.facts("raised", hopeless=True):
        kind = fact.error.removeprefix("AirflowFailException: ").partition(":")[0]
        if kind in ("Forbidden", "RightMissing") and not lasts_a_refusal(played, fact.at):
            yield Violation(f"refused in a moment: {kind}", fact.at, fact.error[:150])


def nothing_runs_on(played: Played) -> Iterator[Violation]:
    """Check: what we delete goes with its pods."""
    world = cast(ClusterWorld, played.world)
    for one in _mine(played):
        deleted = [f for f in played.story.of("deleted", ordinal=one.ordinal)]
        if deleted and deleted[0].who != "a person":
            for pod in world.pods_of(one):
                if phase_of(pod) not in ENDED and played.judged_at:
                    yield Violation("a pod runs on", deleted[0].at, pod["metadata"]["name"])


INVARIANTS: tuple[Invariant, ...] = (
    pods_do_not_write_together,
    strangers_are_not_changed,
    the_budget_is_the_authors,
    a_failure_was_one,
    a_success_was_whole,
    a_refusal_lasts,
    nothing_runs_on,
)
