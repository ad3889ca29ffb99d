"""What must hold on a cluster, beside what must hold on every platform."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import cast

from tests.model.kubelet import phase_of
from tests.simulation.airflow import FINISHED
from tests.simulation.justice import state_at
from tests.simulation.kubernetes.world import ENDED, ClusterWorld, Training
from tests.simulation.simulation import Played
from tests.simulation.violation import Invariant, Violation

_FAILED = re.compile(r"(?:\w+: )?workload (\S+) failed: ")
#: While these last, failures are not counted: nobody looks, or nobody may write.
_UNCOUNTED = (
    "outage",
    "right",
    "triggerer",
    "take-over",
    "API server",
    "relabel",
    "annotate",
    "streams",
)
#: Failures that the author of a task allows who says nothing.
DEFAULT_BUDGET = 6


def _mine(played: Played) -> list[Training]:
    return cast(list[Training], played.mine)


def pods_do_not_write_together(played: Played) -> Iterator[Violation]:
    """Check: never two pods that may write the same checkpoints, of whatever generations."""
    if _is_unseen(played):
        return  # a limit: who sees no pods waits for their grace only
    runs = [(begin, end, one.name) for one in _mine(played) for begin, end in one.runs.values()]
    for (_, end, older), (begin, _, newer) in pairwise(sorted(runs)):
        if begin < end:
            words = f"a pod of {newer} is placed while one of {older} may write"
            yield Violation("two pods write", begin, words)


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
    """Check: interruptions never use up the budget, and failures of its own do."""
    budget = _budget(played)
    for one in _mine(played):
        if one.phase == "Failed" and one.failures <= budget:
            words = f"{one.name} ends after {one.failures} failures; {budget} are allowed"
            yield Violation("budget used up by others", one.phases[-1][0], words)
        is_awaited = state_at(played, one.phases[-1][0]) not in FINISHED
        if one.failures > budget + 1 and is_awaited and not _is_blind(played):
            words = f"{one.name} failed {one.failures} times; {budget} are allowed"
            yield Violation("budget overdrawn", one.phases[-1][0], words)


def _is_unseen(played: Played) -> bool:
    """Whether our side could not list pods, for a while at least."""
    acts = {f.detail for f in played.story.of("act", what="right is taken")}
    lacking = played.history.cluster.forbidden if played.history.cluster else ()
    return "list pods" in acts.union(lacking)


def _budget(played: Played) -> int:
    given = played.ti.task.backoff_limit
    return DEFAULT_BUDGET if given is None else given


def _is_spent(played: Played, one: Training) -> bool:
    return one.failures > _budget(played)


def _is_blind(played: Played) -> bool:
    """Whether nobody could count, or end it, for a while."""
    lacking = played.history.cluster and played.history.cluster.forbidden
    is_hidden = any(f.what.startswith(_UNCOUNTED) for f in played.story.of("act"))
    return bool(lacking or is_hidden or played.history.troubles)


def a_failure_was_one(played: Played) -> Iterator[Violation]:
    """Check: a preemption never fails a task, nor does anything else but an end of the training."""
    for fact in played.facts("raised"):
        found = _FAILED.match(fact.error)
        named = [one for one in _mine(played) if found and one.name == found[1]]
        for one in [one for one in named if one.created <= fact.at][-1:]:
            until = [phase for phase in one.phases if phase[0] <= fact.at]
            phase = until[-1][1]
            is_over = phase == "Failed" or one.condemned is not None or _is_spent(played, one)
            if is_over or (phase == "Completed" and one.cut_short):
                continue
            yield Violation(f"false failure: {phase}", fact.at, fact.error[:150])


def a_success_was_whole(played: Played) -> Iterator[Violation]:
    """Check: exit code 0 after an eviction is no success, where the pods can be seen."""
    if _is_unseen(played):
        return
    for fact in played.story.of("success"):
        if fact.who == played.ti.task_id and fact.why == "its worker says so":
            done = [one for one in _mine(played) if one.phase_at(fact.at)[1] == "Completed"]
            if done and all(one.cut_short for one in done):
                yield Violation("success without training: cut short", fact.at, done[-1].name)


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
    nothing_runs_on,
)
