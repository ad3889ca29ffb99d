"""Workers that die, are told to stop, or whose task is cleared: always exactly one workload that counts."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.emulator import Emulator, Scenario, serve
from airflow_runai.operators.training import RunaiTrainingOperator
from tests.airflow.conftest import ROOT, fast
from tests.airflow.crashing import DAY, WORKERS_IMPORT, crash_dag, work
from tests.airflow.running import Run, clear, dag_of
from tests.support.forks import Fork, imported_first
from tests.support.waiting import wait_until

Runner = Callable[..., Run]
#: A training that is still there, however long the next worker takes to come.
ENDLESS = Scenario(run_seconds=3600)


@pytest.fixture
def emulator(shared: Path, connect: Callable[..., None]) -> Iterator[Emulator]:
    scenarios = {"crash": ENDLESS, "short": Scenario(run_seconds=0.3)}
    with serve(fast(shared, scenarios=scenarios)) as running:
        connect(running.url)
        yield running


@pytest.fixture
def worker(database: None, emulator: Emulator) -> Iterator[Callable[[int], Fork]]:
    """Start a worker process; what is left of it at the end is killed."""
    imported_first(WORKERS_IMPORT)
    started: list[Fork] = []

    def start(retries: int) -> Fork:
        started.append(Fork(work, retries, environment=os.environ, folder=ROOT))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def _asks_for_generations(emulator: Emulator) -> bool:
    return not emulator.faults.planned()


def _exists(emulator: Emulator) -> bool:
    return bool(emulator.workloads_named("crash"))


def _runs(emulator: Emulator) -> bool:
    found = emulator.workloads_named("crash")
    return bool(found) and found[0].phase == "Running"


POINTS: dict[str, tuple[dict[str, Any], Callable[[Emulator], bool], int]] = {
    "before the create": (
        {"kind": "slow", "method": "GET", "path": "/api/v1/workloads"},
        _asks_for_generations,
        0,
    ),
    "between create and note": (
        {"kind": "lose_reply", "path": "/api/v1/workloads/trainings"},
        _exists,
        1,
    ),
    "after the note": ({}, _runs, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_and_forgotten_by_airflow_there_is_one_workload(
    run: Runner, emulator: Emulator, worker: Callable[[int], Fork], point: str
) -> None:
    fault, reached, left = POINTS[point]
    if fault:
        emulator.faults.add(**{**fault, "seconds": 60})
    process = worker(0)
    wait_until(lambda: reached(emulator))
    process.kill()
    process.wait()
    assert len(emulator.workloads_named("crash")) == left
    if not left:
        emulator.plane.scripted.set("crash", Scenario(run_seconds=0.3))
    done = run(crash_dag(deferrable=True), at=DAY)
    # With the run Airflow has lost the note, too: what exists may be another Airflow's, so nobody
    # adopts it.
    assert done.state == ("failed" if left else "success"), done.words
    assert not left or "no try of this run has submitted it" in str(done.words)
    assert len(emulator.workloads_named("crash")) == 1


@pytest.mark.slow
def test_sigterm_leaves_the_workload_alone_and_the_retry_adopts_it(
    emulator: Emulator, worker: Callable[[int], Fork]
) -> None:
    emulator.plane.scripted.set("crash", Scenario(run_seconds=4))
    process = worker(1)
    wait_until(lambda: _runs(emulator))
    process.send_signal(signal.SIGTERM)
    printed, _ = process.finish()
    ended = json.loads(printed.splitlines()[-1])
    assert ended["state"] == "success"
    assert ended["try"] == 2
    assert "the worker was told to stop (the task is running)" in ended["words"]
    assert "goes on; the next try adopts it" in ended["words"]
    assert len(emulator.workloads_named("crash")) == 1


def cleared(on_clear: str, deferrable: bool) -> Callable[[], RunaiTrainingOperator]:
    spec = {"image": "x", "compute": {"gpu_devices": 1}}
    known: dict[str, Any] = {
        "task_id": "task",
        "spec": spec,
        "workload_name": "short",
        "on_clear": on_clear,
        "retries": 2,
    }
    return lambda: RunaiTrainingOperator(deferrable=deferrable, **known)


@pytest.mark.slow
@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "blocking"])
@pytest.mark.parametrize(
    ("on_clear", "names"), [("restart", ["-g1", "-g2"]), ("reattach", ["-g1"])]
)
def test_clearing_starts_again_or_reattaches_as_asked(
    run: Runner, emulator: Emulator, on_clear: str, names: list[str], deferrable: bool
) -> None:
    done = run(dag_of(cleared(on_clear, deferrable)))
    assert done.task().try_number == 1
    clear(done)
    again = done.task()
    assert (again.state, again.try_number, again.max_tries) == ("success", 2, 3)
    assert [w.name[-3:] for w in emulator.workloads_named("short")] == names
    assert done.xcom()["name"].endswith(names[-1])
