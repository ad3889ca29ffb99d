"""Why a training failed or did not start is told where people look, in the same words everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_runai.emulator import Emulator, serve
from tests.airflow.conftest import fast
from tests.airflow.running import Run, dag_of
from tests.airflow.test_training import SPEC, both, training

Runner = Callable[..., Run]


@pytest.mark.slow
@both
def test_error_and_tab_of_a_queue_that_never_ends_say_that_it_never_starts(
    run: Runner, shared: Path, connect: Callable[..., None], deferrable: bool
) -> None:
    spec = {**SPEC, "compute": {"gpu_devices": 6}}
    with serve(fast(shared)) as emulator:
        connect(emulator.url)
        done = run(dag_of(training(spec=spec, timeouts={"queue": 0.5}, deferrable=deferrable)))
    assert done.state == "failed"
    sentence = "it can never start: asks for 6 GPUs; the cluster has 4; ask for fewer GPUs"
    assert f"  - {sentence}" in done.words.splitlines()
    assert done.xcom("runai_timeline")["reasons"] == [sentence]


@pytest.mark.slow
def test_success_and_a_limit_while_it_runs_need_no_reasons(run: Runner, emulator: Emulator) -> None:
    assert "reasons" not in run(dag_of(training())).xcom("runai_timeline")
    done = run(dag_of(training("long", timeouts={"running": 0.5})))
    assert done.state == "failed"
    assert "reasons" not in done.xcom("runai_timeline")
    assert not [r for r in emulator.requests if r.path.endswith("/events")]


def test_what_can_never_start_is_said_before_the_wait(
    run: Runner, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    spec = {**SPEC, "compute": {"gpu_devices": 5}}
    assert run(dag_of(training(spec=spec, wait_for_completion=False))).state == "success"
    (warning,) = [r.getMessage() for r in caplog.records if "can never start" in r.getMessage()]
    name = emulator.workloads_named("short")[0].name
    assert warning == (
        f"{name}: it can never start: asks for 5 GPUs; the cluster has 4; ask for fewer GPUs"
    )


@pytest.mark.slow
def test_error_and_command_of_a_crash_say_what_the_runtime_said(
    run: Runner, shared: Path, connect: Callable[..., None]
) -> None:
    spec = {**SPEC, "command": "./startup.sh", "backoff_limit": 0}
    with serve(fast(shared, processes=True, scenarios={})) as emulator:
        connect(emulator.url)
        done = run(dag_of(training("crash", spec=spec)))
    assert done.state == "failed"
    (reason,) = done.xcom("runai_timeline")["reasons"]
    assert reason.startswith("there is no './startup.sh' in the container (pod crash-")
    assert done.words.splitlines()[1] == f"  - {reason}"


@pytest.mark.slow
def test_starting_that_never_ends_is_stalled_for_a_reason(
    run: Runner, shared: Path, connect: Callable[..., None]
) -> None:
    with serve(fast(shared, images=("python:3.12",))) as emulator:
        connect(emulator.url)
        wrong = {**SPEC, "image": "python:3.21"}
        done = run(dag_of(training(spec=wrong, timeouts={"starting": 1.0})))
    assert "stalled" in done.words
    assert (
        "image 'python:3.21' cannot be pulled: its registry has no such name or tag" in done.words
    )
