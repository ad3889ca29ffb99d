"""
The reaper: the real operator, which Airflow runs every ten minutes as a task of its own, in a worker of its own.

A package that has none yet, with which this one is compared, gets its rounds all the same; nothing
is done in them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any

from airflow.sdk import DAG, BaseOperator
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.execution_time.context import _preset_connections

from tests.simulation.airflow import Airflow, TaskInstance
from tests.simulation.comms import ContextTi
from tests.simulation.history import Task
from tests.simulation.process import Process, in_greenlet

#: Seconds from the beginning of a round to that of the next.
ROUND = 600.0
#: After so many whole rounds nothing may be left that nobody wants.
ROUNDS = 2


@dataclass(eq=False)
class Reaper:
    """
    Begins rounds for ever.

    :param new_process: makes the worker of a round.
    :param rounds: (begin, end) of each, also of those that failed.
    """

    airflow: Airflow
    new_process: Callable[[], Process]
    rounds: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._in_a_while()

    def end_after(self, moment: float) -> float | None:
        """Return the end of the last of the first :data:`ROUNDS` rounds that began at ``moment`` or later."""
        ends = [end for begin, end in self.rounds if begin >= moment]
        return ends[ROUNDS - 1] if len(ends) >= ROUNDS else None

    def _in_a_while(self) -> None:
        self.airflow.later(ROUND, self._begin)

    def _begin(self) -> None:
        self._in_a_while()
        if find_spec("airflow_runai.operators.orphans") is None:
            self.rounds.append((self.airflow.loop.time(), self.airflow.loop.time()))
            return
        # Imported here: not every package has it.
        from airflow_runai.operators.orphans import RunaiReapOrphansOperator

        process = self.new_process()
        with DAG("reaping", schedule=None):
            operator = RunaiReapOrphansOperator(task_id="reap")
        preset = (_preset_connections, self.airflow.connection("airflow"))
        process.start(self._round(process, operator), preset, (ExecutorSafeguard.tracker, operator))

    async def _round(self, process: Process, operator: BaseOperator) -> None:
        began = self.airflow.loop.time()
        ti = TaskInstance("reaping", "run-1", "reap", Task())
        context: Any = {"ti": ContextTi(ti, process, self.airflow, 1, 0)}
        try:
            await in_greenlet(partial(operator.execute, context))
        except asyncio.CancelledError:
            return
        except Exception as error:
            self.airflow.story.note(
                "failed round", process.name, error=f"{type(error).__name__}: {error}"
            )
        self.rounds.append((began, self.airflow.loop.time()))
