"""A task whose author has changed its connection since it submitted: what lives under the old one is not forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.emulator import Emulator, serve
from tests.airflow.conftest import SECRET, Minutes, fast
from tests.airflow.running import Run, clear, dag_of
from tests.airflow.test_training import SPEC, training

Runner = Callable[..., Run]


@pytest.fixture(autouse=True)
def without_delay(minutes: Minutes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pauses pass in which a list could catch up, and in which a refusal could end."""
    minutes.shortest = 0.5
    monkeypatch.setenv("AIRFLOW__RUNAI__SUBMISSION_PATIENCE", "2")


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A second Run:ai, and the connection ``runai_other`` to it."""
    with serve(fast(tmp_path / "other")) as running:
        known = {"conn_type": "runai", "host": running.url, "login": "airflow", "password": SECRET}
        monkeypatch.setenv(
            "AIRFLOW_CONN_RUNAI_OTHER", json.dumps({**known, "extra": {"project": "team-a"}})
        )
        yield running


def moved(run: Runner, on_clear: str, before_clear: Callable[[], object] = lambda: None) -> Run:
    """A run whose workload still lives when its author changes the connection and clears it."""
    given: dict[str, Any] = {
        "timeouts": {"total": 0.5},
        "on_kill": "keep",
        "on_clear": on_clear,
        "spec": SPEC,
    }
    done = run(dag_of(training("long", **given)))
    assert done.state == "failed"
    changed: Any = done.dag.get_task("task")
    changed.runai_conn_id, changed.timeouts = "runai_other", {"total": 1.0}
    before_clear()
    clear(done)
    return done


def states(emulator: Emulator) -> list[tuple[str, str]]:
    return [(workload.name[-3:], workload.desired) for workload in emulator.workloads_named("long")]


@pytest.mark.slow
def test_what_lives_there_is_ended_before_another_begins_here(
    run: Runner, emulator: Emulator, other: Emulator
) -> None:
    moved(run, "restart")
    assert states(emulator) == [("-g1", "Deleted")]
    assert states(other) == [("-g2", "Running")]
    (first,), (second,) = emulator.workloads_named("long"), other.workloads_named("long")
    assert first.deleted_at is not None
    assert first.deleted_at <= second.created_at


@pytest.mark.slow
def test_what_lives_there_is_not_watched_through_another_connection(
    run: Runner, emulator: Emulator, other: Emulator
) -> None:
    done = moved(run, "reattach")
    assert (states(emulator), states(other)) == ([("-g1", "Running")], [])
    assert done.task().state == "failed"
    assert (
        "was submitted through the connection 'runai_default', and the task has 'runai_other' now"
        in done.words
    )


@pytest.mark.slow
def test_old_connection_that_refuses_begins_nothing(
    run: Runner, emulator: Emulator, other: Emulator
) -> None:
    done = moved(run, "restart", lambda: emulator.faults.add("status", status=401, times=None))
    assert (states(emulator), states(other)) == ([("-g1", "Running")], [])
    assert done.task().state == "failed"
