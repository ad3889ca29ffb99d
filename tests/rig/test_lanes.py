"""
Tests that share a cluster do not meet: what runs in one lane stays on its node, and goes with it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.rig.api import Object
from tests.rig.cluster import Cluster
from tests.rig.lanes import JOBSETS, Lane, lane
from tests.rig.objects import GPU, KAI, KUEUE
from tests.rig.processes import NODE, marked
from tests.rig.waiting import until

pytestmark = [pytest.mark.rig, pytest.mark.slow]
GPUS = 2
#: Seconds after which the scheduler has looked again at a pod that it once could not place: it may
#: miss an event.
UNTIL_LOOKED_AT_AGAIN = 330


@pytest.mark.parametrize("scheduler", ["plain", "kueue", "kai"])
def test_two_lanes_are_full_side_by_side_each_with_its_own_jobs(
    scheduler: str, rig_cluster: Cluster, tmp_path: Path
) -> None:
    full: set[str] = set()

    def fill_a_lane(gate: Path) -> tuple[str, set[str]]:
        """
        Run a Job on each GPU until both lanes are full; return the lane's node, and where they ran.
        """
        with lane(rig_cluster, gpus=GPUS) as own:
            for number in range(GPUS):
                rig_cluster.api.create(
                    jobs(own), job(own, f"{scheduler}-{number}", scheduler, gate)
                )
            until(
                lambda: len(running(own)) == GPUS, f"the Jobs of {own.name}", UNTIL_LOOKED_AT_AGAIN
            )
            full.add(own.name)
            until(lambda: len(full) == 2, "the other lane's Jobs", UNTIL_LOOKED_AT_AGAIN)
            gate.touch()
            until(
                lambda: all(
                    one.get("status", {}).get("succeeded") for one in listed(own, jobs(own))
                ),
                "their end",
            )
            return own.name, {pod["spec"]["nodeName"] for pod in listed(own, pods(own))}

    with ThreadPoolExecutor() as threads:
        both = list(threads.map(fill_a_lane, [tmp_path / "first", tmp_path / "second"]))
    assert [ran for _, ran in both] == [{node} for node, _ in both]
    assert both[0][0] != both[1][0]


def test_nothing_is_left_of_a_lane_but_its_namespace(rig_cluster: Cluster, tmp_path: Path) -> None:
    never, api = tmp_path / "never", rig_cluster.api
    with lane(rig_cluster) as own:
        api.create(jobs(own), job(own, "queued", "kueue", never))
        api.create(jobs(own), job(own, "waits-for-ever", "kai", never, gpus=9))
        api.create(f"{JOBSETS}/namespaces/{own.namespace}/jobsets", jobset(own, "set", never))
        until(lambda: len(running(own)) == 2, "the Job and the JobSet")
        home = str(rig_cluster.folder / "nodes" / own.name)
    collections = [jobs(own), pods(own), f"{JOBSETS}/namespaces/{own.namespace}/jobsets"]
    kueue = f"{KUEUE}/namespaces/{own.namespace}"
    collections += [f"{kueue}/workloads", f"{kueue}/localqueues"]
    collections += [f"/apis/scheduling.run.ai/v2alpha2/namespaces/{own.namespace}/podgroups"]
    assert [collection for collection in collections if listed(own, collection)] == []
    shared = [f"/api/v1/nodes/{own.name}", f"{KAI}/queues/{own.queue}", f"{KAI}/queues/{own.name}"]
    shared += [f"{KUEUE}/clusterqueues/{own.queue}", f"{KUEUE}/resourceflavors/{own.name}"]
    assert [path for path in shared if api.find(path)] == []
    assert f"kubelet-{own.name}" not in rig_cluster.parts
    assert [one for one in marked(rig_cluster.folder) if one.environ().get(NODE) == home] == []


def jobs(lane: Lane) -> str:
    return f"/apis/batch/v1/namespaces/{lane.namespace}/jobs"


def pods(lane: Lane) -> str:
    return f"/api/v1/namespaces/{lane.namespace}/pods"


def listed(lane: Lane, collection: str) -> list[Object]:
    items: list[Object] = lane.cluster.api.get(collection)["items"]
    return items


def running(lane: Lane) -> list[Object]:
    return [pod for pod in listed(lane, pods(lane)) if pod["status"]["phase"] == "Running"]


def job(lane: Lane, name: str, scheduler: str, gate: Path, gpus: int = 1) -> Object:
    """A Job that runs until a file is there; Kueue gives its pods their place, the others need to be told."""
    labels = {
        "kueue": {"kueue.x-k8s.io/queue-name": lane.queue},
        "kai": {"kai.scheduler/queue": lane.queue},
    }
    pod = spec(lane, gate, gpus)
    if scheduler == "kueue":
        del pod["nodeSelector"]
    if scheduler == "kai":
        pod["schedulerName"] = "kai-scheduler"
    template = {"metadata": {"labels": labels.get(scheduler, {})}, "spec": pod}
    return {
        "metadata": {"name": name, "labels": labels.get(scheduler, {})},
        "spec": {"backoffLimit": 0, "template": template},
    }


def jobset(lane: Lane, name: str, gate: Path) -> Object:
    member = {
        "name": "main",
        "template": {"spec": {"template": {"spec": spec(lane, gate, gpus=1)}}},
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": name},
        "spec": {"replicatedJobs": [member]},
    }


def spec(lane: Lane, gate: Path, gpus: int) -> Object:
    container = {
        "name": "main",
        "image": "registry.example/train:1",
        "command": ["sh", "-c", f"until [ -e {gate} ]; do sleep 0.1; done"],
        "resources": {"limits": {GPU: str(gpus)}},
    }
    return {"restartPolicy": "Never", "nodeSelector": lane.node_selector, "containers": [container]}
