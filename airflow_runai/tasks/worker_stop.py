"""
What a SIGTERM to a waiting worker means: a user has ended the task, or the worker's node goes down.

Airflow sends the same signal for both and goes on with ``execute`` afterwards. The workload must
survive the second, so the signal is only noted, and Airflow is asked for the task's state.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowException

from airflow_runai.backends.termination import stop
from airflow_runai.core.task_states import FINISHED_TASK_STATES
from airflow_runai.deployment.metrics import count
from airflow_runai.deployment.task_states import task_state

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_runai.core.workload import Workload
    from airflow_runai.hooks.runai import RunaiHook

#: Seconds after which a sleeping worker looks at the signal again.
_STEP = 1.0


class WorkerStopped(Exception):
    """The worker received SIGTERM while it waited."""


@contextmanager
def ending_the_try(words: str) -> Iterator[None]:
    """
    Let the try end where its worker is told to stop.

    :param words: what becomes of its work.
    """
    try:
        yield
    except WorkerStopped:
        raise AirflowException(f"the worker was told to stop: {words}") from None


@contextmanager
def leaving_the_workload(
    context: Context, hook: RunaiHook, workload: Workload, action: str
) -> Iterator[None]:
    """Let a wait end where its worker is told to stop; see :func:`end_if_task_is_finished`."""
    try:
        yield
    except WorkerStopped:
        state = end_if_task_is_finished(context, hook, workload, action)
        words = f"workload {workload.name} goes on; the next try adopts it"
        raise AirflowException(
            f"the worker was told to stop (the task is {state}): {words}"
        ) from None


class StopSignal:
    """Whether the worker has received SIGTERM."""

    def __init__(self) -> None:
        self.received = False

    def sleep(self, seconds: float) -> None:
        """Sleep; raise :class:`WorkerStopped` as soon as the signal is there."""
        left = seconds
        while not self.received and left > 0:
            step = min(left, _STEP)
            time.sleep(step)
            left -= step
        if self.received:
            raise WorkerStopped


def end_if_task_is_finished(
    context: Context, hook: RunaiHook, workload: Workload, action: str
) -> str | None:
    """
    Return the state of a task that goes on, on another worker.

    :param action: what becomes of the workload if a user ended the task: ``stop``, ``suspend`` or
        ``keep``.
    :raises AirflowException: if a user ended the task; the workload has been seen to.
    """

    def state_now() -> str | None:
        return task_state(context["ti"], context["ti"].get_task_states)

    state = state_now()
    if state in FINISHED_TASK_STATES:
        # Asked anew before each call: the task may be cleared meanwhile.
        ended = hook.run(
            stop(hook.backend, workload, action, lambda: state_now() in FINISHED_TASK_STATES)
        )
        count("runai.kills", by="worker")
        done = ended or f"workload {workload.name} was told to end"
        raise AirflowException(f"the worker was told to stop (the task is {state}): {done}")
    return state
