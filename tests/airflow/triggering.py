"""A trigger without a triggerer, and the supervisor that it asks."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time.comms import GetTaskStates

from airflow_runai.emulator import Emulator
from airflow_runai.triggers.workload import RunaiWorkloadTrigger
from tests.airflow.running import Person


def trigger(
    emulator: Emulator, slug: str = "short-t", on_kill: str = "stop", **given: Any
) -> RunaiWorkloadTrigger:
    made = Person(emulator).submit("team-a", slug, gpus=0)
    workload = {
        "id": made.id,
        "name": made.name,
        "project_id": "4501",
        "cluster_id": made.cluster_id,
        "phase": "",
    }
    policy = {
        "poll_interval": 0.1,
        "when_suspended": "wait",
        "timeouts": {},
        **given.pop("policy", {}),
    }
    return RunaiWorkloadTrigger(
        "runai_default", workload, policy, on_kill, **{"min_defer_seconds": 0.0, **given}
    )


async def first(made: RunaiWorkloadTrigger) -> dict[str, Any]:
    async for event in made.run():
        return dict(event.payload)
    raise AssertionError("ended without an event")


class Supervisor:
    """
    Stands for Airflow's supervisor at the wire: answers how a task stands.

    :param states: answers in order, an exception to be raised; the last one stays.
    """

    def __init__(self, *states: str | Exception | None) -> None:
        self.states = list(states)
        self.asked: list[Any] = []

    async def asend(self, message: Any) -> Any:
        self.asked.append(message)
        if not isinstance(message, GetTaskStates):
            return None
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, Exception):
            raise state
        return SimpleNamespace(task_states={"run": {"task": state} if state else {}})


Supervised = Callable[..., Supervisor]


@pytest.fixture
def supervised(monkeypatch: pytest.MonkeyPatch) -> Supervised:
    """Let the trigger's supervisor answer with these states."""
    from airflow.sdk.execution_time import task_runner

    def answer(*states: str | Exception | None) -> Supervisor:
        supervisor = Supervisor(*states)
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
        return supervisor

    return answer


def with_task(made: RunaiWorkloadTrigger) -> RunaiWorkloadTrigger:
    who: Any = SimpleNamespace(
        dag_id="dag", task_id="task", run_id="run", map_index=-1, try_number=1
    )
    made.task_instance = who
    return made
