"""KAI: a Job that runs, fails, waits and is evicted."""

from __future__ import annotations

import asyncio
import functools
import shutil
from collections.abc import Mapping

from tests.referee.others import kai_job
from tests.referee.scenes.scene import Scene
from tests.referee.stage import Stage
from tests.rig import objects
from tests.rig.api import Object

#: Another team, within its quota, wants a GPU back.
RIVAL = kai_job("urgent-eval-1", "team-a", 5)
#: Somebody of the same team with a better class.
BETTER = kai_job("urgent-eval-1", "team-a", 5, priority="build-preemptible")


async def begin(stage: Stage) -> None:
    """Watch and create."""
    await stage.watch()
    await stage.say()


async def just_runs(stage: Stage) -> None:
    await begin(stage)
    await stage.until_runs(then=0.5)
    await stage.say()
    await stage.finish()


async def ends_by_itself(stage: Stage) -> None:
    await begin(stage)
    await stage.finish()


async def killed_for_memory(stage: Stage) -> None:
    await stage.watch()
    await stage.say(orders={"rig.airflow-runai/oom-after": "3"})
    await stage.finish()


def failures(stage: Stage) -> int:
    """Return how many failures the Job has counted."""
    return sum(job.object.get("status", {}).get("failed", 0) for job in stage.seen("Job"))


async def fails_then_succeeds(stage: Stage) -> None:
    bind_claim(stage, "checkpoints")
    await begin(stage)
    await stage.until(lambda: failures(stage) == 1, "the first failure")
    await stage.say(3)
    await stage.finish()


def bind_claim(stage: Stage, name: str) -> None:
    """Make an empty volume and a claim that is bound to it by hand: the controller for that does not run."""
    api, claims, volumes = (
        stage.cluster.api,
        stage.path("persistentvolumeclaims"),
        "/api/v1/persistentvolumes",
    )
    folder = stage.cluster.folder / "volumes" / name
    stage.afterwards.callback(shutil.rmtree, folder, ignore_errors=True)
    stage.afterwards.callback(api.remove, f"{volumes}/{name}")
    stage.afterwards.callback(api.remove, f"{claims}/{name}")
    objects.add_bound_claim(api, stage.recording.header.namespace, name, folder)


async def spends_its_budget(stage: Stage) -> None:
    await begin(stage)
    await stage.until(lambda: failures(stage) == 1, "the first failure")
    await stage.say(2)
    await stage.until(lambda: failures(stage) == 2, "the second failure")
    await stage.say_all_but(0)
    await stage.finish()


async def evicted(stage: Stage, rival: Object) -> None:
    """A rival comes when the training has run for 1.5 s; the client asks why its pod is gone."""
    await begin(stage)
    await stage.until_runs(then=1.5)
    stage.make(rival)
    await stage.until_gone()
    await stage.say_all_but(1)
    await stage.finish()


async def evicted_with_condition(stage: Stage) -> None:
    await asyncio.to_thread(stage.cluster.set_eviction_condition, True)
    stage.afterwards.callback(stage.cluster.set_eviction_condition, False)
    await evicted(stage, RIVAL)


async def evicted_three_times(stage: Stage) -> None:
    await begin(stage)
    for number in (1, 2, 3):
        await stage.until_runs(number, then=1.5)
        stage.make(kai_job(f"urgent-eval-{number}", "team-a", 3))
        await stage.until_gone(number)
        await stage.say(4)
    await stage.finish()


async def evicted_after_a_long_wait(stage: Stage) -> None:
    await stage.watch()
    await stage.make_and_see_it_run(
        kai_job("shared-sweep-1", "team-b", 13, gpus=2, priority="build-preemptible")
    )
    await asyncio.sleep(1.2)
    await stage.say()
    await stage.until_runs(then=1.5)
    stage.make(kai_job("urgent-eval-1", "team-a", 3))
    await stage.until_gone()
    await stage.say(2)
    await stage.finish()


async def followed_over_an_eviction(stage: Stage) -> None:
    await begin(stage)
    await stage.until_runs()
    await stage.say()
    await asyncio.sleep(1.5)
    stage.make(RIVAL)
    await stage.until_gone(then=1)
    await stage.say(3)
    await stage.until_runs(2)
    await stage.say()
    await stage.finish()


async def consolidated(stage: Stage) -> None:
    """Two trainings on two nodes; who wants a whole node makes one of them move."""
    stage.afterwards.callback(stage.cluster.remove_node, "node-1")
    await asyncio.to_thread(stage.cluster.add_node, "node-1")
    await begin(stage)
    await stage.until_runs()
    await stage.make_and_see_it_run(kai_job("filler", "team-b", 100))
    await stage.say()
    await stage.until_runs(2)
    stage.cluster.api.delete(stage.path("jobs", "filler"))
    await asyncio.sleep(2.5)
    stage.make(kai_job("big-eval-1", "team-b", 4, gpus=2))
    await stage.until_gone(2, then=1)
    await stage.say(2)
    await stage.until_ended("nightly-bert-33a")
    await stage.say()
    await stage.until_ended("nightly-bert-33b")
    await stage.say()
    await asyncio.sleep(0.5)
    for one in stage.seen("Job"):
        stage.cluster.api.delete(stage.path("jobs", one.name))
    stage.cluster.api.delete(stage.path("jobs", "big-eval-1"))
    await stage.leave()


SCENES: Mapping[str, Scene] = {
    "kai/01-submit-run-succeed": just_runs,
    "kai/02-fail-exit-code": ends_by_itself,
    "kai/03-fail-then-succeed": fails_then_succeeds,
    "kai/04-budget-exhausted": spends_its_budget,
    "kai/05-oom": killed_for_memory,
    "kai/08-reclaim-and-resume": functools.partial(evicted, rival=RIVAL),
    "kai/09-reclaim-eviction-condition": evicted_with_condition,
    "kai/10-priority-preempt": functools.partial(evicted, rival=BETTER),
    "kai/11-three-evictions": evicted_three_times,
    "kai/12-evict-exit-0": functools.partial(evicted, rival=RIVAL),
    "kai/13-evict-ignores-sigterm": functools.partial(evicted, rival=RIVAL),
    "kai/20-log-follow-over-preemption": followed_over_an_eviction,
    "kai/22-active-deadline": ends_by_itself,
    "kai/30-queued-long-then-reclaimed": evicted_after_a_long_wait,
    "kai/33-consolidation": consolidated,
}
