"""Clocks follow from the incarnations, so whoever comes late computes the same ones."""

from __future__ import annotations

from hypothesis import given, settings

from airflow_runai.core.kubernetes.case import Case
from airflow_runai.core.kubernetes.history import TrainingHistory, read_history, write_history
from airflow_runai.core.kubernetes.incarnations import PodIncarnation, incarnations
from airflow_runai.core.kubernetes.mirror import Mirror
from airflow_runai.core.kubernetes.moments import moments
from airflow_runai.core.kubernetes.phase import phase_of
from airflow_runai.core.kubernetes.verdict import verdict
from airflow_runai.core.timeline import Clocks, Moment, clocks
from tests.core.kubernetes.gangs import Gang
from tests.core.kubernetes.stories import Story, stories
from tests.core.kubernetes.trainings import Training
from tests.core.kubernetes.world import World


def timeline(
    mirror: Mirror, uid: str, remembered: tuple[PodIncarnation, ...] = ()
) -> tuple[Moment, ...]:
    case = mirror.case(uid)
    assert case is not None
    lives = incarnations(case, remembered)
    return moments(case, lives, phase_of(case, lives, verdict(case, lives)))


def heard(world: World) -> Mirror:
    mirror = Mirror()
    for one in world.said:
        one.tell(mirror)
    return mirror


def clocks_of(world: World, training: Training | Gang) -> Clocks:
    return clocks(timeline(heard(world), training.uid), world.now)


def test_a_preempted_training_has_its_clocks() -> None:
    world = World()
    job = Training(world)
    job.evict(job.run(wait=100.0), 143)
    world.wait(50.0)
    job.finish(job.run(wait=200.0), 0)
    found = clocks_of(world, job)
    assert (found.interruptions, found.preemptions) == (1, 1)
    assert abs(found.running - 300) < 5
    assert abs(found.interrupted_total - 50) < 5


def test_what_is_still_leaving_has_not_left() -> None:
    world = World()
    job = Training(world)
    pod = job.run(wait=100.0)
    job.disrupt(pod, "EvictionByEvictionAPI", "Eviction API: evicting")
    job.delete_pod(pod, 30)
    phases = [moment.phase for moment in timeline(heard(world), job.uid)]
    assert phases == ["Creating", "Pending", "Running", "Terminating"]


def test_an_incarnation_whose_end_nobody_saw_was_over_before_the_next() -> None:
    world = World()
    job = Training(world)
    pod = job.run(wait=100.0)
    mirror = heard(world)
    job.evict(pod, 143)
    world.wait(50.0)
    job.run(wait=100.0)
    for kind in ("Job", "Pod"):
        world.show_list(kind).tell(mirror)
    found = clocks(timeline(mirror, job.uid), world.now)
    assert (found.interruptions, found.preemptions) == (1, 0)
    assert found.running > 100


def test_a_gang_that_begins_anew_between_two_looks_was_interrupted_once() -> None:
    world = World()
    gang, mirror = Gang(world, 2), Mirror()
    gang.jobs = [Training(world, f"gang-{n}", gang.set, 0, kueue=True) for n in range(2)]
    pods = [job.run(wait=1.5) for job in gang.jobs]
    # A set says that it is resumed when its Jobs have made their pods already.
    gang.jobs[0].condition("Suspended", "False", "JobsResumed", gang.set)
    gang.write()
    look(world, mirror)
    gang.fail(pods, {1}, 3)
    look(world, mirror)
    gang.restart(pods)
    gang.run()
    look(world, mirror)
    case = mirror.case(gang.uid)
    assert case is not None
    assert [one.ended for one in incarnations(case)] == ["removed", "failed", "", ""]
    shown = timeline(mirror, gang.uid)
    assert clocks(shown, world.now).interruptions == 1
    assert any("failed with exit code 3" in moment.message for moment in shown)


def test_a_member_that_is_done_before_the_next_has_started_interrupts_nothing() -> None:
    world = World()
    gang = Gang(world, 3)
    gang.jobs = [Training(world, f"gang-{n}", gang.set, 0) for n in range(3)]
    for job in gang.jobs:
        job.finish(job.run(wait=0.0), 0)
    gang.conclude("Completed")
    assert clocks_of(world, gang).interruptions == 0


def look(world: World, mirror: Mirror) -> None:
    """List all, as who polls does."""
    world.wait(1.0)
    for kind in ("JobSet", "Job", "Pod"):
        world.show_list(kind).tell(mirror)


def test_the_member_that_failed_says_why_a_gang_begins_anew() -> None:
    world = World()
    gang = Gang(world, 3)
    pods = gang.run()
    gang.fail(pods, {1}, 3)
    gang.restart(pods)
    told = [moment.message for moment in timeline(heard(world), gang.uid)]
    assert told[-1].startswith(f"{pods[1]['metadata']['name']} failed with exit code 3 (Error)")
    assert clocks_of(world, gang).interruptions == 1


def test_what_a_person_takes_out_of_the_queue_is_stopped_and_not_preempted() -> None:
    world = World()
    job = Training(world, kueue=True)
    job.queue_evicts([job.run(wait=100.0)], 143, "Deactivated")
    assert any(
        moment.message.startswith("stopped by kueue: ")
        for moment in timeline(heard(world), job.uid)
    )
    assert clocks_of(world, job).preemptions == 0


def test_a_suspension_is_an_interruption_and_no_preemption() -> None:
    world = World()
    job = Training(world)
    job.suspend([job.run(wait=100.0)], 143)
    job.resume()
    job.run(wait=100.0)
    found = clocks_of(world, job)
    assert (found.interruptions, found.preemptions) == (1, 0)


def test_a_gang_runs_while_all_of_it_does() -> None:
    world = World()
    gang = Gang(world, 3)
    pods = gang.run()
    world.wait(100.0)
    gang.evict(pods, [143, 143, 143], "event")
    gang.restart(pods)
    gang.run()
    world.wait(100.0)
    found = clocks_of(world, gang)
    assert (found.interruptions, found.preemptions) == (1, 1)
    assert abs(found.running - 200) < 10


@settings(max_examples=30, deadline=None)
@given(stories())
def test_who_comes_late_and_reads_the_history_computes_the_same(story: Story) -> None:
    world, uid = story.world, story.training.uid
    early = heard(world)
    case = early.case(uid)
    assert case is not None
    kept = TrainingHistory().with_lives(incarnations(case))
    late = Mirror()
    for one in world.said:
        if one.kind == "Job":
            one.tell(late)
    for kind in ("Pod", "Workload"):
        world.show_list(kind).tell(late)
    remembered = read_history(write_history(kept)).lives
    found = timeline(late, uid, remembered)
    assert [(one.at, one.phase) for one in found] == [
        (one.at, one.phase) for one in timeline(early, uid)
    ]
    lives = incarnations(known(late, uid), remembered)
    judged = verdict(known(late, uid), lives)
    assert (judged.final, judged.failures) == (story.final, story.failures)


def known(mirror: Mirror, uid: str) -> Case:
    case = mirror.case(uid)
    assert case is not None
    return case
