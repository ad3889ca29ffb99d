"""Who ended a pod, where only details or what stays behind tell."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_runai.core.kubernetes.mirror import Mirror
from tests.core.kubernetes.readings import ends, event_pod, hear, judged
from tests.core.kubernetes.trainings import Training
from tests.core.kubernetes.world import NAMESPACE, Object, World


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


def test_an_eviction_by_kueue_of_which_only_a_later_state_was_seen_took_the_pod() -> None:
    world = World()
    job = Training(world, kueue=True)
    pod = job.run()
    assert job.workload
    job.condition("Evicted", "True", "Preempted", job.workload)
    job.job["spec"]["suspend"] = True
    job.let_go(pod)
    job.delete_pod(pod)
    job.condition("Suspended", "True", "JobSuspended")
    job.write()
    world.write("Workload", job.workload)
    mirror = Mirror()
    for kind in ("Job", "Workload", "Pod"):
        world.show_list(kind).tell(mirror)
    assert ends(mirror, job) == [("preempted", "kueue", None)]


def test_a_deadline_did_not_take_whom_a_person_took_before_it() -> None:
    world = World()
    job = Training(world)
    pod = job.run()
    job.delete_pod(pod, 30)
    world.wait(5.0)
    job.exceed_deadline(pod, 143)
    assert ends(hear(world), job) == [("removed", "", 143)]


def test_the_kube_scheduler_did_not_take_whom_a_person_took_before_it() -> None:
    world = World()
    job = Training(world)
    pod = job.run()
    job.delete_pod(pod)
    job.disrupt(pod, "PreemptionByScheduler", "default-scheduler: preempting")
    about = {"kind": "Pod", "namespace": pod["metadata"]["namespace"]}
    event = {"reason": "Preempted", "involvedObject": about | {"name": pod["metadata"]["name"]}}
    world.write("Event", {"metadata": {"name": "late", "uid": world.uid()}, **event}, "ADDED")
    job.end(pod, 143)
    assert ends(hear(world), job) == [("removed", "", 143)]


def test_a_pod_that_is_not_taken_after_all_lives() -> None:
    world = World()
    job = Training(world)
    pod = job.run()
    job.disrupt(pod, "PreemptionByScheduler", "default-scheduler: preempting")
    assert ends(hear(world), job) == [("", "", None)]
    job.condition("DisruptionTarget", "False", "", pod)
    world.write("Pod", pod)
    assert ends(hear(world), job) == [("", "", None)]
    job.finish(pod, 0)
    assert ends(hear(world), job) == [("succeeded", "", 0)]
    assert judged(hear(world), job).final == "succeeded"


def test_an_event_that_comes_late_names_the_preemption_after_all() -> None:
    world = World()
    job = Training(world)
    job.evict(job.run(), 143)
    (event,) = (one for one in world.said if one.kind == "Event")
    world.said.remove(event)
    mirror = hear(world)
    assert ends(mirror, job) == [("removed", "", 143)]
    assert judged(mirror, job).events_of == {job.group(event_pod(world))}
    mirror.events([event.object], world.now + 5, about=job.group(event_pod(world)))
    assert ends(mirror, job) == [("preempted", "reclaim", 143)]
    assert judged(mirror, job).is_settled


def test_the_events_of_a_pod_that_vanished_between_two_looks_are_asked_for() -> None:
    world = World()
    job = Training(world)
    pod = job.run()
    mirror = hear(world)
    job.evict(pod, 143)
    world.wait(1.0)
    for kind in ("Job", "Pod"):
        world.show_list(kind).tell(mirror)
    group = job.group(event_pod(world))
    assert judged(mirror, job).events_of == {group}
    (event,) = (one for one in world.said if one.kind == "Event")
    mirror.events([event.object], world.now + 5, about=group)
    assert ends(mirror, job)[0][:2] == ("preempted", "reclaim")


def test_what_the_kube_scheduler_says_of_a_pod_that_vanished_is_asked_for() -> None:
    world = World()
    job = Training(world, scheduler="default-scheduler")
    pod = job.run()
    mirror = hear(world)
    job.preempt(pod, 143)
    world.wait(1.0)
    for kind in ("Job", "Pod"):
        world.show_list(kind).tell(mirror)
    assert ends(mirror, job)[0][:2] == ("removed", "")
    assert judged(mirror, job).events_of == {job.uid}
    about = {"kind": "Pod", "namespace": NAMESPACE, "name": pod["metadata"]["name"]}
    event = {"reason": "Preempted", "message": "Preempted by pod a", "involvedObject": about}
    mirror.events([event], world.now + 5, about=job.uid)
    assert ends(mirror, job)[0][:2] == ("preempted", "kube-scheduler")
    assert judged(mirror, job).is_settled


def test_the_kube_scheduler_is_not_asked_about_a_pod_that_was_seen_leaving() -> None:
    world = World()
    job = Training(world, scheduler="default-scheduler")
    pod = job.run()
    job.delete_pod(pod)
    job.end(pod, 143)
    job.vanish(pod)
    mirror = hear(world)
    assert ends(mirror, job) == [("removed", "", 143)]
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


def test_events_that_were_asked_for_in_vain_are_not_asked_for_again() -> None:
    world = World()
    job = Training(world)
    job.evict(job.run(), 143, tell="nothing")
    mirror, group = hear(world), job.group(event_pod(world))
    mirror.events([], world.now - 3.0, about=group)
    assert judged(mirror, job).events_of == {group}
    mirror.events([], world.now + 3.0, about=group)
    assert judged(mirror, job).is_settled
    mirror = hear(world)
    mirror.refused("Event")
    assert judged(mirror, job).is_settled


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
