"""A mirror is fed with what really comes: old versions, lost labels, nonsense; and it forgets on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.core.kubernetes.case import Case
from airflow_runai.core.kubernetes.incarnations import incarnations
from airflow_runai.core.kubernetes.mirror import KINDS, Mirror
from airflow_runai.core.kubernetes.verdict import TrainingVerdict, verdict
from tests.core.kubernetes.world import Object, Said, Training, World


def hear(world: World, *more: Said, mirror: Mirror | None = None) -> Mirror:
    mirror = mirror or Mirror()
    for one in (*world.said, *more):
        one.tell(mirror)
    return mirror


def known(mirror: Mirror, training: Training) -> Case:
    case = mirror.case(training.uid)
    assert case is not None
    return case


def judged(mirror: Mirror, training: Training) -> TrainingVerdict:
    case = known(mirror, training)
    return verdict(case, incarnations(case))


def ends(mirror: Mirror, training: Training) -> list[tuple[str, str, int | None]]:
    return [(one.ended, one.by, one.exit_code) for one in incarnations(known(mirror, training))]


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


def test_a_pod_that_was_removed_after_its_job_was_complete_had_finished() -> None:
    world = World()
    job = Training(world)
    pod = job.run()
    job.finish(pod, 0)
    world.wait(60)
    job.delete_pod(pod, 0)
    mirror = Mirror()
    for kind in ("Job", "Pod"):
        world.show_list(kind).tell(mirror)
    assert ends(mirror, job) == [("succeeded", "", 0)]
    assert judged(mirror, job).final == "succeeded"


def suspend(job: Training, pod: Object) -> None:
    job.suspend([pod], 143)


def suspend_and_resume(job: Training, pod: Object) -> None:
    job.suspend([pod], 143)
    job.resume()
    job.run()


def evict_by_kueue(job: Training, pod: Object) -> None:
    job.queue_evicts([pod], 143)
    job.run()


def deactivate(job: Training, pod: Object) -> None:
    job.queue_evicts([pod], 143, "Deactivated")
    job.run()


def exceed_deadline(job: Training, pod: Object) -> None:
    job.exceed_deadline(pod, 143)


def take(job: Training, pod: Object) -> None:
    job.take(pod, 143)


GAPS: dict[str, tuple[Callable[[Training, Object], None], bool, tuple[str, str, None]]] = {
    "suspended": (suspend, False, ("suspended", "", None)),
    "suspended and resumed": (suspend_and_resume, False, ("suspended", "", None)),
    "evicted by Kueue": (evict_by_kueue, True, ("preempted", "kueue", None)),
    "deactivated": (deactivate, True, ("suspended", "kueue", None)),
    "at its deadline": (exceed_deadline, False, ("deadline", "", None)),
    "taken by a person": (take, False, ("removed", "", None)),
}


@pytest.mark.parametrize("gap", GAPS)
def test_what_took_a_pod_in_a_gap_is_known_by_what_stays(gap: str) -> None:
    happen, kueue, expected = GAPS[gap]
    world = World()
    job = Training(world, kueue=kueue)
    pod = job.run()
    mirror = hear(world)
    happen(job, pod)
    world.wait(1.0)
    for kind in ("Job", "Workload", "Pod"):
        world.show_list(kind).tell(mirror)
    assert ends(mirror, job)[0] == expected


def test_an_event_that_comes_late_names_the_preemption_after_all() -> None:
    world = World()
    job = Training(world)
    job.evict(job.run(), 143)
    (event,) = (one for one in world.said if one.kind == "Event")
    world.said.remove(event)
    mirror = hear(world)
    assert ends(mirror, job) == [("removed", "", 143)]
    assert judged(mirror, job).events_of == {job.group(event_pod(world))}
    mirror.events([event.object], world.now + 5, group=job.group(event_pod(world)))
    assert ends(mirror, job) == [("preempted", "reclaim", 143)]
    assert judged(mirror, job).is_settled


def test_both_apis_for_events_are_understood() -> None:
    world = World()
    job = Training(world)
    job.evict(job.run(), 143)
    for one in world.said:
        if one.kind == "Event":
            one.object["regarding"] = one.object.pop("involvedObject")
            one.object["note"] = one.object.pop("message")
    assert ends(hear(world), job) == [("preempted", "reclaim", 143)]


def event_pod(world: World) -> Object:
    return next(one.object for one in world.said if one.kind == "Pod")


def test_events_that_were_asked_for_in_vain_are_not_asked_for_again() -> None:
    world = World()
    job = Training(world)
    job.evict(job.run(), 143, tell="nothing")
    mirror, group = hear(world), job.group(event_pod(world))
    mirror.events([], world.now - 3.0, group=group)
    assert judged(mirror, job).events_of == {group}
    mirror.events([], world.now + 3.0, group=group)
    assert judged(mirror, job).is_settled
    mirror = hear(world)
    mirror.refused("Event")
    assert judged(mirror, job).is_settled


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


@pytest.mark.parametrize("code", [1, 137, 143])
def test_a_container_that_the_node_lost_is_no_failure(code: int) -> None:
    world = World()
    job = Training(world)
    pod = job.run()
    job.end(pod, code, "ContainerStatusUnknown")
    assert ends(hear(world), job) == [("infrastructure", "ContainerStatusUnknown", code)]


def test_pressure_on_a_node_is_no_failure() -> None:
    world = World()
    job = Training(world)
    pod = job.run()
    pod["status"]["reason"] = "Evicted"
    job.end(pod, 137)
    assert ends(hear(world), job) == [("infrastructure", "Evicted", 137)]


def test_the_container_of_the_training_decides() -> None:
    world = World()
    job = Training(world)
    pod = job.run()
    pod["spec"]["containers"] = [{"name": "sidecar"}, {"name": "main"}]
    pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] = "main"
    ended = {"exitCode": 7, "reason": "Error"}
    pod["status"]["phase"] = "Failed"
    pod["status"]["containerStatuses"] = [
        {"name": "sidecar", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
        {"name": "main", "state": {"terminated": ended}},
    ]
    world.write("Pod", pod)
    assert ends(hear(world), job) == [("failed", "", 7)]


def test_an_orphan_belongs_to_the_job_that_made_it() -> None:
    world = World()
    job = Training(world)
    pod = job.run()
    job.write("DELETED")
    job.let_go(pod)
    pod["metadata"]["ownerReferences"] = []
    world.write("Pod", pod)
    assert ends(hear(world), job) == [("", "", None)]
    job.end(pod, 0)
    assert ends(hear(world), job) == [("succeeded", "", 0)]
    assert judged(hear(world), job).final == "deleted"


def test_a_pod_that_waited_when_its_job_was_deleted_is_removed() -> None:
    world = World()
    job = Training(world)
    pod = job.run()
    pod["status"] = {"phase": "Pending"}
    world.write("Pod", pod)
    job.delete([pod], 137)
    world.said = [
        one for one in world.said if not one.object.get("status", {}).get("containerStatuses")
    ]
    assert ends(hear(world), job)[0][0] == "removed"


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
    mirror.forget(job.uid)
    assert mirror.case(job.uid) is None
    for name, kept in vars(mirror).items():
        if name not in ("_listed", "_through"):
            assert {k: v for k, v in dict(kept).items() if v} == dict(vars(alone)[name]), name


def test_a_history_remembers_pods_that_are_forgotten() -> None:
    world = World()
    job = Training(world)
    job.finish(job.run(), 3)
    job.evict(job.run(), 143)
    job.finish(job.run(), 0)
    mirror = hear(world)
    lives = incarnations(known(mirror, job))
    mirror.forget_pods(one.uid for one in lives[:2])
    assert len(known(mirror, job).pods) == 1
    case = known(mirror, job)
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
