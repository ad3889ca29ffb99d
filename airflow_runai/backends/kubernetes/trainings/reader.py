"""
Reading one training by polling: its object and its pods, and what was said of pods that are gone.

What it has seen it keeps as a mirror does, so that a pod is remembered which the cluster forgets.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from airflow_runai.backends.kubernetes.api import writes
from airflow_runai.backends.kubernetes.api.changes import read_changes
from airflow_runai.backends.kubernetes.api.lists import read_objects
from airflow_runai.backends.kubernetes.api.paths import (
    JOBS,
    JOBSETS,
    KUEUE_WORKLOADS,
    PODGROUPS,
    PODS,
    ResourceKind,
)
from airflow_runai.backends.kubernetes.api.refusals import Sight, confirmed
from airflow_runai.backends.kubernetes.known_cluster import KnownCluster
from airflow_runai.backends.kubernetes.trainings.admission import hold_back
from airflow_runai.backends.kubernetes.trainings.evidence import (
    OF_JOB,
    OF_JOBSET,
    events_about,
    evictions,
    preemptions,
)
from airflow_runai.backends.kubernetes.trainings.readings import (
    KINDS,
    TrainingReading,
    read_training,
)
from airflow_runai.core.flow import Flow, Notice, Sleep, now
from airflow_runai.core.kubernetes.mirror import Mirror
from airflow_runai.core.kubernetes.queue_facts import JOB_UID
from airflow_runai.core.kubernetes.verdict import EVENT_DELAY
from airflow_runai.core.reader import WorkloadReader
from airflow_runai.core.timeline import Moment
from airflow_runai.core.workload import Workload
from airflow_runai.errors import (
    Conflict,
    Expired,
    Forbidden,
    KindMissing,
    NotFound,
    NotQueued,
    Unreachable,
)

#: After the last failure that is allowed, the platform is given so many seconds to end a training.
_LAST_LOOKS = 5
#: What says that there is no such object; who may not see sets has made none.
_LACKS: dict[str, tuple[type[Exception], ...]] = {
    KINDS["Job"]: (NotFound,),
    KINDS["JobSet"]: (NotFound, KindMissing, Forbidden),
}
#: One for all: a wait has to be small.
_NOTHING: frozenset[str] = frozenset()
_UNLISTED = (0, _NOTHING)
#: What is not done, or not known, without the right to do so.
_WITHOUT = {
    "Pod": "pods cannot be listed: interruptions and exit codes stay unknown",
    "changes": "pods cannot be watched: how one ended that went between two looks stays unknown",
    "Event": "events cannot be listed: some preemptions show as interruptions without a name",
    "Workload": "Kueue's workloads cannot be listed: its evictions show as suspensions",
    "history": "its object cannot be patched: what happened is forgotten with its pods",
}


def kind_of(workload: Workload) -> tuple[str, ResourceKind, str]:
    """Return kind, resource, and the label of its pods that holds its uid."""
    if workload.path == "distributed":
        return "JobSet", JOBSETS, OF_JOBSET
    return "Job", JOBS, OF_JOB


class TrainingReader(WorkloadReader):
    """
    Reads a training.

    :param start: the last known reading; says where the training is.
    :param cluster: the one that is asked.
    :param sight: what may be seen of it.
    :param mirror: keeps what was seen; by default, one for this reader.
    """

    __slots__ = ("_cluster", "_done", "_last", "_mirror", "_pods", "_sight", "_start")

    def __init__(
        self, start: Workload, cluster: KnownCluster, sight: Sight, mirror: Mirror | None = None
    ) -> None:
        self._start, self._cluster, self._sight = start, cluster, sight
        self._mirror = Mirror() if mirror is None else mirror
        self._done = _NOTHING
        self._last: TrainingReading | None = None
        # The version of the last list of its pods after which nothing was missed, and their uids.
        self._pods = _UNLISTED

    def read(self, workload_id: str) -> Flow[Workload]:
        """Read it; raises ``NotFound``."""
        return (yield from self._settled(workload_id)).workload(self._name)

    @property
    def _name(self) -> str:
        return self._cluster.settings.cluster

    def history(self, workload_id: str) -> Flow[tuple[Moment, ...]]:
        """Return what follows from its incarnations."""
        if self._last is None:
            with suppress(NotFound):  # its past went with it
                yield from self._settled(workload_id)
        return self._last.moments if self._last else ()

    def find_deleted(self, workload_id: str) -> Flow[Workload | None]:
        """Return it if a second look does not find it either, on the cluster that had it."""
        start = self._start
        if not start.name or start.cluster_id not in ("", self._name):
            return None
        try:
            yield from self._look_at_object(workload_id)
        except NotFound:
            last = self._take(workload_id)
            return replace(last.workload(self._name) if last else start, deleted=True)
        return None

    def _settled(self, uid: str) -> Flow[TrainingReading]:
        """Look until all was asked that the reading depends on, and write down what is new."""
        reading = yield from self._look(uid)
        for _ in range(_LAST_LOOKS):
            if not (yield from self._amended(reading)):
                break
            yield Sleep(1.0)
            reading = yield from self._look(uid)
        return reading

    def _look(self, uid: str) -> Flow[TrainingReading]:
        yield from self._look_at_object(uid)
        kind, _, label = kind_of(self._start)
        selector = [("labelSelector", f"{label}={uid}")]
        if kind == "JobSet":
            yield from self._list(uid, "Job", JOBS, selector)
        # Before its pods: a pod that is gone is judged once, with what Kueue says of it.
        queue = self._reading(uid).case.training.queue
        yield from self._allowed("Pod", partial(self._list_pods, uid, selector))
        if queue:
            queued = [("labelSelector", f"{JOB_UID}={uid}")]
            kind_of_queued = yield from self._cluster.kind(KUEUE_WORKLOADS)
            make = partial(self._list, uid, "Workload", kind_of_queued, queued)
            yield from self._allowed("Workload", make)
        reading = self._reading(uid)
        if unasked := self._unasked_past(reading):
            has_kai = yield from self._may_have_kai()
            yield from self._allowed("Event", partial(self._ask_for_past, reading, has_kai))
            # Only now: a question that got no answer is asked again.
            self._done |= unasked
            reading = self._reading(uid)
        if reading.judged.events_of:
            yield Sleep(EVENT_DELAY)
            for about in reading.judged.events_of:
                yield from self._allowed("Event", partial(self._ask, reading, about))
            reading = self._reading(uid)
        if reading.case.training.presence.is_gone:
            # A list has denied it meanwhile, but lists show only what has our label.
            yield from self._look_at_object(uid)
            reading = self._reading(uid)
        return reading

    def _unasked_past(self, reading: TrainingReading) -> frozenset[str]:
        """Return for what events of the past were not asked for yet."""
        asks = {"past": reading.vanished, "end": reading.lacks_end}
        return frozenset(what for what, is_asked in asks.items() if is_asked) - self._done

    def _reading(self, uid: str) -> TrainingReading:
        reading = self._take(uid)
        assert reading is not None, "its object was seen"
        return reading

    def _take(self, uid: str) -> TrainingReading | None:
        known = self._last.lives if self._last else ()
        self._last = read_training(self._mirror, uid, known) or self._last
        return self._last

    def _look_at_object(self, uid: str) -> Flow[None]:
        if self._start.kind:
            yield from self._find_object(uid)
            return
        # A note does not say of which kind it is: only where both lack it, it is gone.
        unknown = self._start
        for kind, lacks in _LACKS.items():
            self._start = replace(unknown, kind=kind)
            with suppress(*lacks):
                yield from self._find_object(uid)
                return
        self._start = unknown
        raise NotFound(f"workload {unknown.name}: neither a Job nor a JobSet", 404)

    def _find_object(self, uid: str) -> Flow[None]:
        kind, resource, _ = kind_of(self._start)
        name = self._start.name
        path = resource.object(self._start.project_id, name)
        try:
            found = yield from confirmed(partial(writes.read, path, uid))
        except NotFound:
            self._mirror.missed(kind, name, (yield from now()))
            raise
        self._mirror.found(kind, found, (yield from now()))

    def _list(
        self, uid: str, kind: str, resource: ResourceKind, selector: list[tuple[str, str]]
    ) -> Flow[None]:
        path = resource.collection(self._start.project_id)
        items, version = yield from read_objects(path, selector)
        self._mirror.listed_of(uid, kind, items, version, (yield from now()))

    def _list_pods(self, uid: str, selector: list[tuple[str, str]]) -> Flow[None]:
        """List its pods; where others were there before, learn what happened in between."""
        yield from self._list(uid, "Pod", PODS, selector)
        case = self._mirror.case(uid)
        assert case is not None, "its object was seen"
        here = frozenset(pod.uid for pod in case.pods if not pod.presence.is_gone)
        since, before = self._pods
        if since and here != before:
            make = partial(self._look_back, since, selector)
            yield from self._allowed("changes", make)
        self._pods = case.pods_through, here

    def _look_back(self, since: int, selector: list[tuple[str, str]]) -> Flow[None]:
        path = PODS.collection(self._start.project_id)
        take = partial(self._mirror.line, "Pod")
        with suppress(Expired, Unreachable):  # then it stays unknown
            yield from confirmed(partial(read_changes, path, selector, since, take))

    def _ask(self, reading: TrainingReading, about: str) -> Flow[None]:
        namespace = self._start.project_id
        training = reading.case.training
        if about == training.uid:
            said = yield from preemptions(namespace, training, {one.name for one in reading.lives})
        else:
            said = yield from events_about(namespace, "PodGroup", name=about)
        self._mirror.events(said, (yield from now()), about)

    def _may_have_kai(self) -> Flow[bool]:
        """Whether KAI may have taken pods; ends often come by the hundred, and each asks this."""
        try:
            return (yield from self._cluster.discovery()).version_of(PODGROUPS) is not None
        except Forbidden:
            return True

    def _ask_for_past(self, reading: TrainingReading, has_kai: bool) -> Flow[None]:
        if has_kai:
            said = yield from evictions(self._start.project_id)
            self._mirror.events(said, (yield from now()))
        yield from self._ask(reading, reading.case.training.uid)

    def _allowed(self, what: str, make: Callable[[], Flow[None]]) -> Flow[None]:
        """Do what may be forbidden; say what is missing without it, once as long as it is."""
        refusal = yield from self._sight.attempt(self._start.project_id, what, make)
        if refusal is None:
            self._done -= {what}
            self._mirror.allowed(what)
        elif what not in self._done:
            self._done |= {what}
            self._mirror.refused(what)
            yield Notice("trouble", f"{self._start.name}: {_WITHOUT[what]} ({refusal})")

    def _amended(self, reading: TrainingReading) -> Flow[bool]:
        """Write what is new on the object; return whether that ends it, so that it changes soon."""
        if reading.is_amended:
            return False
        yield from self._allowed("history", partial(self._amend, reading))
        return reading.last_straw is not None

    def _amend(self, reading: TrainingReading) -> Flow[None]:
        _, resource, _ = kind_of(self._start)
        path = resource.object(self._start.project_id, self._start.name)
        training = reading.case.training
        try:
            if reading.is_to_be_held:
                # Kueue would resume at once what only its object says is suspended.
                with suppress(Forbidden, NotQueued):
                    kueue = yield from self._cluster.kind(KUEUE_WORKLOADS)
                    yield from hold_back(kueue, replace(self._start, id=training.uid), True)
            yield from writes.change(path, training.uid, reading.amendment)
        except (Unreachable, Conflict, NotFound):
            return  # the next look writes it
