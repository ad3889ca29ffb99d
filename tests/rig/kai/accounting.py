"""
KAI's pod group and queue controllers: what the pods of a group, and of a queue, ask for and hold, in the status.

A pod counts from its grouping to its end; it is allocated from its binding on. Both controllers are
a moment late.
"""

from __future__ import annotations

from collections.abc import Iterable

import httpx

from tests.rig.api import Api, ApiError, Mirror, Object
from tests.rig.kai import amounts, reading
from tests.rig.kai.agenda import Again, Agenda
from tests.rig.kai.amounts import Amount
from tests.rig.kai.grouper import PODGROUPS
from tests.rig.kai.snapshot import GROUP_ANNOTATION, Group

__all__ = ["Accounting"]

QUEUES = "/apis/scheduling.run.ai/v2/queues"
DELAY_SECONDS = 0.03
FIELDS = ("requested", "allocated", "allocatedNonPreemptible")
Status = dict[str, dict[str, str]]


class Accounting:
    """
    The two controllers; the first works on ``namespace/name`` of PodGroups, the second on names of queues.

    The mirrors must tell it of their changes.
    """

    def __init__(
        self, api: Api, pods: Mirror, groups: Mirror, queues: Mirror, priorities: Mirror
    ) -> None:
        self._api, self._pods, self._groups, self._queues, self._priorities = (
            api,
            pods,
            groups,
            queues,
            priorities,
        )
        self.groups = Agenda("pod group controller", self._count_group)
        self.queues = Agenda("queue controller", self._count_queue)

    def pod_changed(self, old: Object | None, new: Object | None) -> None:
        """Count the group of a pod anew."""
        pod = (new or old or {})["metadata"]
        if name := (pod.get("annotations") or {}).get(GROUP_ANNOTATION):
            self.groups.add(f"{pod['namespace']}/{name}", DELAY_SECONDS)

    def group_changed(self, old: Object | None, new: Object | None) -> None:
        """Count the queue of a group anew, and all queues above it; and the group, if it is new."""
        group = new or old or {}
        if old is None:
            self.groups.add(
                f"{group['metadata']['namespace']}/{group['metadata']['name']}", DELAY_SECONDS
            )
        for queue in self._upwards((group.get("spec") or {}).get("queue", "")):
            self.queues.add(queue, DELAY_SECONDS)

    def queue_changed(self, old: Object | None, new: Object | None) -> None:
        """Count a queue anew, and those that it is, or was, a child of."""
        for queue in (old, new):
            if queue is not None:
                self.queues.add(queue["metadata"]["name"], DELAY_SECONDS)
                for above in self._upwards(_parent(queue)):
                    self.queues.add(above, DELAY_SECONDS)

    def _count_group(self, key: str) -> None:
        group = next((one for one in self._groups.objects if _key(one) == key), None)
        if group is None:
            return
        counted = reading.take(
            [], [], [group], self._pods.objects, self._priorities.objects
        ).groups[0]
        path = f"{PODGROUPS}/namespaces/{counted.namespace}/podgroups/{counted.name}"
        stands = (group.get("status") or {}).get("resourcesStatus")
        change = _changes(stands, _status(counted))
        if change or (stands is None and not counted.pods and counted.succeeded):
            self._patch(
                f"{path}/status?fieldManager=kai-podgroupcontroller", {"resourcesStatus": change}
            )

    def _count_queue(self, name: str) -> None:
        queue = next((one for one in self._queues.objects if one["metadata"]["name"] == name), None)
        if queue is None:
            return
        statuses = [
            (group.get("status") or {}).get("resourcesStatus") or {}
            for group in self._groups.objects
            if name in self._upwards((group.get("spec") or {}).get("queue", ""))
        ]
        wanted = {field: _sum(status.get(field) for status in statuses) for field in FIELDS}
        change = _changes(
            queue.get("status"), {field: amount.as_list() for field, amount in wanted.items()}
        )
        children = sorted(
            one["metadata"]["name"] for one in self._queues.objects if _parent(one) == name
        )
        if children != ((queue.get("status") or {}).get("childQueues") or []):
            change["childQueues"] = children or None
        if change:
            self._patch(f"{QUEUES}/{name}/status?fieldManager=kai-queuecontroller", change)

    def _upwards(self, name: str) -> list[str]:
        """Name a queue and those above it; each once, as a circle of parents must not hold us."""
        parents = {one["metadata"]["name"]: _parent(one) for one in self._queues.objects}
        found: list[str] = []
        above = name
        while above and above in parents and above not in found:
            found.append(above)
            above = parents[above]
        return found

    def _patch(self, path: str, status: Object) -> None:
        try:
            self._api.merge(path, {"status": status})
        except (ApiError, httpx.HTTPError) as error:
            if not (isinstance(error, ApiError) and error.status == 404):
                raise Again from error


def _status(group: Group) -> Status:
    held = amounts.total(pod.asks for pod in group.active)
    return {
        "requested": amounts.total(pod.asks for pod in group.pods).as_list(),
        "allocated": held.as_list(),
        "allocatedNonPreemptible": {} if group.preemptible else held.as_list(),
    }


def _changes(stands: Object | None, wanted: Status) -> Object:
    """Make a merge patch: only what differs; a field whose amounts are all zero goes."""
    before = stands or {}
    return {
        field: _replacing(before.get(field) or {}, amounts) if amounts else None
        for field, amounts in wanted.items()
        if (before.get(field) or {}) != amounts
    }


def _replacing(before: Object, amounts: dict[str, str]) -> Object:
    return {name: None for name in before if name not in amounts} | amounts


def _sum(lists: Iterable[Object | None]) -> Amount:
    return amounts.total(amounts.of_list(quantities or {}) for quantities in lists)


def _parent(queue: Object) -> str:
    return str((queue.get("spec") or {}).get("parentQueue") or "")


def _key(group: Object) -> str:
    return f"{group['metadata']['namespace']}/{group['metadata']['name']}"
