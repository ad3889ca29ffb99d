"""kube-scheduler alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tests.referee.others import plain_job
from tests.referee.scenes.kai import begin, ends_by_itself
from tests.referee.scenes.kai_troubles import drain
from tests.referee.scenes.scene import Scene
from tests.referee.stage import Stage


async def preempted(stage: Stage) -> None:
    await begin(stage)
    await stage.until_runs(then=2)
    stage.make(plain_job("urgent-eval-1", 4, gpus=2, priority="build"))
    await stage.until_gone()
    await stage.say()
    await stage.until(lambda: stage.told("Completed", "urgent-eval-1"), "the rival's end")
    await stage.finish()


async def unschedulable(stage: Stage) -> None:
    await begin(stage)
    await stage.until(lambda: stage.told("FailedScheduling"), "the scheduler's word", then=1)
    await stage.say()
    await asyncio.sleep(7)
    await stage.say(2)
    await asyncio.sleep(1)
    await stage.leave()


SCENES: Mapping[str, Scene] = {
    "plain/drain": drain,
    "plain/preempt-exit-0": preempted,
    "plain/priority-preempt": preempted,
    "plain/run-succeed": ends_by_itself,
    "plain/unschedulable": unschedulable,
}
