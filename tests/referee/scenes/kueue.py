"""Kueue: Jobs and JobSets that wait for quota, and lose it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping

from tests.referee.others import kueue_job
from tests.referee.scenes.jobset import until_all_gone, until_all_run
from tests.referee.scenes.kai import begin
from tests.referee.scenes.scene import Scene
from tests.referee.stage import Stage
from tests.rig.api import Object
from tests.rig.objects import add_local_queue

#: Somebody of the same queue with a better class.
BETTER = kueue_job("urgent-eval-1", "team-a", 4, priority="high")
#: Another team of the cohort, that wants its own GPU back.
LENDER = kueue_job("urgent-eval-1", "team-b", 4, priority="low")
#: The same without a class.
PLAIN_LENDER = kueue_job("urgent-eval-1", "team-b", 4)


async def just_runs(stage: Stage) -> None:
    await begin(stage)
    await stage.until_runs()
    await stage.say()
    await stage.finish()


async def waits_for_quota(stage: Stage) -> None:
    await stage.watch()
    for team in ("team-a", "team-b"):
        await stage.make_and_see_it_run(kueue_job("busy-1", team, 11, priority="low"))
    await stage.say()
    await stage.until(lambda: len(stage.seen("Workload")) == 2, "its Workload")
    await stage.say(3)
    await stage.finish()


async def queue_missing(stage: Stage) -> None:
    stage.afterwards.callback(stage.cluster.api.remove, stage.path("localqueues", "train-nlp"))
    await begin(stage)
    await stage.until(lambda: stage.shown("Inadmissible"), "Kueue's word", then=2)
    await stage.say(4)
    await asyncio.sleep(6)
    add_local_queue(stage.cluster.api, "team-a", "train-nlp", "team-a")
    await stage.finish()


async def preempted(stage: Stage, rival: Object) -> None:
    await begin(stage)
    await stage.until_runs(then=2)
    stage.make(rival)
    await stage.until_gone()
    await stage.say(3)
    await stage.finish()


async def preempted_where_nothing_can_be_borrowed(stage: Stage) -> None:
    await stage.make_and_see_it_run(kueue_job("busy-1", "team-b", 25))
    await preempted(stage, BETTER)


async def gang_reclaimed(stage: Stage) -> None:
    await begin(stage)
    await until_all_run(stage, (1, 2), then=2)
    stage.make(PLAIN_LENDER)
    await until_all_gone(stage, (1, 2))
    await stage.say(3)
    await stage.finish()


async def deactivated(stage: Stage) -> None:
    await begin(stage)
    await stage.until_runs(then=2)
    workload = stage.path("workloads", stage.seen("Workload")[0].name)
    stage.cluster.api.merge(workload, {"spec": {"active": False}})
    await stage.until_gone()
    await stage.say(3)
    await asyncio.sleep(8)
    await stage.say(2)
    await asyncio.sleep(1.5)
    await stage.leave()


SCENES: Mapping[str, Scene] = {
    "kueue/admitted-and-succeed": just_runs,
    "kueue/deactivated": deactivated,
    "kueue/evicted-exit-0": preempted_where_nothing_can_be_borrowed,
    "kueue/gang-reclaimed-and-resumed": gang_reclaimed,
    "kueue/preempted-by-priority-and-resumed": preempted_where_nothing_can_be_borrowed,
    "kueue/quota-wait": waits_for_quota,
    "kueue/reclaimed-in-cohort": functools.partial(preempted, rival=LENDER),
    "kueue/unknown-queue": queue_missing,
}
