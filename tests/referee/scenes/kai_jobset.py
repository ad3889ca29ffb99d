"""JobSets under KAI: gangs of a master and a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tests.referee.others import kai_job
from tests.referee.scenes.jobset import until_all_gone, until_all_run
from tests.referee.scenes.kai import RIVAL, begin
from tests.referee.scenes.scene import Scene
from tests.referee.stage import Stage


async def just_runs(stage: Stage) -> None:
    await begin(stage)
    await until_all_run(stage, (1, 2))
    await stage.say(3)
    await stage.finish()


async def waits(stage: Stage) -> None:
    await stage.watch()
    await stage.make_and_see_it_run(kai_job("shared-sweep-1", "team-a", 9))
    await stage.say()
    await asyncio.sleep(4)
    await stage.say(3)
    await stage.finish()


async def reclaimed(stage: Stage) -> None:
    await begin(stage)
    await until_all_run(stage, (1, 2), then=1.5)
    stage.make(RIVAL)
    await until_all_gone(stage, (1, 2))
    await stage.say(3)
    await asyncio.sleep(2)
    await stage.say(3)
    await stage.finish()


async def reclaimed_with_condition(stage: Stage) -> None:
    await asyncio.to_thread(stage.cluster.set_eviction_condition, True)
    stage.afterwards.callback(stage.cluster.set_eviction_condition, False)
    await reclaimed(stage)


def phases(stage: Stage) -> list[str]:
    """Return the phases of all pods that the client saw."""
    return [pod.object["status"]["phase"] for pod in stage.seen("Pod")]


async def member_fails(stage: Stage) -> None:
    await begin(stage)
    await stage.until(lambda: "Failed" in phases(stage), "the failure of the worker")
    await stage.say(2)
    await until_all_run(stage, (3, 4))
    await stage.say(3)
    await stage.finish()


SCENES: Mapping[str, Scene] = {
    "kai-jobset/gang-succeed": just_runs,
    "kai-jobset/gang-waits-then-runs": waits,
    "kai-jobset/gang-reclaimed-and-resumed": reclaimed,
    "kai-jobset/gang-reclaimed-with-condition": reclaimed_with_condition,
    "kai-jobset/member-fails-and-set-restarts": member_fails,
}
