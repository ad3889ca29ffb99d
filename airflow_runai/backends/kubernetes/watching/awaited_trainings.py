"""A reader that sleeps until a watch has news; it believes no watch that a training is gone."""

from __future__ import annotations

from collections.abc import Callable

from airflow_runai.backends.kubernetes.api.paths import KUEUE_WORKLOADS, PODS
from airflow_runai.backends.kubernetes.known_cluster import KnownCluster
from airflow_runai.backends.kubernetes.trainings.reader import TrainingReader, kind_of
from airflow_runai.backends.kubernetes.trainings.readings import TrainingReading, read_training
from airflow_runai.backends.kubernetes.watching.namespace_reflectors import ClusterReflectors
from airflow_runai.core.flow import Flow, Sleep, Wait
from airflow_runai.core.timeline import Moment
from airflow_runai.core.workload import Workload
from airflow_runai.errors import Forbidden, RefusedAgain, Unauthorized


class AwaitedTraining(TrainingReader):
    """
    Reads a training for one wait.

    It sends requests of its own only for what a watch cannot prove: that the training is gone, or
    that all pods of one that has ended were seen; when the time of the wait is up; for what the
    platform must be asked, such as who has taken a pod; and to write its history.

    :param interval: seconds between two lists that the wait asks for, where no watch is allowed.
    :param desk: where it joins while it is entered.
    :param published: see :meth:`WorkloadReader.published`.
    """

    __slots__ = (
        "_bell",
        "_desk",
        "_interval",
        "_is_queued",
        "_kind",
        "_published",
        "_seen",
        "reflectors",
    )

    def __init__(
        self,
        start: Workload,
        cluster: KnownCluster,
        interval: float,
        desk: ClusterReflectors,
        published: Callable[[], Flow[tuple[Moment, ...]]] | None = None,
    ) -> None:
        self._kind = kind_of(start)[0]
        self._interval = interval
        self._is_queued: bool | None = None  # by Kueue; not known before its object was seen
        self._seen: TrainingReading | None = None
        self.reflectors = desk.of(start.project_id)
        super().__init__(start, cluster, self.reflectors.sight, self.reflectors.facts)
        self._desk, self._published = desk, published
        self._bell = self.reflectors.bells.bell(start.id)

    def __enter__(self) -> AwaitedTraining:
        self._bell.__enter__()
        self._desk.join(self.reflectors, self._kind, self._interval)
        if self.reflectors.has_listed(self._kind):
            self._bell.set()  # what was seen before it came is news for it
        return self

    def __exit__(self, *error: object) -> None:
        self._bell.__exit__()
        if self._is_queued:
            self._desk.leave(self.reflectors, "Workload")
        self._desk.leave(self.reflectors, self._kind)

    def following(self, last: Workload, seconds: float, pace: Sleep) -> Flow[Workload]:
        """Sleep until there is news, or for so many seconds; poll where nothing may be listed."""
        self._seen, is_news = None, True  # it may sleep for days
        while is_news and not isinstance(self.reflectors.error(self._kind), Forbidden):
            yield Wait(self._bell, seconds)
            is_news = self._bell.still()
            if self.reflectors.error(self._kind) or (yield from self._has_listed(last.id)):
                break
        error = self.reflectors.error(self._kind)
        if isinstance(error, Forbidden):
            return (yield from super().following(last, seconds, pace))
        if isinstance(error, Unauthorized):
            raise RefusedAgain(str(error))
        if error is not None:
            # Many raise the same one, again and again: it must not collect their tracebacks.
            raise error.with_traceback(None)
        seen = self._take(last.id) if is_news else None
        if seen is None or not self._is_enough(seen):
            seen = yield from self._settled(last.id)
        self._seen = seen
        return seen.workload(self._name)

    def _has_listed(self, uid: str) -> Flow[bool]:
        """Whether all was seen that it depends on: what Kueue says, too, if Kueue queues it."""
        if not self.reflectors.has_listed(self._kind):
            return False
        if self._is_queued is None and (case := self._mirror.case(uid)):
            kind = (yield from self._cluster.kind(KUEUE_WORKLOADS)) if case.training.queue else None
            self._is_queued = kind is not None
            if kind:
                self._desk.join(self.reflectors, "Workload", self._interval, kind)
        return not self._is_queued or self._is_queue_shown or self._is_queue_failing

    @property
    def _is_queue_shown(self) -> bool:
        return self.reflectors.has_listed("Workload")

    @property
    def _is_queue_failing(self) -> bool:
        return self.reflectors.error("Workload") is not None

    def _is_enough(self, seen: TrainingReading) -> bool:
        """Whether there is nothing to prove, to ask or to write."""
        judged, training = seen.judged, seen.case.training
        is_lasting = not (judged.final or training.presence.is_gone)
        has_more = seen.last_straw is not None or bool(self._unasked_past(seen))
        has_more = has_more or self._lacks_queue(seen)
        return is_lasting and judged.is_settled and seen.is_amended and not has_more

    def _lacks_queue(self, seen: TrainingReading) -> bool:
        """Whether Kueue has a say in it, and no watch shows what it says."""
        if not seen.case.training.queue or "Workload" in seen.case.unreadable:
            return False
        return not self._is_queued or seen.case.queue is None or self._is_queue_failing

    def _take(self, uid: str) -> TrainingReading | None:
        # The mirror remembers for all waits: a thousand readings would be megabytes.
        return read_training(self._mirror, uid)

    def _look_at_object(self, uid: str) -> Flow[None]:
        """Do without if it has ended: nothing takes that back, and ends often come by hundreds."""
        case = self._mirror.case(uid)
        if case is None or case.training.presence.is_gone or not case.has_ended:
            yield from super()._look_at_object(uid)

    def _list_pods(self, uid: str, selector: list[tuple[str, str]]) -> Flow[None]:
        """Do without what happened in between: the watch shows it."""
        return self._list(uid, "Pod", PODS, selector)

    def history(self, workload_id: str) -> Flow[tuple[Moment, ...]]:
        """Return what follows from its incarnations; those of the reading that was just taken."""
        if self._seen is None and self._take(workload_id) is None:
            yield from super().history(workload_id)
        seen = self._seen or self._take(workload_id)
        return seen.moments if seen else ()

    def published(self) -> Flow[tuple[Moment, ...]]:
        """Return what Airflow shows already."""
        return (yield from self._published()) if self._published else ()
