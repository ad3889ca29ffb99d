"""KAI's stand-in on a real API server: what a client sees of it, and that it outlives restarts, its own too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.rig import kai
from tests.rig.api import Api, Object, name_of
from tests.rig.cluster import Cluster, Options
from tests.rig.lanes import Lane
from tests.rig.waiting import until

pytestmark = [pytest.mark.rig, pytest.mark.slow]
PODGROUPS = "/apis/scheduling.run.ai/v2alpha2"
#: Ends at once on SIGTERM, as a training that has just saved.
TRAINING = "trap 'exit 143' TERM; sleep 600 & wait"


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A cluster whose parts may be restarted."""
    with Cluster(Options(jobset=False, kueue=False)) as cluster:
        yield cluster


def test_a_reclaimed_training_is_told_why_and_comes_back_without_its_age(rig_lane: Lane) -> None:
    api, namespace = rig_lane.cluster.api, rig_lane.namespace
    borrower, owner = rig_lane.queues
    _submit(api, namespace, "training", borrower, gpus=2, **_in(rig_lane))
    (first,) = _running(api, namespace, "training")
    _submit(api, namespace, "rival", owner, command="sleep 1", **_in(rig_lane))
    until(lambda: _told(api, namespace, "Evict"), "the Evict event")
    (second,) = _running(api, namespace, "training", other_than=first)
    (evict,) = _told(api, namespace, "Evict")
    assert evict["involvedObject"]["name"] == _group_of(first)
    assert evict["message"].startswith(
        f"Pod {namespace}/{name_of(first)} was preempted by workload {namespace}/pg-rival-"
    )
    assert {
        key: evict["metadata"]["annotations"][key]
        for key in ("evictor-action-type", "num-evicted-pods")
    } == {
        "evictor-action-type": "reclaim",
        "num-evicted-pods": "1",
    }
    groups = {
        name_of(group): group
        for group in api.get(f"{PODGROUPS}/namespaces/{namespace}/podgroups")["items"]
    }
    old, new = groups[_group_of(first)], groups[_group_of(second)]
    assert old["metadata"]["creationTimestamp"] < new["metadata"]["creationTimestamp"]
    assert old["status"]["resourcesStatus"] == {}
    api.delete(f"/apis/batch/v1/namespaces/{namespace}/jobs/training")


def test_the_status_of_a_queue_counts_what_its_groups_ask_for_and_hold(rig_lane: Lane) -> None:
    api, queue = rig_lane.cluster.api, rig_lane.queue
    _submit(api, rig_lane.namespace, "counted", queue, **_in(rig_lane))
    held = {"cpu": "100m", "memory": "64Mi", "nvidia.com/gpu": "1"}
    for name, children in ((queue, []), (rig_lane.name, list(rig_lane.queues))):
        until(
            partial(_holds, api, name, {"requested": held, "allocated": held}, children),
            f"the status of queue {name}",
        )
    api.delete(f"/apis/batch/v1/namespaces/{rig_lane.namespace}/jobs/counted")
    until(partial(_holds, api, queue, {}), "an empty queue")


def test_the_condition_says_who_took_a_pod_before_it_is_deleted(own: Cluster) -> None:
    own.set_eviction_condition(True)
    api = own.api
    _submit(api, "team-b", "training", "team-b", gpus=2)
    (victim,) = _running(api, "team-b", "training")
    version = api.get("/api/v1/namespaces/team-b/pods")["metadata"]["resourceVersion"]
    _submit(api, "team-a", "rival", "team-a", command="sleep 1")
    told = _first_disruption(api, "/api/v1/namespaces/team-b/pods", version)
    assert (told["status"], told["reason"]) == ("True", "PreemptionByScheduler")
    assert told["message"].startswith(
        f"Pod team-b/{name_of(victim)} was preempted by workload team-a/pg-rival-"
    )
    until(
        lambda: [
            event for event in _told(api, "team-b", "Evict") if event["message"] == told["message"]
        ],
        "the event",
    )
    _clear(own)


def test_the_rest_of_a_gang_is_ended_when_a_member_is_gone(own: Cluster) -> None:
    """
    A group that was made by hand is left to who made it; KAI only schedules it.

    By the time of the eviction, StaleJob has used up what may be told about the group: only the
    condition is sure.
    """
    own.set_eviction_condition(True)
    api, pods = own.api, "/api/v1/namespaces/team-a/pods"
    spec = {"minMember": 2, "queue": "team-a", "priorityClassName": "train"}
    gang = {
        "apiVersion": "scheduling.run.ai/v2alpha2",
        "kind": "PodGroup",
        "metadata": {"name": "gang"},
        "spec": spec,
    }
    api.create(f"{PODGROUPS}/namespaces/team-a/podgroups", gang)
    for name in ("member-0", "member-1"):
        metadata = {"name": name, "annotations": {"pod-group-name": "gang"}}
        api.create(
            pods,
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": metadata,
                **_template(TRAINING, gpus=1),
            },
        )
    for name in ("member-0", "member-1"):
        until(partial(_phase, api, "team-a", name, "Running"), f"{name} running")
    version = api.get(pods)["metadata"]["resourceVersion"]
    api.delete(f"{pods}/member-0")
    told = _first_disruption(api, pods, version)
    assert told["message"] == (
        "Workload doesn't meet the minimum required number of pods (2), evicting remaining pod: team-a/member-1"
    )
    (stale,) = _told(api, "team-a", "StaleJob")
    assert stale["message"] == "Job is stale. 1 pods are active, minMember is 2"
    _clear(own)


def test_it_goes_on_after_the_api_server_was_restarted(own: Cluster) -> None:
    before = own.processes.find("kai")
    _submit(own.api, "team-a", "before", "team-a")
    (running,) = _running(own.api, "team-a", "before")
    own.restart("kube-apiserver")
    until(lambda: _submit(own.api, "team-a", "after", "team-a"), "an API server that takes Jobs")
    _running(own.api, "team-a", "after")
    after = own.processes.find("kai")
    assert before is not None
    assert after is not None
    assert before.pid == after.pid
    assert _phase(own.api, "team-a", name_of(running), "Running")
    _clear(own)


def test_it_goes_on_from_what_the_api_holds_after_a_restart_of_its_own(own: Cluster) -> None:
    _submit(own.api, "team-a", "running", "team-a", gpus=2)
    (running,) = _running(own.api, "team-a", "running")
    own.stop_part("kai")
    _submit(own.api, "team-a", "waiting", "team-a")
    own.start_part("kai")
    until(lambda: _told(own.api, "team-a", "Unschedulable"), "a word about the Job that waits")
    assert _phase(own.api, "team-a", name_of(running), "Running")
    own.api.delete("/apis/batch/v1/namespaces/team-a/jobs/running")
    _running(own.api, "team-a", "waiting")
    _clear(own)


def test_the_program_says_ready_and_ends_on_sigterm(own: Cluster) -> None:
    own.stop_part("kai")
    program = Path(kai.__file__).with_name("start")
    command: list[str | Path] = [program, "--kubeconfig", own.kubeconfig(), "--eviction-condition"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # as the rig has it
    environment = os.environ | {"PATH": path}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd="/", env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    own.start_part("kai")


def _submit(
    api: Api,
    namespace: str,
    name: str,
    queue: str,
    gpus: int = 1,
    command: str = TRAINING,
    **pod: Any,
) -> Object:
    labels = {"kai.scheduler/queue": queue, "priorityClassName": "train"}
    template = _template(command, gpus, **pod) | {"metadata": {"labels": labels}}
    metadata = {"name": name, "labels": labels}
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {"template": template},
    }
    return api.create(f"/apis/batch/v1/namespaces/{namespace}/jobs", body)


def _template(command: str, gpus: int, **pod: Any) -> Object:
    resources = {
        "limits": {"nvidia.com/gpu": str(gpus)},
        "requests": {"cpu": "100m", "memory": "64Mi"},
    }
    container = {
        "name": "main",
        "image": "registry.example/train:1",
        "command": ["sh", "-c", command],
    }
    return {
        "spec": {
            "schedulerName": "kai-scheduler",
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "containers": [container | {"resources": resources}],
            **pod,
        }
    }


def _in(lane: Lane) -> Object:
    return {"nodeSelector": lane.node_selector}


def _running(api: Api, namespace: str, job: str, other_than: Object | None = None) -> list[Object]:
    found: list[Object] = []

    def looked() -> bool:
        selector = f"batch.kubernetes.io/job-name={job}"
        pods = api.get(f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector)["items"]
        known = other_than["metadata"]["uid"] if other_than else None
        found[:] = [
            one
            for one in pods
            if one["status"]["phase"] == "Running" and one["metadata"]["uid"] != known
        ]
        return bool(found)

    until(looked, f"a running pod of {job}")
    return found


def _first_disruption(api: Api, pods: str, version: str) -> Object:
    """Follow pods to the first that is told to go by a condition; it must not be deleted yet."""
    for event in api.watch(pods, version):
        for condition in event.object["status"].get("conditions") or []:
            if condition["type"] == "DisruptionTarget":
                assert "deletionTimestamp" not in event.object["metadata"]
                told: Object = condition
                return told
    raise AssertionError("the watch ended before a pod had the condition")


def _told(api: Api, namespace: str, reason: str) -> list[Object]:
    events: list[Object] = api.get(f"/api/v1/namespaces/{namespace}/events")["items"]
    return [event for event in events if event["reason"] == reason]


def _holds(api: Api, queue: str, counted: Object, children: Sequence[str] = ()) -> bool:
    status = api.get(f"/apis/scheduling.run.ai/v2/queues/{queue}").get("status", {})
    below = sorted(status.pop("childQueues", []))  # the real one keeps no order
    return (below, status) == (sorted(children), counted)


def _phase(api: Api, namespace: str, pod: str, phase: str) -> bool:
    return bool(api.get(f"/api/v1/namespaces/{namespace}/pods/{pod}")["status"]["phase"] == phase)


def _is_empty(api: Api, collection: str) -> bool:
    return not api.get(collection)["items"]


def _group_of(pod: Object) -> str:
    return str(pod["metadata"]["annotations"]["pod-group-name"])


def _clear(cluster: Cluster) -> None:
    for namespace in ("team-a", "team-b"):
        cluster.api.delete(f"/apis/batch/v1/namespaces/{namespace}/jobs")
        pods = f"/api/v1/namespaces/{namespace}/pods"
        until(partial(_is_empty, cluster.api, pods), f"no pods in {namespace}")
        cluster.api.delete(f"/api/v1/namespaces/{namespace}/events")
