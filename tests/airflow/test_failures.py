"""Whatever a task fails with, its log says so in one error, and no history follows it."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseOperator

import airflow_runai.operators
import airflow_runai.sensors
from airflow_runai.core.texts import said
from airflow_runai.emulator import Emulator, Scenario, serve
from airflow_runai.errors import Unreachable
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.sensors.workload import RunaiWorkloadSensor
from airflow_runai.tasks.declaration import Placed
from airflow_runai.tasks.failures import fails_readably
from tests.airflow.conftest import fast
from tests.airflow.running import Person, Run, dag_of
from tests.airflow.task_logs import assert_readable

Runner = Callable[..., Run]
READABLE = ("execute", "execute_complete", "execute_in_turn", "poke")


def tasks() -> Iterator[type[BaseOperator]]:
    """Yield the classes of operators and sensors in this package."""
    for folder in (airflow_runai.operators, airflow_runai.sensors):
        for module in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}."):
            for cls in vars(importlib.import_module(module.name)).values():
                is_own = isinstance(cls, type) and cls.__module__ == module.name
                if is_own and issubclass(cls, BaseOperator):
                    yield cls


def layers(function: Any) -> Iterator[str]:
    while function is not None:
        yield function.__code__.co_name
        function = getattr(function, "__wrapped__", None)


def test_no_operator_and_no_sensor_forgets_to_fail_readably() -> None:
    found = list(tasks())
    assert len(found) >= 12
    bare = [
        f"{cls.__name__}.{name}"
        for cls in found
        for name in READABLE
        if name in vars(cls) and "readable" not in layers(vars(cls)[name])
    ]
    assert bare == []
    assert [cls.__name__ for cls in found if not isinstance(cls, Placed)] == []


class Task:
    log = type("log", (), {"error": staticmethod(lambda *_: None)})

    @fails_readably
    def execute(self, error: Exception) -> None:
        try:
            raise OSError("a library's")
        except OSError as cause:
            raise error from cause


def test_a_bug_keeps_its_history() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        Task().execute(ZeroDivisionError())
    assert isinstance(caught.value.__cause__, OSError)


def test_what_was_raised_on_purpose_keeps_its_type_and_nothing_else() -> None:
    with pytest.raises(Unreachable, match="gone") as caught:
        Task().execute(Unreachable("gone"))
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def unreachable(**given: Any) -> RunaiTrainingOperator:
    return RunaiTrainingOperator(task_id="task", spec={"image": "x"}, **given)


def test_a_library_s_error_leaves_one_sentence_in_the_log(
    run: Runner,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AIRFLOW__RUNAI__SUBMISSION_PATIENCE", "0")
    connect("http://127.0.0.1:9")
    done = run(dag_of(unreachable))
    assert assert_readable(done, capfd) == (
        "POST http://127.0.0.1:9/api/v2/token: ConnectError: [Errno 111] Connection refused; "
        "check the connection's host"
    )


def test_problems_are_listed_one_a_line(
    run: Runner, emulator: Emulator, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = {"command": ["a", "b"], "compute": {"gpu_devices": "two", "gpu_portion": 1.5}}
    done = run(dag_of(lambda: RunaiTrainingOperator(task_id="task", spec=wrong, retries=2)))
    head, *lines = assert_readable(done, capfd).splitlines()
    assert head == "SpecError: 4 problems; nothing was submitted:"
    assert sorted(line.split(":")[0] for line in lines) == [
        "  - spec.command",
        "  - spec.compute.gpu_devices",
        "  - spec.compute.gpu_portion",
        "  - spec.image",
    ]
    assert emulator.workloads_named("") == []


@pytest.mark.slow
def test_a_training_that_failed_leads_to_its_page_and_its_logs(
    run: Runner, emulator: Emulator, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = {"image": "x", "backoff_limit": 0}
    broken: dict[str, Any] = {
        "task_id": "task",
        "spec": spec,
        "workload_name": "broken",
        "deferrable": False,
    }
    done = run(dag_of(lambda: RunaiTrainingOperator(**broken)))
    (workload,) = emulator.workloads_named("broken")
    head, *reasons, page, logs = assert_readable(done, capfd).splitlines()
    (reason,) = reasons
    assert reason.startswith("  - the command failed, each time that it was started")
    assert head == f"workload {workload.name} failed: Job has reached the specified backoff limit"
    assert page == f"  - its page: {emulator.url}/workloads?search={workload.name}"
    assert logs == (
        f"  - its logs: `airflow runai logs {workload.name} --project team-a` "
        f"or `runai training logs {workload.name} -p team-a`"
    )


@pytest.mark.slow
def test_a_sensor_that_gives_up_leads_there_too(
    run: Runner, emulator: Emulator, capfd: pytest.CaptureFixture[str]
) -> None:
    workload = Person(emulator).submit("team-a", "broken-sensed", backoffLimit=0)
    done = run(dag_of(lambda: RunaiWorkloadSensor(task_id="task", workload=workload.name)))
    words = assert_readable(done, capfd)
    assert words.startswith(f"workload {workload.name} failed: Job has reached the specified")
    assert f"airflow runai logs {workload.name} --project team-a" in words
    reasons = done.xcom("runai_timeline")["reasons"]
    assert len(reasons) > 0
    assert [reason for reason in reasons if f"\n  - {reason}\n" not in words] == []


def test_a_sensor_that_pokes_says_a_mistake_once(
    run: Runner, emulator: Emulator, capfd: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"task_id": "task", "project": "team-x", "deferrable": False}
    done = run(dag_of(lambda: RunaiWorkloadSensor(workload="any", **given)))
    assert "project 'team-x': no such project" in assert_readable(done, capfd)


@pytest.mark.slow
@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "blocking"])
def test_each_change_of_phase_is_one_line_however_rarely_one_looks(
    run: Runner,
    shared: Path,
    connect: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
    deferrable: bool,
) -> None:
    twice = {1: (3600.0, 0), 2: (3600.0, 0)}  # only a preemption ends these
    scenarios = {"busy": Scenario(run_seconds=0.0, preempt_every=0.4, exits=twice)}
    busy = {"spec": {"image": "x"}, "workload_name": "busy", "poll_interval": 2.5}
    with serve(fast(shared, scenarios=scenarios)) as emulator:
        connect(emulator.url)
        given: dict[str, Any] = {"task_id": "task", "deferrable": deferrable, **busy}
        done = run(dag_of(lambda: RunaiTrainingOperator(**given)))
        name = done.xcom()["name"]
        assert done.xcom()["preemptions"] == 2
    log = capfd.readouterr().out
    told = re.findall(rf"\] {name}: (.*?) +\[airflow", log)
    moments = done.xcom("runai_timeline")["timeline"]
    assert told == [said(moment["phase"], moment["message"]) for moment in moments]
    assert f"{name} succeeded after " in log
    assert "s running, 2 interruptions)" in log
