"""A reader that sleeps until a watch has news; it believes no watch that a training is gone."""

from __future__ import annotations

from collections.abc import Callable

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

    __slots__ = ("_bell", "_desk", "_interval", "_kind", "_published", "reflectors")

    def __init__(
        self,
        start: Workload,
        cluster: str,
        interval: float,
        desk: ClusterReflectors,
        published: Callable[[], Flow[tuple[Moment, ...]]] | None = None,
    ) -> None:
        self._kind = kind_of(start)[0]
        self._interval = interval
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
        self._desk.leave(self.reflectors, self._kind)

    def following(self, last: Workload, seconds: float, pace: Sleep) -> Flow[Workload]:
        """Sleep until there is news, or for so many seconds; poll where nothing may be listed."""
        is_news = True
        while is_news and not isinstance(self.reflectors.error(self._kind), Forbidden):
            yield Wait(self._bell, seconds)
            is_news = self._bell.still()
            if self.reflectors.has_listed(self._kind) or self.reflectors.error(self._kind):
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
            return (yield from self.read(last.id))
        return seen.workload(self._cluster)

    def _is_enough(self, seen: TrainingReading) -> bool:
        """Whether there is nothing to prove, to ask or to write."""
        judged, training = seen.judged, seen.case.training
        # Kueue says in an object of its own why it waits; nobody watches that.
        is_lasting = not (judged.final or training.presence.is_gone or training.queue)
        has_more = seen.last_straw is not None or self._has_unasked_past(seen)
        return is_lasting and judged.is_settled and seen.is_amended and not has_more

    def _take(self, uid: str) -> TrainingReading | None:
        # The mirror remembers for all waits: a thousand readings would be megabytes.
        return read_training(self._mirror, uid)

    def _look_at_object(self, uid: str) -> Flow[None]:
        """Do without if it has ended: nothing takes that back, and ends often come by hundreds."""
        case = self._mirror.case(uid)
        if case is None or case.training.presence.is_gone or not case.has_ended:
            yield from super()._look_at_object(uid)

    def history(self, workload_id: str) -> Flow[tuple[Moment, ...]]:
        """Return what follows from its incarnations."""
        if self._take(workload_id) is None:
            yield from super().history(workload_id)
        seen = self._take(workload_id)
        return seen.moments if seen else ()

    def published(self) -> Flow[tuple[Moment, ...]]:
        """Return what Airflow shows already."""
        return (yield from self._published()) if self._published else ()
