"""What becomes of the note of a worker that Airflow has given up, in the real Airflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.api.client import ServerResponseError

from airflow_runai.core.note import Note
from airflow_runai.tasks.note_store import read_note, write_note
from tests.airflow.running import Run, dag_of

pytestmark = pytest.mark.slow
NOTE = Note(1, 1, "w-1")
#: What Airflow's API server has said to the task, which runs in this process.
ANSWERS: list[int] = []


class Overtaken(BaseOperator):
    """Writes a note, is taken for dead while it runs, and writes another one."""

    def execute(self, context: Any) -> None:
        write_note(context, NOTE)
        assert read_note(context) == NOTE
        _begin_another_try(context["ti"].id)
        assert read_note(context) is None
        # Here the task shares a process with its supervisor, which would hand the error on.
        with pytest.raises(ServerResponseError) as refused:
            write_note(context, Note(2, 1))
        ANSWERS.append(refused.value.response.status_code)


def _begin_another_try(ti_id: object) -> None:
    """Do what the scheduler does when the heartbeats of a task are lost."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.get(TaskInstance, ti_id)
        assert found is not None
        found.prepare_db_for_next_try(session)


def test_airflow_takes_no_note_of_a_worker_that_it_has_given_up(run: Callable[..., Run]) -> None:
    ANSWERS.clear()
    run(dag_of(lambda: Overtaken(task_id="task")))
    assert ANSWERS == [404]
