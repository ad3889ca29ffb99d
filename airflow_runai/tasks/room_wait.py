"""
What a task does about room before it submits: it waits for its turn, and looks once more.

Its turn comes from a trigger, which sees all who wait on its event loop. The look right before the
create sees what has changed since: whoever finds no room goes back, and keeps its place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from airflow_runai.backends.organization import Project
from airflow_runai.backends.patience import Patience
from airflow_runai.backends.room import no_room, room, unknown, until_room
from airflow_runai.core.flow import Flow, Notice, now
from airflow_runai.core.prospects import is_preemptible
from airflow_runai.core.quota import gpus_requested
from airflow_runai.core.room import QUOTA, Need, ProjectRoom
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.errors import NoRoom, SpecError
from airflow_runai.hooks.runai import RunaiHook

T = TypeVar("T")

log = logging.getLogger(__name__)


def need_of(spec: WorkloadSpec, submit_when: str) -> Need | None:
    """
    Return what a workload waits for; ``None`` if it waits for nothing.

    Which part of a GPU a request for memory is depends on the node: it counts as one GPU. What is
    not preemptible gets nothing beyond the quota.
    """
    gpus = gpus_requested(spec)
    gpus = 1.0 if gpus is None else gpus
    if submit_when == "now" or not gpus:
        return None
    return Need(submit_when if is_preemptible(spec) else QUOTA, gpus)


@dataclass(frozen=True)
class RoomWait:
    """
    One task's wait for room.

    :param turn: what its trigger says; ``None`` before the first wait.
    :param interval: seconds between looks.
    :param timeout: seconds since the wait began.
    :param sleep: called with seconds; raises if the worker is told to stop.
    """

    hook: RunaiHook
    project: Project
    node_pool: str | None
    need: Need
    digest: str
    turn: Mapping[str, Any] | None
    interval: float
    timeout: float
    patience: Patience
    sleep: Callable[[float], None]

    def waits_since(self) -> float | None:
        """
        Look once more if it is this task's turn.

        :return: when the wait began that has to go on, epoch seconds; ``None`` if there is room.
        :raises NoRoom: if the time is over.
        """
        self.sleep(0)  # a worker that is told to stop begins no wait
        if self.turn is None:
            return self._now()
        since, found = float(self.turn["since"]), self._run(self.patience.retry(self._look))
        if self._has_room(found):
            return None
        if self._now() >= since + self.timeout:
            raise self._refusal(found)
        log.info("%s", no_room(self.need, found))
        return since

    def wait_here(self) -> None:
        """Wait in this worker until there is room; raises as :meth:`waits_since`."""
        deadline = self._now() + self.timeout
        waiting = until_room(self._look, self.need, self.interval, deadline)
        found = self.hook.run(waiting, _tell, self.sleep)
        if found is None or not self._has_room(found):
            raise self._refusal(found)

    def _has_room(self, found: ProjectRoom) -> bool:
        if words := self.need.hopeless(found):
            raise SpecError(
                [
                    f"submit_when: {self.need.when!r}, and the workload {words}: it would wait for "
                    "ever; ask for fewer GPUs, or use submit_when='now'"
                ]
            )
        if missing := found.missing(self.need.when):
            log.warning("%s, so nothing is waited for", unknown(missing))
        return self.need.fits(found)

    def _refusal(self, found: ProjectRoom | None) -> NoRoom:
        figures = f": {found}" if found else ""
        return NoRoom(
            f"project {self.project.name}: no room for {self.need} ({self.need.when}) within "
            f"{self.timeout:.0f} s{figures}; nothing was submitted"
        )

    @property
    def _look(self) -> Callable[[], Flow[ProjectRoom]]:
        return partial(room, self.project, self.node_pool)

    def _now(self) -> float:
        return self._run(now())

    def _run(self, flow: Flow[T]) -> T:
        return self.hook.run(flow, sleep=self.sleep)


def _tell(notice: Notice) -> None:
    log.info("%s", notice.text)
