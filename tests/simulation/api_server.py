"""
Airflow's API server, where people mark: the real listener's queue and errands in a process that may be restarted.

What it asks Airflow's database is answered by the model of Airflow, as committed at that moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from airflow.sdk.execution_time.context import _preset_connections

from airflow_runai.core.origin import Origin
from airflow_runai.core.task_states import MISSING
from airflow_runai.listeners.errands import Errand, Errands
from airflow_runai.listeners.marked_tasks import attend
from tests.simulation.airflow import Airflow, TaskInstance
from tests.simulation.process import Process, in_greenlet

#: Seconds that a question to the database takes.
QUESTION = 0.02


@dataclass(frozen=True)
class _Thread:
    task: asyncio.Task[None]

    def is_alive(self) -> bool:
        return not self.task.done()


@dataclass(eq=False)
class ApiServer:
    """
    Hears marks.

    :param new_process: makes the process in which it lives.
    """

    airflow: Airflow
    new_process: Callable[[], Process]
    process: Process = field(init=False)

    def __post_init__(self) -> None:
        self._start()

    def hear(
        self, dag_id: str, run_id: str, task_id: str | None = None, map_index: int = -1
    ) -> None:
        """Do what the listener does when Airflow calls it."""
        self.errands.hand_over(Errand(dag_id, run_id, task_id, map_index))

    def restart(self) -> None:
        """Kill it; another one takes its place, and knows nothing of what was heard."""
        self.airflow.story.note("crashed", self.process.name)
        self.process.die()
        self._start()

    def _start(self) -> None:
        self.process = self.new_process()
        self.errands = Errands(self._attend, begin=self._begin)

    def _begin(self, work: Callable[[], None]) -> _Thread:
        preset = (_preset_connections, self.airflow.connection("airflow"))
        return _Thread(self.process.start(in_greenlet(work), preset))

    def _attend(self, errands: Collection[Errand]) -> Collection[Errand]:
        return attend(errands, self._connections, self._states)

    def _connections(self, errands: Collection[Errand]) -> Mapping[Origin, str]:
        self.process.sleep(QUESTION)
        ours = [
            ti
            for ti in self.airflow.tis
            if ti.has_begun and any(_is_of(ti, errand) for errand in errands)
        ]
        return {_origin(ti): "runai_default" for ti in ours}

    def _states(self, origins: Iterable[Origin]) -> Mapping[Origin, str]:
        self.process.sleep(QUESTION)
        known = {_origin(ti): ti.state or "none" for ti in self.airflow.tis}
        return {origin: known.get(origin, MISSING) for origin in origins}


def _origin(ti: TaskInstance) -> Origin:
    return Origin(ti.dag_id, ti.task_id, ti.run_id, ti.map_index)


def _is_of(ti: TaskInstance, errand: Errand) -> bool:
    if (ti.dag_id, ti.run_id) != (errand.dag_id, errand.run_id):
        return False
    return errand.task_id is None or (ti.task_id, ti.map_index) == (
        errand.task_id,
        errand.map_index,
    )
