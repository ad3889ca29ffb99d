"""
Airflow as a trigger sees it: the supervisor that it asks for connections and XComs.

The real one answers one message per turn. So does this one, if turns take time: then a thousand
triggers that ask at once wait in a queue, as they do in a real triggerer.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time.comms import (
    ConnectionResult,
    ErrorResponse,
    GetConnection,
    GetTaskStates,
    GetXCom,
    SetXCom,
    TaskStatesResult,
    XComResult,
)
from airflow.sdk.execution_time.supervisor import set_supervisor_comms

#: Seconds of a supervisor's turn by message, measured in Airflow 3.3 on PostgreSQL.
TURNS = {"SetXCom": 0.023}
TURN = 0.010


@dataclass(eq=False)
class Supervisor:
    """
    Answers what a trigger asks.

    :param takes_time: each answer takes its turn.
    :param connections: by id; all others lead to the control plane of the bench.
    """

    takes_time: bool = False
    connections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    messages: Counter[str] = field(default_factory=Counter)
    xcoms: dict[tuple[Any, ...], str] = field(default_factory=dict)
    _free_at: float = 0.0

    def send(self, message: object) -> Any:
        """Answer blocking code, which only masks secrets here."""
        self.messages[type(message).__name__] += 1

    async def asend(self, message: object) -> Any:
        """Answer code on the event loop."""
        name = type(message).__name__
        self.messages[name] += 1
        if self.takes_time:
            await self.turn(TURNS.get(name, TURN))
        return self._answer(message)

    async def turn(self, seconds: float) -> None:
        """Wait until all who came before have had their turn, and for one's own."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + seconds
        await asyncio.sleep(self._free_at - now)

    def _answer(self, message: object) -> Any:
        if isinstance(message, GetConnection):
            known = self.connections.get(message.conn_id) or connection(message.conn_id)
            return ConnectionResult(**known)
        if isinstance(message, GetXCom):
            written = self.xcoms.get(_place(message))
            return XComResult(key=message.key, value=json.loads(written) if written else None)
        if isinstance(message, SetXCom):
            self.xcoms[_place(message)] = json.dumps(message.value)
            return None
        if isinstance(message, GetTaskStates):
            return TaskStatesResult(task_states={})
        return ErrorResponse(error=ErrorType.GENERIC_ERROR) if _asks(message) else None


def _place(message: GetXCom | SetXCom) -> tuple[Any, ...]:
    return message.dag_id, message.run_id, message.task_id, message.map_index, message.key


def _asks(message: object) -> bool:
    return type(message).__name__.startswith("Get")


def connection(name: str, host: str = "https://org.run.ai", **extra: Any) -> Mapping[str, Any]:
    """What Airflow knows of the control plane; each connection logs in as somebody else."""
    about = {"project": "team-0", "cluster_url": host, **extra}
    return {
        "conn_id": name,
        "conn_type": "runai",
        "host": host,
        "login": name,
        "password": "a-secret",
        "schema": None,
        "port": None,
        "extra": json.dumps(about),
    }


def installed(supervisor: Supervisor) -> AbstractContextManager[None]:
    """Let the task SDK talk to ``supervisor``."""
    installing: AbstractContextManager[None] = set_supervisor_comms(supervisor)
    return installing
