"""The phase of a training, with its message, at each step of a life."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_runai.core.kubernetes.incarnations import incarnations
from airflow_runai.core.kubernetes.mirror import Mirror
from airflow_runai.core.kubernetes.phase import PhaseReading, phase_of
from airflow_runai.core.kubernetes.verdict import verdict
from airflow_runai.core.phases import PHASES
from airflow_runai.core.timeline import Moment
from tests.core.kubernetes.gangs import Gang
from tests.core.kubernetes.trainings import Training
from tests.core.kubernetes.world import Object, World


def phase(world: World, training: Training | Gang) -> PhaseReading:
    mirror = Mirror()
    for one in world.said:
        one.tell(mirror)
    case = mirror.case(training.uid)
    assert case is not None
    lives = incarnations(case)
    reading = phase_of(case, lives, verdict(case, lives))
    assert reading.phase in PHASES
    return reading


def waits(pod: Object, reason: str, message: str) -> None:
    pod["status"]["phase"] = "Pending"
    waiting = {"waiting": {"reason": reason, "message": message}}
    pod["status"]["containerStatuses"] = [{"name": "main", "state": waiting}]


def unplaced(job: Training) -> None:
    pod = job.run()
    job.world.said = [one for one in job.world.said if one.kind != "Pod"]
    del pod["spec"]["nodeName"]
    pod["status"] = {
        "phase": "Pending",
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "no GPU",
            }
        ],
    }
    job.world.write("Pod", pod)


def image_error(job: Training) -> None:
    pod = job.run()
    waits(pod, "ImagePullBackOff", "Back-off pulling image")
    job.world.write("Pod", pod)


def leaving(job: Training) -> None:
    pod = job.run()
    job.delete_pod(pod, 30)
    job.evict_event(pod, "reclaim")


def suspended(job: Training) -> None:
    job.suspend([job.run()], 143)


def taken_with_0(job: Training) -> None:
    job.evict(job.run(), 0)


def failing(job: Training) -> None:
    job.finish(job.run(), 3)
    job.give_up()


def past_deadline(job: Training) -> None:
    job.delete_pod(job.run(), 30)
    job.condition("FailureTarget", "True", "DeadlineExceeded")
    job.write()


def foreground(job: Training) -> None:
    job.run()
    job.job["metadata"]["deletionTimestamp"] = "2023-11-14T22:13:30Z"
    job.write()


STEPS: dict[str, tuple[Callable[[Training], object], str, str]] = {
    "nothing yet": (lambda job: None, "Creating", "no pod exists yet"),
    "no place": (unplaced, "Pending", "Unschedulable: no GPU"),
    "no image": (image_error, "Initializing", "ImagePullBackOff: Back-off pulling image"),
    "runs": (lambda job: job.run(), "Running", "on node-0"),
    "leaves": (leaving, "Terminating", "was preempted by workload"),
    "is suspended": (suspended, "Stopped", "is suspended"),
    "its Job has not said yet": (lambda job: job.end(job.run(), 0), "Terminating", "succeeded"),
    "is done": (lambda job: job.finish(job.run(), 0), "Completed", "CompletionsReached!"),
    "was taken and exits 0": (taken_with_0, "Failed", "ended with exit code 0"),
    "has failed": (failing, "Failed", "BackoffLimitExceeded!"),
    "goes down at its deadline": (past_deadline, "Terminating", "DeadlineExceeded!"),
    "is being deleted": (foreground, "Deleting", ""),
    "is gone": (lambda job: job.delete([job.run()], 143), "Deleting", ""),
}


@pytest.mark.parametrize("step", STEPS)
def test_each_step_has_its_phase(step: str) -> None:
    live, expected, words = STEPS[step]
    world = World()
    job = Training(world)
    live(job)
    reading = phase(world, job)
    assert reading.phase == expected
    assert words in reading.message
    assert abs(reading.since - world.now) < 10


def test_only_a_preemption_is_called_one_while_the_next_pod_is_waited_for() -> None:
    for evict, is_preemption in (
        (Training.evict, True),
        (Training.take, False),
        (Training.drain, False),
    ):
        world = World()
        job = Training(world)
        evict(job, job.run(), 143)
        reading = phase(world, job)
        assert reading.phase == "Pending"
        assert Moment(0.0, reading.phase, reading.message).is_preemption == is_preemption


@pytest.mark.parametrize(
    ("evictions", "delay"), [(1, 10), (2, 20), (3, 40), (6, 320), (7, 600), (30, 600)]
)
def test_the_next_start_is_told(evictions: int, delay: float) -> None:
    world = World()
    job = Training(world)
    for _ in range(evictions):
        job.evict(job.run(), 143)
    ended = int(world.now - 1.1)
    reading = phase(world, job)
    assert reading.next_start is not None
    assert abs(reading.next_start - ended - delay) <= 1
    assert "the next pod starts at 20" in reading.message


def test_a_suspension_delays_nothing() -> None:
    world = World()
    job = Training(world)
    job.suspend([job.run()], 143)
    job.resume()
    assert phase(world, job).next_start is None


def test_kueue_decides_when_a_suspended_training_runs() -> None:
    world = World()
    job = Training(world, kueue=True)
    job.job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "train"
    pod = job.run()
    assert job.workload
    job.condition("Evicted", "True", "Preempted", job.workload)
    job.condition("QuotaReserved", "False", "Pending", job.workload)
    world.write("Workload", job.workload)
    job.suspend([pod], 143, ended=("preempted", "kueue"))
    reading = phase(world, job)
    assert (reading.phase, reading.message) == (
        "Pending",
        "preempted by kueue: Preempted!; Pending!",
    )
    job.workload["spec"]["active"] = False
    world.write("Workload", job.workload)
    assert phase(world, job).phase == "Stopped"


def test_a_queue_without_a_workload_is_said() -> None:
    world = World()
    job = Training(world)
    job.job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "train"
    job.job["spec"]["suspend"] = True
    job.write()
    assert phase(world, job).message == "Kueue has no Workload for it yet"


def test_a_gang_of_which_a_part_runs_is_degraded() -> None:
    world = World()
    job = Training(world, pods=2)
    job.run(0)
    second = job.run(1)
    assert phase(world, job).phase == "Running"
    waits(second, "ContainerCreating", "")
    world.write("Pod", second)
    assert phase(world, job).phase == "Degraded"


def test_a_gang_of_which_a_member_has_failed_runs_no_more() -> None:
    world = World()
    gang = Gang(world, 3)
    pods = gang.run()
    world.wait(10.0)
    gang.fail(pods, {1}, 3)
    words = f"{pods[1]['metadata']['name']} failed with exit code 3 (Error)"
    reading = phase(world, gang)
    assert (reading.phase, reading.message) == ("Terminating", words)
    gang.restart(pods)
    assert phase(world, gang).message.startswith(words)


def test_only_what_has_succeeded_by_itself_is_said_to_succeed() -> None:
    for live, succeeds in (
        (lambda job: job.end(job.run(), 0), True),
        (lambda job: job.end(job.run(), 3), False),
        (lambda job: job.evict(job.run(), 0), False),
        (leaving, False),
    ):
        world = World()
        job = Training(world)
        live(job)
        assert phase(world, job).succeeds is succeeds


def test_a_gang_whose_last_member_has_succeeded_after_another_failed_does_not_succeed() -> None:
    world = World()
    gang = Gang(world, 2)
    pods = gang.run()
    world.wait(10.0)
    gang.fail(pods, {0}, 3)
    gang.jobs[1].end(pods[1], 0)
    reading = phase(world, gang)
    assert not reading.succeeds
    assert reading.message.startswith(f"{pods[0]['metadata']['name']} failed with exit code 3")
