"""
A lane: what a test has for itself in a cluster that it shares, so that no other test can take its room or its turn.

One namespace, one node, queues of KAI under a parent of their own, and queues of Kueue in a cohort
of their own, on a flavour that means this node. The stock scheduler knows no queues: there, and
with KAI, a pod stays in its lane by ``lane.node_selector``. What breaks or reconfigures a cluster
needs a cluster of its own instead.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from tests.rig import objects
from tests.rig.api import Api
from tests.rig.cluster import Cluster
from tests.rig.waiting import until

__all__ = ["Lane", "empty", "lane"]

JOBSETS = "/apis/jobset.x-k8s.io/v1alpha2"
PODGROUPS = "/apis/scheduling.run.ai/v2alpha2"


@dataclass(frozen=True)
class Lane:
    """
    One lane of a cluster.

    :param name: of its namespace, its node, its Kueue flavour, its cohort, and KAI's parent queue.
    :param queues: names that KAI, and Kueue in this namespace, know as queues; they lend to each
        other.
    """

    cluster: Cluster
    name: str
    queues: tuple[str, ...]

    @property
    def namespace(self) -> str:
        """Where its objects belong."""
        return self.name

    @property
    def queue(self) -> str:
        """The first of its queues."""
        return self.queues[0]

    @property
    def node_selector(self) -> dict[str, str]:
        """What holds a pod on its node."""
        return {"kubernetes.io/hostname": self.name}


@contextmanager
def lane(cluster: Cluster, gpus: int = 2, queues: int = 2) -> Iterator[Lane]:
    """
    Make a lane; at the end everything in it goes, but for the empty namespace.

    :param gpus: of its node; the quota of all its queues together.
    :param queues: how many; each deserves the same.
    """
    name = f"lane-{secrets.token_hex(3)}"
    made = Lane(cluster, name, tuple(f"{name}-{letter}" for letter in "abcdefgh"[:queues]))
    cluster.add_namespace(name)
    cluster.add_node(name, gpus)
    try:
        _open_queues(made, gpus)
        yield made
    finally:
        empty(made)
        _close_queues(made)
        cluster.remove_node(name)


def _open_queues(lane: Lane, gpus: int) -> None:
    api, options = lane.cluster.api, lane.cluster.options
    quota = gpus // len(lane.queues)
    if options.kai:
        objects.add_queue(api, lane.name, quota=gpus, limit=gpus, parent=None)
        for queue in lane.queues:
            objects.add_queue(api, queue, quota, parent=lane.name)
    if options.kueue:
        objects.add_flavor(api, lane.name, lane.node_selector)
        for queue in lane.queues:
            objects.add_quota_queue(api, queue, cohort=lane.name, flavor=lane.name, gpus=quota)
            objects.add_local_queue(api, lane.namespace, queue, queue)
        for queue in lane.queues:
            until(partial(objects.takes_work, api, queue), f"the ClusterQueue {queue}")


def empty(lane: Lane) -> None:
    """
    Delete what runs; what makes others comes before what it makes, or it would make them again.
    """
    api, options = lane.cluster.api, lane.cluster.options
    within = f"namespaces/{lane.namespace}"
    if options.jobset:
        _clear(api, f"{JOBSETS}/{within}/jobsets")
    _clear(api, f"/apis/batch/v1/{within}/jobs")
    api.delete(f"/api/v1/{within}/pods", grace=1)
    _clear(api, f"/api/v1/{within}/pods")
    if options.kueue:
        _await_none(api, f"{objects.KUEUE}/{within}/workloads")
    if options.kai:
        _await_none(api, f"{PODGROUPS}/{within}/podgroups")


def _close_queues(lane: Lane) -> None:
    api, options = lane.cluster.api, lane.cluster.options
    if options.kai:
        for queue in (*lane.queues, lane.name):
            api.remove(f"{objects.KAI}/queues/{queue}")
    if options.kueue:
        doors = f"{objects.KUEUE}/namespaces/{lane.namespace}/localqueues"
        _clear(api, doors)
        for place in [
            *(f"clusterqueues/{queue}" for queue in lane.queues),
            f"resourceflavors/{lane.name}",
        ]:
            api.remove(f"{objects.KUEUE}/{place}")
            until(partial(_is_gone, api, f"{objects.KUEUE}/{place}"), f"the end of {place}")


def _clear(api: Api, collection: str) -> None:
    api.delete(collection)
    _await_none(api, collection)


def _await_none(api: Api, collection: str) -> None:
    until(lambda: not api.get(collection)["items"], f"an empty {collection}")


def _is_gone(api: Api, path: str) -> bool:
    return api.find(path) is None
