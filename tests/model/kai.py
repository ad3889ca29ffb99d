"""KAI-Scheduler on the model: the decisions are those of its stand-in on the rig, with its events and their budget."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, singledispatchmethod

from tests.model.clock import timestamp
from tests.model.conditions import set_condition
from tests.model.controller import Agenda
from tests.model.deletion import Deletion
from tests.model.events import Recorder
from tests.model.resources import (
    CLAIMS,
    JOBS,
    JOBSETS,
    NODES,
    PODGROUPS,
    PODS,
    PRIORITIES,
    QUEUES,
    Object,
)
from tests.model.store import Change, Store
from tests.rig.kai import cycle, reading
from tests.rig.kai.actions import Action, Bind, Evict, Explain, MarkStale, Pipeline, Remark
from tests.rig.kai.correlator import BURST
from tests.rig.kai.grouping import group_for
from tests.rig.kai.snapshot import GROUP_ANNOTATION, SCHEDULER, STALE_ANNOTATION

_CYCLE = "cycle"
_LAST_START = "kai.scheduler/last-start-timestamp"
#: Cycles after which a group that waits has spent its events: nothing more can be seen of it.
_TALKATIVE = BURST + 5


class Kai:
    """
    Groups pods, binds and evicts.

    :param period: seconds between two cycles.
    :param eviction_condition: ``--update-pod-eviction-condition``.
    :param turn: seconds until a new pod is looked at, as if others had been first.
    :ivar is_mute: evictions leave no event, as if its budget were always spent.
    """

    def __init__(
        self,
        store: Store,
        deletion: Deletion,
        *,
        period: float = 1.0,
        eviction_condition: bool = False,
        turn: Callable[[Object], float] = lambda pod: 0.05,
    ) -> None:
        self._store, self._deletion = store, deletion
        self._period, self.eviction_condition, self._turn = period, eviction_condition, turn
        self.is_mute = False
        self._scheduler = Recorder(store, "kai-scheduler")
        self._short: set[str] = set()
        self._quiet_cycles = 0
        self.agenda = Agenda(store.clock, self._look)
        store.listen(self._hear)

    def reclaim(self, pod: Object, more: str = "") -> None:
        """Take a pod away for another queue, and say so, and more, unless mute."""
        metadata = pod["metadata"]
        place = metadata["namespace"], metadata["annotations"][GROUP_ANNOTATION]
        group = self._store.get(PODGROUPS, *place)
        words = (
            f"Pod {metadata['namespace']}/{metadata['name']} was preempted by workload "
            f"team-b/pg-other.{more}"
        )
        self._take(pod, words)
        if not self.is_mute:
            annotations = {"evictor-action-type": "reclaim", "num-evicted-pods": "1"}
            self._scheduler.tell(group, "Normal", "Evict", words, annotations)

    def _hear(self, change: Change) -> None:
        if change.resource in (PODS, NODES, QUEUES, PODGROUPS):
            self._quiet_cycles = 0
            self.agenda.add(_CYCLE, self._period)
        pod = change.new
        if change.resource == PODS and pod is not None and change.old is None:
            key = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            self.agenda.add(key, self._turn(pod))

    def _look(self, key: str) -> None:
        if key == _CYCLE:
            self._run_cycle()
        else:
            self._group(*key.split("/"))

    def _group(self, namespace: str, name: str) -> None:
        pod = self._store.find(PODS, namespace, name)
        if pod is None or pod["spec"].get("schedulerName") != SCHEDULER:
            return
        references = pod["metadata"].get("ownerReferences") or [{"name": name}]
        owner = self._store.find(JOBS, namespace, references[0]["name"]) or pod
        for one in owner["metadata"].get("ownerReferences") or ():
            owner = self._store.find(JOBSETS, namespace, one["name"]) or owner
        priorities = [one["metadata"]["name"] for one in self._store.all(PRIORITIES)]
        group = group_for(pod, owner, priorities)
        if self._store.find(PODGROUPS, namespace, group["metadata"]["name"]) is None:
            self._store.create(PODGROUPS, group)
        self._store.change(
            PODS, pod, lambda one: _annotate(one, GROUP_ANNOTATION, group["metadata"]["name"])
        )

    def _run_cycle(self) -> None:
        nodes, queues, groups, pods, priorities, claims = (
            list(self._store.all(kind))
            for kind in (NODES, QUEUES, PODGROUPS, PODS, PRIORITIES, CLAIMS)
        )
        snapshot = reading.take(nodes, queues, groups, pods, priorities, claims)
        for action in cycle.decide(snapshot, self._store.clock.now(), 60.0, self._short):
            self._do(action)
        self._short = {group.id for group in snapshot.groups if cycle.lacks_members(group)}
        waits = any(group.waiting for group in snapshot.groups)
        self._quiet_cycles += 1
        if self._short or (waits and self._quiet_cycles < _TALKATIVE):
            self.agenda.add(_CYCLE, self._period)

    @singledispatchmethod
    def _do(self, action: Action) -> None:
        raise NotImplementedError(action)

    @_do.register
    def _(self, action: Bind) -> None:
        start = timestamp(self._store.clock.now())
        self._store.change(
            PODGROUPS, action.group.raw, lambda one: _annotate(one, _LAST_START, start)
        )
        for pod, node in action.places:
            self._store.change(PODS, pod.raw, partial(self._bind, node))

    @_do.register
    def _(self, action: Evict) -> None:
        annotations = {"evictor-action-type": action.by, "num-evicted-pods": str(action.count)}
        if action.cause:
            annotations["evictor-pod-group-name"] = action.cause.name
            annotations["evictor-pod-group-namespace"] = action.cause.namespace
        for pod in action.pods:
            self._take(pod.raw, action.messages[pod.uid])
            if not self.is_mute:
                words = action.messages[pod.uid]
                self._scheduler.tell(action.group.raw, "Normal", "Evict", words, annotations)

    @_do.register
    def _(self, action: Pipeline) -> None:
        text = f"Pod {action.pod.path} was pipelined to node {action.node}"
        self._scheduler.tell(action.pod.raw, "Normal", "Pipelined", text)

    @_do.register
    def _(self, action: Explain) -> None:
        quiet = self._quiet_cycles
        for pod, text in action.pods:
            self._store.change(PODS, pod.raw, partial(self._unbound, text))
            self._scheduler.tell(pod.raw, "Warning", "Unschedulable", text)
        message = action.reason.message
        reasons = [{"reason": action.reason.code, "message": action.reason.text}]
        told = {
            "type": "UnschedulableOnNodePool",
            "status": "True",
            "reason": "Unschedulable",
            "nodePool": "default",
            "message": message,
            "reasons": reasons if action.reason.code else [],
        }
        self._store.change(
            PODGROUPS,
            action.group.raw,
            lambda one: one.setdefault("status", {}).update(schedulingConditions=[told]),
        )
        self._scheduler.tell(action.group.raw, "Normal", "Unschedulable", message)
        self._quiet_cycles = quiet  # what it writes itself is no news

    @_do.register
    def _(self, action: Remark) -> None:
        self._scheduler.tell(action.group.raw, "Normal", action.reason, action.message)

    @_do.register
    def _(self, action: MarkStale) -> None:
        now = timestamp(self._store.clock.now())
        self._store.change(
            PODGROUPS, action.group.raw, lambda one: _annotate(one, STALE_ANNOTATION, now)
        )

    def _bind(self, node: str, pod: Object) -> None:
        pod["spec"]["nodeName"] = node
        set_condition(pod, self._store.clock.now(), "PodScheduled", "")

    def _unbound(self, text: str, pod: Object) -> None:
        now = self._store.clock.now()
        set_condition(pod, now, "PodScheduled", "Unschedulable", text, "False")

    def _take(self, pod: Object, words: str) -> None:
        if self.eviction_condition:
            now = self._store.clock.now()
            reason = "PreemptionByScheduler"
            self._store.change(
                PODS, pod, lambda one: set_condition(one, now, "DisruptionTarget", reason, words)
            )
        stands = self._store.find(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"])
        if stands is not None:
            self._deletion.delete(PODS, stands)


def _annotate(thing: Object, key: str, value: str) -> None:
    thing["metadata"].setdefault("annotations", {})[key] = value
