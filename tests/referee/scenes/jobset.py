"""JobSets under kube-scheduler: a master and workers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from tests.referee.others import plain_job
from tests.referee.scenes.kai import begin
from tests.referee.scenes.scene import Scene
from tests.referee.stage import Stage


async def until_all_run(stage: Stage, pods: Iterable[int], then: float = 0) -> None:
    """Wait until pods of some numbers run, and then some seconds."""
    for number in pods:
        await stage.until_runs(number)
    await asyncio.sleep(then)


async def until_all_gone(stage: Stage, pods: Iterable[int], then: float = 0) -> None:
    """Wait until pods of some numbers are gone, and then some seconds."""
    for number in pods:
        await stage.until_gone(number)
    await asyncio.sleep(then)


async def just_runs(stage: Stage) -> None:
    await begin(stage)
    await until_all_run(stage, (1, 2, 3))
    await stage.say()
    await stage.finish()


async def worker_fails(stage: Stage) -> None:
    await begin(stage)
    await until_all_run(stage, (4, 5, 6))
    await stage.say()
    await stage.finish()


async def restarts_spent(stage: Stage) -> None:
    await begin(stage)
    await stage.until_ended(stage.recording.labels[0].name)
    await stage.say()
    await asyncio.sleep(3)
    await stage.leave()


async def suspended(stage: Stage) -> None:
    jobset = stage.path("jobsets", stage.recording.labels[0].name)
    await begin(stage)
    await until_all_run(stage, (1, 2, 3), then=2)
    stage.cluster.api.merge(jobset, {"spec": {"suspend": True}})
    await until_all_gone(stage, (1, 2, 3))
    await stage.say()
    await asyncio.sleep(4)
    stage.cluster.api.merge(jobset, {"spec": {"suspend": False}})
    await stage.finish()


async def member_preempted(stage: Stage) -> None:
    """The scheduler takes who started last; both start in the same second, so the worker is made older by hand."""
    await begin(stage)
    await until_all_run(stage, (1, 2), then=2)
    worker = next(pod for pod in stage.seen("Pod") if "-worker-" in pod.name)
    today = worker.object["metadata"]["creationTimestamp"][:10]
    older = {"status": {"startTime": f"{today}T00:00:00Z"}}
    stage.cluster.api.merge(f"{stage.path('pods', worker.name)}/status", older)
    stage.make(plain_job("urgent-eval-1", 3, gpus=1, priority="build"))
    await until_all_run(stage, (3, 4))
    await stage.say()
    await stage.finish()


SCENES: Mapping[str, Scene] = {
    "jobset/gang-succeed": just_runs,
    "jobset/restarts-exhausted": restarts_spent,
    "jobset/suspend-resume": suspended,
    "jobset/worker-fails-and-set-restarts": worker_fails,
    "jobset/worker-preempted-and-set-restarts": member_preempted,
}
