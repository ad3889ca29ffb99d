"""What happens to a pod did not happen to the one before it, however late somebody looks."""

from __future__ import annotations

from airflow_runai.core.kubernetes.incarnations import PodIncarnation, incarnations
from airflow_runai.core.kubernetes.mirror import Mirror
from tests.core.kubernetes.readings import ends, hear, known
from tests.core.kubernetes.trainings import Training
from tests.core.kubernetes.world import START, World


def look(world: World, mirror: Mirror) -> None:
    """List all, as who polls does."""
    world.wait(1.0)
    for kind in ("Job", "Workload", "Pod"):
        world.show_list(kind).tell(mirror)


def lives_of(mirror: Mirror, job: Training, kept: list[PodIncarnation]) -> list[PodIncarnation]:
    """Return the incarnations, kept over all looks."""
    return list(incarnations(known(mirror, job), kept))


def test_each_of_several_evictions_by_kueue_between_two_looks_has_its_own_time() -> None:
    world = World()
    job, mirror, kept = Training(world, kueue=True), Mirror(), list[PodIncarnation]()
    for _ in range(3):
        pod = job.run()
        look(world, mirror)
        kept = lives_of(mirror, job, kept)
        job.queue_evicts([pod], 143)
    paused = [one for one in world.said if one.kind == "Job" and one.object["spec"]["suspend"]]
    paused[-1].tell(mirror)  # of the last one, its Job was seen while it was suspended
    job.run()
    look(world, mirror)
    first, second, third, fourth = kept = lives_of(mirror, job, kept)
    assert [one.ended for one in kept] == ["preempted", "preempted", "preempted", ""]
    for one, following in ((first, second), (second, third), (third, fourth)):
        assert one.end is None or one.made <= one.end <= following.made


def test_kueue_did_not_evict_whom_a_person_took_before_its_successor() -> None:
    world = World()
    job, mirror = Training(world, kueue=True), Mirror()
    pod = job.run()
    look(world, mirror)
    job.delete_pod(pod)
    job.vanish(pod)
    second = job.run()
    look(world, mirror)
    assert ends(mirror, job) == [("removed", "", None), ("", "", None)]
    job.queue_evicts([second], 143)
    job.run()
    look(world, mirror)
    assert [one[0] for one in ends(mirror, job)] == ["removed", "preempted", ""]


def test_a_pod_that_only_the_history_knows_ended_when_its_job_was_suspended() -> None:
    world = World()
    job, mirror = Training(world, kueue=True), Mirror()
    pod = job.run(wait=50.0)
    look(world, mirror)
    kept = lives_of(mirror, job, [])
    job.suspend([pod], 143, ended=("preempted", "kueue"))
    suspended_at = world.now
    world.wait(100.0)
    late = Mirror()
    look(world, late)
    (life,) = lives_of(late, job, kept)
    assert life.end is not None
    assert START < life.end <= suspended_at


def test_kueue_evicted_a_pod_of_the_same_second_that_only_the_history_knows() -> None:
    world = World()
    job = Training(world, kueue=True)
    pod = job.run(wait=0.0)
    kept = lives_of(hear(world), job, [])
    assert job.workload
    assert kept[0].made == int(world.now)
    job.condition("Evicted", "True", "LocalQueueStopped", job.workload)
    world.write("Workload", job.workload)
    job.suspend([pod], 143, ended=("suspended", "kueue"))
    late = Mirror()
    look(world, late)
    (life,) = lives_of(late, job, kept)
    assert (life.ended, life.by) == ("suspended", "kueue")


def test_of_pods_that_live_beside_each_other_none_is_the_successor() -> None:
    world = World()
    job = Training(world, pods=2)
    pods = [job.run(), job.run()]
    for number, pod in enumerate(pods):
        pod["metadata"]["name"] = f"{job.name}-{number:05d}"
        world.write("Pod", pod)
    mirror = hear(world)
    world.wait(100.0)
    job.vanish(pods[0])
    world.show_list("Pod").tell(mirror)
    first, _ = known(mirror, job).pods
    assert first.presence.left_at > START + 100
