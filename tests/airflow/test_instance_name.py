"""The name by which an Airflow knows its workloads: made once, read alike by all, kept by what has begun."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.listeners.listener import get_listener_manager
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, GetVariable, PutVariable, VariableResult

from airflow_runai.core.naming import TaskIdentity
from airflow_runai.deployment.instance_name import VARIABLE, name_for_worker, name_in_database
from airflow_runai.emulator import Emulator
from airflow_runai.errors import Unreachable
from tests.airflow.conftest import HOME, ROOT
from tests.airflow.crashing import WORKERS_IMPORT, tell_name
from tests.airflow.running import Run, clear, dag_of
from tests.airflow.test_training import training
from tests.cli.conftest import Ran, airflow
from tests.support.forks import Fork, imported_first

__all__ = ["airflow"]

Runner = Callable[..., Run]
Configure = Callable[[str], None]


@pytest.fixture(autouse=True)
def nameless(database: None) -> Iterator[None]:
    """An Airflow that has no name yet, and has its old one back afterwards."""
    before = stored()
    store(None)
    yield
    store(before)


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    return lambda name: monkeypatch.setenv("AIRFLOW__RUNAI__INSTANCE_NAME", name)


def stored() -> str | None:
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        row = session.scalar(select(Variable).where(Variable.key == VARIABLE))
        return None if row is None else row.get_val()


def store(name: str | None) -> None:
    from airflow.models.variable import Variable

    Variable.delete(VARIABLE) if name is None else Variable.set(VARIABLE, name)


class Supervisor:
    """
    Stands where a task's supervisor does.

    :param answers: one for each question; the last one for all that follow.
    """

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.written: list[str | None] = []
        self.put: Exception | None = None

    def send(self, message: Any) -> Any:
        if isinstance(message, PutVariable):
            if isinstance(self.put, Exception):
                raise self.put
            self.written.append(message.value)
            return None
        assert isinstance(message, GetVariable)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(self) if callable(answer) else answer


ABSENT = ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND)
#: So the supervisor tells that the API server failed, or could not be reached.
AWAY = AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))


def told(name: str | None) -> VariableResult:
    return VariableResult(key=VARIABLE, value=name)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Supervisor]:
    monkeypatch.setattr("time.sleep", lambda _: None)

    def install(*answers: Any) -> Supervisor:
        made = Supervisor(*answers)
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", made, raising=False)
        return made

    return install


def hash_in(name: str) -> str:
    return name.split("-")[-2]


def identity_of(done: Run, instance: str) -> TaskIdentity:
    return TaskIdentity(instance, done.dag.dag_id, done.run_id, "task")


@pytest.mark.slow
def test_worker_command_line_and_scheduler_read_the_same_name(
    run: Runner, emulator: Emulator, airflow: Callable[..., Ran]
) -> None:
    done = run(dag_of(training("short")))
    name = stored()
    assert name is not None
    assert re.fullmatch("airflow-[0-9a-f]{16}", name)
    assert hash_in(done.xcom()["name"]) == identity_of(done, name).digest()
    assert name_in_database() == name
    assert done.xcom()["name"] in airflow("ps", "--all", "-o", "json").out


def test_the_scheduler_makes_the_name_when_it_starts_and_a_starting_task_does_not() -> None:
    from airflow.jobs.job import Job

    get_listener_manager.cache_clear()
    hooks = get_listener_manager().hook
    hooks.on_starting(component=task_runner.TaskRunnerMarker())
    assert stored() is None
    Job()
    made = stored()
    assert made is not None
    Job()
    assert stored() == made


@pytest.mark.slow
def test_many_processes_that_make_the_name_at_the_same_time_agree(tmp_path: Path) -> None:
    imported_first(WORKERS_IMPORT)
    now = tmp_path / "now"
    processes = [Fork(tell_name, now, environment=os.environ, folder=ROOT) for _ in range(4)]
    ready = [process.stdout.readline() for process in processes]
    now.touch()
    names = [process.finish()[0].split()[-1] for process in processes]
    assert ready == ["ready\n"] * 4
    assert set(names) == {stored()}


def test_worker_whose_scheduler_made_none_takes_what_stands_after_a_while(
    supervisor: Callable[..., Supervisor],
) -> None:
    faster = supervisor(ABSENT, told("airflow-of-another"))
    assert name_for_worker() == "airflow-of-another"
    (mine,) = faster.written
    alone = supervisor(ABSENT, lambda asked: told(asked.written[-1]))
    assert name_for_worker() == alone.written[0] != mine


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([ErrorResponse(error=ErrorType.API_SERVER_ERROR)], "API_SERVER_ERROR"),
        ([AWAY], "API_SERVER_ERROR"),
        ([ABSENT, AWAY], "API_SERVER_ERROR"),
        ([ErrorResponse(error=ErrorType.PERMISSION_DENIED)], "PERMISSION_DENIED"),
        ([ABSENT], "it was written just now, and is not there"),
        ([told(None)], "it is empty, or encrypted with another key"),
        ([told("")], "it is empty, or encrypted with another key"),
    ],
)
def test_what_does_not_tell_the_name_is_never_taken_for_a_new_airflow(
    supervisor: Callable[..., Supervisor], answers: list[Any], words: str
) -> None:
    supervisor(*answers)
    with pytest.raises(Unreachable, match=words) as raised:
        name_for_worker()
    assert "set [runai] instance_name to do without it" in str(raised.value)


def test_name_that_cannot_be_written_is_not_used(supervisor: Callable[..., Supervisor]) -> None:
    supervisor(ABSENT).put = AWAY
    with pytest.raises(Unreachable, match="API_SERVER_ERROR"):
        name_for_worker()


def test_nothing_is_submitted_while_the_name_is_not_known(run: Runner, emulator: Emulator) -> None:
    store("")
    done = run(dag_of(training("short")))
    assert (done.state, emulator.workloads_named("short")) == ("failed", [])
    assert "it is empty" in done.words


def test_outside_of_a_task_the_worker_s_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(task_runner, "SUPERVISOR_COMMS", raising=False)
    with pytest.raises(Unreachable, match="this process is not a task of Airflow's"):
        name_for_worker()


@pytest.mark.slow
def test_configured_name_wins_and_none_is_made(
    run: Runner, emulator: Emulator, configure: Configure
) -> None:
    configure("production")
    done = run(dag_of(training("short")))
    assert hash_in(done.xcom()["name"]) == identity_of(done, "production").digest()
    assert stored() is None


@pytest.mark.slow
def test_what_has_begun_keeps_its_name_whatever_is_configured_later(
    run: Runner, emulator: Emulator, configure: Configure
) -> None:
    done = run(dag_of(training("short", on_clear="reattach")))
    name = done.xcom()["name"]
    configure("renamed")
    clear(done)
    assert [workload.name for workload in emulator.workloads_named("short")] == [name]
    assert done.task().state == "success"


@pytest.mark.parametrize("name", ["a b\tc", "名前", "\x00", "\ud800", "%(here)s", "x" * 5000])
def test_name_of_any_characters_tells_airflows_apart(name: str) -> None:
    known = TaskIdentity(name, "dag", "run", "task")
    assert re.fullmatch("[0-9a-f]{10}", known.digest())
    assert known.digest() != TaskIdentity(name + "x", "dag", "run", "task").digest()


@pytest.mark.slow
def test_copy_of_the_database_forgets_as_documented(
    run: Runner, emulator: Emulator, tmp_path: Path
) -> None:
    run(dag_of(training("short")))
    (statements,) = re.findall(
        r"```sql\n(.*?)```", (ROOT / "docs" / "waiting.md").read_text(), re.DOTALL
    )
    copy = sqlite3.connect(tmp_path / "copy.db")
    with sqlite3.connect(f"file:{HOME}/airflow.db?mode=ro", uri=True) as original:
        original.backup(copy)
    copy.execute("UPDATE task_instance SET state = 'deferred'")
    copy.executescript(statements)
    left = [
        copy.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in (
            f"variable WHERE key = '{VARIABLE}'",
            "task_state_store WHERE key = 'runai_submission'",
            "task_instance WHERE state <> 'failed' OR trigger_id IS NOT NULL",
        )
    ]
    assert left == [0, 0, 0]
