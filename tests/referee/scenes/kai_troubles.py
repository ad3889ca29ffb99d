"""KAI: what persons, administrators, nodes and servers do to a Job."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tests.referee.others import kai_job
from tests.referee.scenes.kai import begin
from tests.referee.scenes.scene import Scene
from tests.referee.stage import Stage
from tests.rig.faults import expire_history

LABEL = "app.kubernetes.io/managed-by"
QUEUES = "/apis/scheduling.run.ai/v2/queues"


def job_of(stage: Stage) -> str:
    """Return the path of the client's Job."""
    return stage.path("jobs", stage.recording.labels[0].name)


def pod_of(stage: Stage) -> str:
    """Return the path of the client's first pod."""
    return stage.path("pods", stage.pod()["metadata"]["name"])


async def image_missing(stage: Stage) -> None:
    await stage.watch()
    await stage.say(orders={"rig.airflow-runai/image-error": "yes"})
    await stage.until(lambda: stage.shown("ErrImagePull"), "an image error")
    await stage.say()
    await asyncio.sleep(8)
    stage.cluster.api.delete(job_of(stage))
    await stage.until_gone(then=2)
    await stage.leave()


async def secret_missing(stage: Stage) -> None:
    secrets = stage.path("secrets")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "dataset-access"},
        "stringData": {"key": "k"},
    }
    await begin(stage)
    await stage.until(lambda: stage.shown("CreateContainerConfigError"), "the missing Secret")
    await stage.say()
    await asyncio.sleep(6)
    stage.cluster.api.create(secrets, secret)
    stage.afterwards.callback(stage.cluster.api.remove, f"{secrets}/dataset-access")
    await stage.finish()


async def suspended(stage: Stage) -> None:
    await begin(stage)
    await stage.until_runs(then=2)
    stage.cluster.api.merge(job_of(stage), {"spec": {"suspend": True}})
    await stage.until_gone()
    await stage.say(2)
    await asyncio.sleep(5)
    stage.cluster.api.merge(job_of(stage), {"spec": {"suspend": False}})
    await stage.finish()


async def made_again_under_its_name(stage: Stage) -> None:
    await begin(stage)
    await stage.until_runs(then=2)
    await stage.say(3)
    await stage.until_runs(2)
    await stage.finish()


async def queue_missing(stage: Stage) -> None:
    stage.afterwards.callback(stage.cluster.api.remove, f"{QUEUES}/team-nlp")
    await begin(stage)
    await stage.until(lambda: stage.shown("QueueDoesNotExist"), "the scheduler's word", then=3)
    await stage.say(3)
    await asyncio.sleep(5)
    stage.cluster.add_queue("team-nlp")
    await stage.finish()


async def quota_too_small(stage: Stage) -> None:
    stage.afterwards.callback(stage.cluster.add_queue, "team-a")
    await begin(stage)
    await stage.until(
        lambda: stage.shown("NonPreemptibleOverQuota"), "the scheduler's word", then=3
    )
    await stage.say(3)
    await asyncio.sleep(5)
    stage.cluster.add_queue("team-a", quota=2)
    await stage.finish()


def refresh(stage: Stage) -> None:
    """Start anew who watches the API server: after its restart they come back by themselves only within two minutes."""
    for part in ("kube-controller-manager", "kube-scheduler", "kai", "jobset", "kueue"):
        stage.cluster.restart(part)


async def history_lost_in_an_eviction(stage: Stage) -> None:
    """The Job controller pauses until the client is back: else, on a slow machine, the second pod ends unseen."""
    stage.afterwards.callback(refresh, stage)
    await begin(stage)
    await stage.until_runs(then=1.5)
    pod = pod_of(stage)
    await stage.client.pause()
    stage.make(kai_job("urgent-eval-1", "team-a", 4))
    await stage.until(lambda: stage.cluster.api.find(pod) is None, "the going of the pod")
    await stage.until(
        lambda: stage.cluster.api.get(job_of(stage))["status"].get("failed"),
        "the Job's count of it",
    )
    await asyncio.to_thread(stage.cluster.stop_part, "kube-controller-manager")
    await asyncio.to_thread(expire_history, stage.cluster)
    await stage.watch()
    await asyncio.to_thread(stage.cluster.start_part, "kube-controller-manager")
    await stage.say(2)
    await stage.finish()


async def server_restarted(stage: Stage) -> None:
    stage.afterwards.callback(refresh, stage)
    await begin(stage)
    await stage.until_runs(then=2)
    await asyncio.to_thread(stage.cluster.restart, "kube-apiserver")
    await stage.finish()


async def removed_by_its_time_to_live(stage: Stage) -> None:
    await begin(stage)
    await stage.until(
        lambda: [job.how for job in stage.seen("Job")] == ["DELETED"], "the Job's going", then=1.5
    )
    await stage.leave()


async def node_lost(stage: Stage) -> None:
    await begin(stage)
    await stage.until_runs(then=2)
    await asyncio.to_thread(stage.cluster.lose_node, "node-0")
    stage.afterwards.callback(stage.cluster.add_node, "node-0")
    await asyncio.sleep(1)
    stage.cluster.api.delete("/api/v1/nodes/node-0")
    await stage.until_gone()
    await stage.say(2)
    await asyncio.sleep(3)
    stage.afterwards.pop_all()
    await asyncio.to_thread(stage.cluster.add_node, "node-0")
    await stage.finish()


async def no_room_for_pods(stage: Stage) -> None:
    quotas = stage.path("resourcequotas")
    hard = {"pods": "0", "count/jobs.batch": "1"}
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "limits"},
        "spec": {"hard": hard},
    }
    stage.cluster.api.create(quotas, quota)
    stage.afterwards.callback(stage.cluster.api.remove, f"{quotas}/limits")
    await stage.until(
        lambda: stage.cluster.api.get(f"{quotas}/limits")["status"].get("used"),
        "the quota in force",
    )
    await begin(stage)
    await stage.until(lambda: stage.told("FailedCreate"), "a refused pod", then=1)
    await stage.say()
    await asyncio.sleep(9)
    await stage.say(2)
    stage.cluster.api.remove(f"{quotas}/limits")
    await stage.finish()


async def nothing_but_jobs_allowed(stage: Stage) -> None:
    await begin(stage)
    await stage.say()
    await asyncio.sleep(0.3)
    await stage.say(3)
    await stage.finish()


async def token_void(stage: Stage) -> None:
    await stage.say(9)
    await stage.until(
        lambda: stage.cluster.api.get(job_of(stage))["status"].get("completionTime"),
        "the Job's end",
    )
    await stage.leave()


async def pod_deleted(stage: Stage) -> None:
    await begin(stage)
    await stage.until_runs(then=2)
    stage.cluster.api.delete(pod_of(stage))
    await stage.until_gone(then=0.8)
    await stage.say(2)
    await stage.finish()


async def drain(stage: Stage) -> None:
    await begin(stage)
    await stage.until_runs(then=2)
    name = stage.pod()["metadata"]["name"]
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    stage.cluster.api.create(f"{pod_of(stage)}/eviction", body)
    await stage.until_gone(then=0.8)
    await stage.say_all_but(1)
    await stage.finish()


async def name_taken(stage: Stage) -> None:
    await stage.watch()
    stage.make(kai_job("nightly-bert-29", "team-a", 4, labels={}))
    await asyncio.sleep(0.5)
    await stage.say(3)
    await stage.finish()


async def label_removed(stage: Stage) -> None:
    await begin(stage)
    await stage.until_runs(then=2)
    stage.cluster.api.merge(job_of(stage), {"metadata": {"labels": {LABEL: None}}})
    await asyncio.sleep(1)
    await stage.say()
    await asyncio.sleep(3)
    stage.cluster.api.merge(job_of(stage), {"metadata": {"labels": {LABEL: "airflow-runai"}}})
    await stage.finish()


async def orphaned(stage: Stage) -> None:
    await begin(stage)
    await stage.until_runs(then=2)
    stage.cluster.api.delete(job_of(stage), policy=None)
    await asyncio.sleep(1.5)
    await stage.say()
    await stage.until(
        lambda: stage.pod()["status"]["phase"] == "Succeeded", "the pod's own end", then=1
    )
    await stage.say()
    stage.cluster.api.delete(pod_of(stage))
    await stage.until_gone()
    await stage.leave()


SCENES: Mapping[str, Scene] = {
    "kai/06-image-error-deleted": image_missing,
    "kai/07-missing-secret": secret_missing,
    "kai/14-suspend-resume": suspended,
    "kai/15-delete-and-recreate-same-name": made_again_under_its_name,
    "kai/16-unknown-queue-then-fixed": queue_missing,
    "kai/17-non-preemptible-over-quota": quota_too_small,
    "kai/18-watch-410-in-preemption": history_lost_in_an_eviction,
    "kai/19-apiserver-restart": server_restarted,
    "kai/21-ttl-removal": removed_by_its_time_to_live,
    "kai/23-node-lost": node_lost,
    "kai/24-quota-exceeded": no_room_for_pods,
    "kai/25-forbidden-watch": nothing_but_jobs_allowed,
    "kai/26-wrong-token": token_void,
    "kai/27-person-deletes-pod": pod_deleted,
    "kai/28-eviction-api-drain": drain,
    "kai/29-name-taken-409": name_taken,
    "kai/31-label-removed": label_removed,
    "kai/32-orphaned-by-delete": orphaned,
}
