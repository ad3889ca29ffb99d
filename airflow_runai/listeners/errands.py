"""One thread for work that must not be done inside a request; bounded in number and in time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from queue import Full, Queue
from typing import NamedTuple, Protocol

log = logging.getLogger(__name__)

#: This many errands may wait; the reaper takes care of the rest of a flood.
MAX_ERRANDS = 1000
#: Seconds for which an errand is followed: until the mark is committed and the workload is asked to
#: end.
PATIENCE = 60.0
_PAUSE = 1.0


class Errand(NamedTuple):
    """
    A task instance that may have ended.

    :param task_id: ``None`` for all tasks of the run.
    """

    dag_id: str
    run_id: str
    task_id: str | None = None
    map_index: int = -1


Attend = Callable[[Collection[Errand]], Collection[Errand]]


class Worker(Protocol):
    """Does something in the background."""

    def is_alive(self) -> bool:
        """Tell whether it is still at work."""


def _thread(work: Callable[[], None]) -> Worker:
    thread = threading.Thread(target=work, name="runai-errands", daemon=True)
    thread.start()
    return thread


class Errands:
    """
    The queue and its thread, which lives as long as there is something to do.

    :param attend: does what can be done for some errands now, and returns those that are done.
    :param max_errands: that wait at a time.
    :param patience: seconds.
    :param begin: begins work in the background.
    """

    def __init__(
        self,
        attend: Attend,
        max_errands: int = MAX_ERRANDS,
        patience: float = PATIENCE,
        begin: Callable[[Callable[[], None]], Worker] = _thread,
    ) -> None:
        self._attend = attend
        self._patience = patience
        self._begin = begin
        self._queue: Queue[Errand] = Queue(max_errands)
        self._lock = threading.Lock()
        self._worker: Worker | None = None

    def hand_over(self, errand: Errand) -> None:
        """Take a note; never waits and never raises."""
        try:
            self._queue.put_nowait(errand)
            self._start()
        except (Full, RuntimeError) as error:  # the latter where no thread can be started any more
            log.warning("%s: its workloads are left to the reaper (%r)", errand, error)

    def _start(self) -> None:
        with self._lock:
            if self._worker is None or not self._worker.is_alive():  # a fork leaves it behind
                self._worker = self._begin(self._work)

    def _work(self) -> None:
        pending: dict[Errand, float] = {}
        while self._take(pending):
            done = self._attended(tuple(pending))
            at = time.monotonic()
            for errand in [e for e, until in pending.items() if e in done or until <= at]:
                del pending[errand]
            if pending:
                time.sleep(_PAUSE)

    def _take(self, pending: dict[Errand, float]) -> bool:
        """Take all that is queued; tell whether there is anything to do."""
        with self._lock:  # so that nothing is handed over to a thread that is about to end
            while not self._queue.empty():
                pending[self._queue.get_nowait()] = time.monotonic() + self._patience
            if not pending:
                self._worker = None
            return bool(pending)

    def _attended(self, errands: Collection[Errand]) -> Collection[Errand]:
        try:
            return self._attend(errands)
        except Exception as error:
            # Whatever it is, it may pass; if not, the reaper will end them.
            log.warning("workloads of ended tasks could not be looked at (%s)", error)
            return ()
