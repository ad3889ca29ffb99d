"""Whatever happens to a training, and in whatever order a client hears of it, it is told right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_runai.core.kubernetes.incarnations import PodIncarnation, incarnations
from airflow_runai.core.kubernetes.mirror import Mirror
from airflow_runai.core.kubernetes.verdict import TrainingVerdict, verdict
from tests.core.kubernetes.stories import Story, gang_stories, stories
from tests.core.kubernetes.world import Said

any_story = stories() | gang_stories()
many = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def told(said: Iterable[Said], uid: str) -> tuple[tuple[PodIncarnation, ...], TrainingVerdict]:
    mirror = Mirror()
    for one in said:
        one.tell(mirror)
    case = mirror.case(uid)
    assert case is not None
    lives = incarnations(case)
    return lives, verdict(case, lives)


def ends(lives: Iterable[PodIncarnation]) -> dict[str, tuple[Any, ...]]:
    return {
        one.uid: (one.ended, one.by if one.ended == "preempted" else "", one.exit_code)
        for one in lives
        if one.ended
    }


def truths(story: Story) -> dict[str, tuple[Any, ...]]:
    return {
        uid: (one.ended, (one.by or "") if one.ended == "preempted" else "", one.code)
        for uid, one in story.world.truth.items()
    }


@many
@given(any_story)
def test_who_hears_everything_tells_the_truth(story: Story) -> None:
    lives, judged = told(story.world.said, story.training.uid)
    assert ends(lives) == truths(story)
    assert (judged.final, judged.failures) == (story.final, story.failures)


@many
@given(any_story, st.data())
def test_neither_order_nor_repetition_matters(story: Story, data: st.DataObject) -> None:
    said = story.world.said
    again = data.draw(st.lists(st.sampled_from(said), max_size=10))
    mixed = data.draw(st.permutations([*said, *again]))
    assert told(mixed, story.training.uid) == told(said, story.training.uid)


@many
@given(any_story, st.data())
def test_without_events_nobody_is_accused_and_the_end_is_the_same(
    story: Story, data: st.DataObject
) -> None:
    heard = [one for one in story.world.said if one.kind != "Event" or data.draw(st.booleans())]
    lives, judged = told(heard, story.training.uid)
    true = truths(story)
    for uid, (ended, by, code) in ends(lives).items():
        assert (ended, code) in {(true[uid][0], true[uid][2]), ("removed", true[uid][2])}
        assert by in ("", true[uid][1])
    assert (judged.final, judged.failures) == (story.final, story.failures)


@many
@given(any_story, st.data())
def test_a_gap_costs_details_and_never_the_truth(story: Story, data: st.DataObject) -> None:
    """The client is away for a while, and lists anew when it comes back."""
    said = story.world.said
    begin = data.draw(st.integers(0, len(said)))
    end = data.draw(st.integers(begin, len(said)))
    heard = [*said[:begin], *lists_after(said[:end]), *said[end:]]
    lives, judged = told(heard, story.training.uid) if is_known(heard, story) else ((), None)
    true = truths(story)
    for uid, (ended, _, code) in ends(lives).items():
        # Of several things that happened in a gap, each may be what took the pod; own ends are seen.
        assert ended == true[uid][0] or ended not in ("succeeded", "failed", "infrastructure")
        assert code in (true[uid][2], None)
    if judged is None:
        return
    assert judged.failures <= story.failures
    if story.final == "failed":
        seen_all = {one.uid for one in lives} >= set(true)
        assert judged.final != "succeeded" or not seen_all
    else:
        assert judged.final == story.final


def is_known(heard: Iterable[Said], story: Story) -> bool:
    return any(
        story.training.uid in str(one.object) for one in heard if one.kind in ("Job", "JobSet")
    )


def lists_after(said: list[Said]) -> list[Said]:
    """What lists show after all this was said."""
    store: dict[str, Said] = {}
    for one in said:
        uid = one.object.get("metadata", {}).get("uid", "")
        if one.how == "DELETED":
            store.pop(uid, None)
        elif uid:
            store[uid] = one
    version = max(
        (
            int(one.object["metadata"]["resourceVersion"])
            for one in said
            if "metadata" in one.object
        ),
        default=1,
    )
    at = said[-1].at if said else 0.0
    shown = []
    for kind in ("JobSet", "Job", "Pod", "Workload"):
        items = [one.object for one in store.values() if one.kind == kind]
        shown.append(Said(at, kind, "LISTED", {"items": items, "version": version}))
    return shown
