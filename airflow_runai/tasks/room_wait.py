"""
What a task does about room before it submits: it waits for its turn, and looks once more.

Its turn comes from a trigger, which sees all who wait on its event loop. The look right before the
create sees what has changed since: whoever finds no room goes back, and keeps its position.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from airflow_runai.backends.patience import Patience
from airflow_runai.backends.room import no_room, unknown, until_room
from airflow_runai.core.flow import Flow, Notice, now
from airflow_runai.core.project import Project
from airflow_runai.core.quota import gpus_guaranteed, gpus_requested
from airflow_runai.core.room import NOW, QUOTA, Need, ProjectRoom
from airflow_runai.core.slots import Claim, RunSlots, coming
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.waiting_line import PROMISE
from airflow_runai.errors import NoRoom, SpecError
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.tasks.slot_claim import SlotClaim

T = TypeVar("T")

log = logging.getLogger(__name__)


def need_of(spec: WorkloadSpec, submit_when: str, slots: RunSlots | None = None) -> Need | None:
    """
    Return what a workload waits for; ``None`` if it waits for nothing.

    Which part of a GPU a request for memory is depends on the node: it counts as one GPU. What is
    not preemptible gets nothing beyond the quota, nor do the pods that a semi-preemptible one needs
    at least.
    """
    gpus, guaranteed = (
        1.0 if asked is None else asked for asked in (gpus_requested(spec), gpus_guaranteed(spec))
    )
    if submit_when == NOW or not gpus:
        return Need(NOW, 0.0, slots=slots) if slots else None
    if guaranteed:
        return Need(QUOTA, guaranteed, slots=slots)
    return Need(submit_when, gpus, slots=slots)


@dataclass(frozen=True)
class RoomWait:
    """
    One task's wait for room.

    :param claim: of a slot of the run; ``None`` if the need has none.
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
    claim: SlotClaim | None
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
        since = float(self.turn["since"])
        why = self._last_look()
        if why and self._now() >= since + self.timeout:
            raise self._refusal(why)
        return since if why else None

    def wait_here(self) -> None:
        """Wait in this worker until there is room; raises as :meth:`waits_since`."""
        deadline = self._now() + self.timeout
        while True:
            waiting = until_room(self._look, self.need, self.interval, deadline, self.digest)
            found = self.hook.run(waiting, _tell, self.sleep)
            if found is None:
                raise self._refusal()
            # Without a claim, that look was as good as another.
            why = self._last_look() if self.claim else self._obstacle(found, [])
            if not why:
                return
            # That look did not know of claims: it ends no wait for a slot that others have claimed.
            if self._now() >= deadline:
                raise self._refusal(why)

    def _last_look(self) -> str:
        """Claim a slot, look, say why there is no room; then the claim is withdrawn."""
        has_room = False
        try:
            claims = self.claim.make(self._now()) if self.claim else []
            why = self._obstacle(self._run(self.patience.retry(self._look)), claims)
            has_room = not why
            return why
        finally:
            if self.claim and not has_room:
                self.claim.withdraw()

    def _obstacle(self, found: ProjectRoom, claims: list[Claim]) -> str:
        if words := self.need.hopeless(found):
            raise SpecError(
                [
                    f"submit_when: {self.need.when!r}, and the workload {words}: it would wait for "
                    "ever; ask for fewer GPUs, or use submit_when='now'"
                ]
            )
        if missing := found.missing(self.need.when):
            log.warning("%s, so nothing is waited for", unknown(missing))
        full = self.need.full(found, self.digest, coming(claims, found.seen, self._now()))
        if self.need.fits(found) and not full:
            return ""
        log.info("%s", no_room(self.need, found, full))
        return full or str(found)

    def _refusal(self, why: str = "") -> NoRoom:
        return NoRoom(
            f"project {self.project.name}: no room for {self.need} ({self.need.when}) within "
            f"{self.timeout:.0f} s{f': {why}' if why else ''}; nothing was submitted"
        )

    @property
    def _look(self) -> Callable[[], Flow[ProjectRoom]]:
        ended_within = PROMISE if self.claim else 0.0
        return partial(self.hook.backend.room, self.project, self.node_pool, ended_within)

    def _now(self) -> float:
        return self._run(now())

    def _run(self, flow: Flow[T]) -> T:
        return self.hook.run(flow, sleep=self.sleep)


def _tell(notice: Notice) -> None:
    log.info("%s", notice.text)
