"""A mirror is fed with what really comes: old versions, lost labels, nonsense; and it forgets on request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.core.kubernetes.incarnations import incarnations
from airflow_runai.core.kubernetes.mirror import KINDS, Mirror
from airflow_runai.core.kubernetes.verdict import verdict
from tests.core.kubernetes.readings import ends, hear, judged, known
from tests.core.kubernetes.trainings import Training
from tests.core.kubernetes.world import World


def test_an_error_in_a_watch_asks_for_a_new_list() -> None:
    mirror = Mirror()
    status = {"kind": "Status", "code": 410, "reason": "Expired"}
    assert mirror.line(
        "Job", {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "7"}}}, 1.0
    )
    assert not mirror.line("Job", {"type": "ERROR", "object": status}, 2.0)
    assert mirror.through("Job") == 7


def test_a_lost_label_looks_like_a_deletion_until_somebody_looks() -> None:
    world = World()
    job = Training(world)
    job.run()
    job.write("DELETED")
    mirror = hear(world)
    seen = judged(mirror, job)
    assert (seen.final, seen.is_settled) == ("deleted", False)
    mirror.found("Job", job.job, world.now + 1)
    assert judged(mirror, job).final == ""


def test_a_deletion_is_settled_when_a_look_does_not_find_it() -> None:
    world = World()
    job = Training(world)
    job.delete([job.run()], 143)
    seen = judged(hear(world), job)
    assert (seen.final, seen.is_settled) == ("deleted", True)


def test_an_object_of_the_same_name_proves_that_the_old_one_is_gone() -> None:
    world = World()
    old = Training(world)
    new = Training(world)
    mirror = hear(world)
    seen = judged(mirror, old)
    assert (seen.final, seen.is_settled) == ("deleted", True)
    assert judged(mirror, new).final == ""


def test_what_a_new_list_lacks_is_gone() -> None:
    world = World()
    job = Training(world)
    pod = job.run()
    mirror = hear(world)
    assert ends(mirror, job) == [("", "", None)]
    del world.store[pod["metadata"]["uid"]]
    world.version += 5
    world.show_list("Pod").tell(mirror)
    assert ends(mirror, job) == [("removed", "", None)]


def test_a_completion_whose_last_pod_nobody_saw_end_is_no_success() -> None:
    world = World()
    job = Training(world)
    pod = job.run()
    mirror = hear(world)
    job.finish(pod, 0)
    del world.store[pod["metadata"]["uid"]]
    for kind in ("Job", "Pod"):
        world.show_list(kind).tell(mirror)
    seen = judged(mirror, job)
    assert seen.final == "failed"
    assert "before anybody saw it end" in seen.reason
    case = known(mirror, job)
    assert verdict(case, incarnations(case), reached_end=True).final == "succeeded"


def test_who_may_see_jobs_only_is_told_the_platforms_verdict() -> None:
    world = World()
    job = Training(world)
    job.finish(job.run(), 3)
    job.give_up()
    world.said = [one for one in world.said if one.kind == "Job"]
    mirror = hear(world)
    mirror.refused("Pod")
    seen = judged(mirror, job)
    assert (seen.final, seen.failures, seen.is_settled) == ("failed", 1, True)


def test_a_verdict_waits_for_the_pods_that_it_depends_on() -> None:
    world = World()
    job = Training(world)
    pod = job.run()
    before = len(world.said)
    job.evict(pod, 0)
    late = [one for one in world.said[before:] if one.kind == "Pod"]
    world.said = [one for one in world.said if one not in late]
    mirror = hear(world)
    assert not judged(mirror, job).is_settled
    for one in late:
        one.tell(mirror)
    seen = judged(mirror, job)
    assert (seen.final, seen.is_settled) == ("failed", True)


def test_a_completion_is_not_believed_before_the_pods_were_looked_at() -> None:
    world = World()
    job = Training(world)
    job.finish(job.run(), 0)
    mirror = Mirror()
    world.show_list("Job").tell(mirror)
    assert not judged(mirror, job).is_settled
    world.show_list("Pod").tell(mirror)
    seen = judged(mirror, job)
    assert (seen.final, seen.is_settled) == ("succeeded", True)


def test_what_is_forgotten_leaves_nothing_behind() -> None:
    world = World()
    job, other = Training(world), Training(world, "other")
    for one in (job, other):
        one.evict(one.run(), 143)
    mirror = hear(world)
    alone = Mirror()
    for said in world.said:
        if "other" in str(said.object):
            said.tell(alone)
    mirror.events([], world.now, about=job.uid)
    mirror.forget(job.uid)
    assert mirror.case(job.uid) is None
    assert what_is_kept(mirror) == what_is_kept(alone)


def what_is_kept(mirror: Mirror) -> dict[str, Any]:
    parts = {**vars(mirror), **vars(vars(mirror)["_words"])}
    for name in ("_listed", "_through", "_words"):
        parts.pop(name)
    return {
        name: {key: one for key, one in dict(part).items() if one} for name, part in parts.items()
    }


def test_a_history_remembers_pods_that_are_forgotten() -> None:
    world = World()
    job = Training(world)
    job.finish(job.run(), 3)
    job.evict(job.run(), 143)
    job.finish(job.run(), 0)
    case = known(hear(world), job)
    lives = incarnations(case)
    case = replace(case, pods=case.pods[2:])
    assert incarnations(case, lives) == lives
    assert verdict(case, incarnations(case, lives)).failures == 1


_nonsense: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    "metadata",
                    "uid",
                    "spec",
                    "status",
                    "conditions",
                    "type",
                    "reason",
                    "name",
                    "labels",
                    "finalizers",
                    "containerStatuses",
                    "state",
                    "terminated",
                    "exitCode",
                    "message",
                    "ownerReferences",
                    "resourceVersion",
                    "deletionTimestamp",
                    "involvedObject",
                    "annotations",
                )
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=60, deadline=None)
@given(
    _nonsense, st.sampled_from(KINDS), st.sampled_from(("ADDED", "MODIFIED", "DELETED", "BOOKMARK"))
)
def test_nonsense_hurts_nobody_else(found: Any, kind: str, form: str) -> None:
    world = World()
    job = Training(world)
    job.evict(job.run(), 143)
    mirror, clean = hear(world), hear(world)
    mirror.line(kind, {"type": form, "object": found}, world.now)
    mirror.line(kind, found, world.now)
    mirror.found(kind, found, world.now)
    mirror.events([found], world.now)
    if isinstance(found, dict):
        spoiled = {**job.job, **{k: found[k] for k in ("spec", "status") if k in found}}
        mirror.found(
            "Job", {**spoiled, "metadata": {**job.job["metadata"], "resourceVersion": "1"}}, 1.0
        )
    assert ends(mirror, job) == ends(clean, job)
