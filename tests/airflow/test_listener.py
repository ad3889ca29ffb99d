"""Marks that people set in the API server: heard, followed until they are committed, and done to the workload."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from airflow.listeners.listener import get_listener_manager

from airflow_runai.core.marks import Mark
from airflow_runai.deployment.task_states import states_in_database
from airflow_runai.emulator import Emulator
from airflow_runai.listeners.errands import Errand, Errands
from airflow_runai.listeners.marked_tasks import attend
from airflow_runai.listeners.rendered_connection import connections_in_database
from tests.cli.test_ps import set_state, submit
from tests.support.patience import PATIENCE
from tests.support.waiting import wait_until

Hooks = Callable[..., None]
TASK = Errand("nightly", "run1", "train")


@pytest.fixture
def hear(monkeypatch: pytest.MonkeyPatch) -> Hooks:
    """
    Call a hook of the registered listener as the API server does, before anything is committed.
    """
    monkeypatch.setitem(
        sys.modules, "airflow.api_fastapi.main", ModuleType("airflow.api_fastapi.main")
    )
    get_listener_manager.cache_clear()
    hooks = get_listener_manager().hook

    def call(name: str, dag_id: str = "nightly", **more: Any) -> None:
        about = SimpleNamespace(dag_id=dag_id, run_id="run1", task_id="train", map_index=-1)
        what = (
            {"dag_run": about, "msg": ""}
            if "dag_run" in name
            else {"task_instance": about, "previous_state": None}
        )
        getattr(hooks, name)(**what, **more)

    return call


def begun(emulator: Emulator, state: str | None, dag_id: str = "nightly", **how: Any) -> str:
    """A task that has submitted its workload and stands so in Airflow."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields as Fields
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    name = submit(emulator, "long", dag_id=dag_id, **how)
    set_state(state, dag_id)
    with create_session() as session:
        same = (TaskInstance.dag_id == dag_id, TaskInstance.run_id == "run1")
        ti = session.scalars(select(TaskInstance).where(*same)).one()
        fields = Fields(
            ti,
            render_templates=False,
            rendered_fields={"runai_conn_id": "runai_default", "spec": {}},
        )
        session.merge(fields)
    return name


def attended(errands: Collection[Errand]) -> Collection[Errand]:
    return attend(errands, connections_in_database, states_in_database)


def desired(emulator: Emulator, name: str) -> str:
    return emulator.workloads_named(name)[0].desired


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hook", "state", "more"),
    [
        ("on_task_instance_failed", "failed", {"error": "marked"}),
        ("on_task_instance_success", "success", {}),
        ("on_task_instance_skipped", "skipped", {}),
        ("on_dag_run_failed", "skipped", {}),
        ("on_dag_run_success", "skipped", {}),
    ],
)
def test_mark_on_a_task_that_waits_for_its_retry_ends_its_workload_once_it_is_committed(
    emulator: Emulator, database: None, hear: Hooks, hook: str, state: str, more: dict[str, Any]
) -> None:
    name = begun(emulator, "up_for_retry")
    hear(hook, **more)
    assert desired(emulator, name) == "Running"
    set_state(state)
    wait_until(lambda: desired(emulator, name) == "Deleted")


@pytest.mark.slow
def test_workload_is_ended_when_a_control_plane_that_was_away_answers(
    emulator: Emulator, database: None, hear: Hooks
) -> None:
    name = begun(emulator, "failed")
    emulator.faults.add("status", status=503, path="/api/v1/workloads*", times=None, lasts=3)
    hear("on_task_instance_failed", error=None)
    wait_until(lambda: desired(emulator, name) == "Deleted")


@pytest.mark.parametrize("state", [None, "up_for_retry", "awaiting_input", "running"])
def test_errand_stays_open_while_the_task_is_unfinished(
    emulator: Emulator, database: None, state: str | None
) -> None:
    name = begun(emulator, state)
    assert attended([TASK, Errand("nightly", "run1")]) == set()
    assert desired(emulator, name) == "Running"


@pytest.mark.parametrize("mark", [None, Mark(-1, "keep"), Mark(-1, "stop", awaited=False)])
def test_what_the_reaper_leaves_alone_is_left_alone(
    emulator: Emulator, database: None, mark: Mark | None
) -> None:
    name = begun(emulator, "failed", mark=mark)
    assert attended([TASK]) == {TASK}
    assert desired(emulator, name) == "Running"


def test_all_tasks_of_a_run_are_looked_at_and_no_other_run(
    emulator: Emulator, database: None
) -> None:
    mine, other = begun(emulator, "skipped"), begun(emulator, "failed", dag_id="other")
    errand = Errand("nightly", "run1")
    assert attended([errand]) == {errand}
    assert (desired(emulator, mine), desired(emulator, other)) == ("Deleted", "Running")


def test_tasks_of_others_are_none_of_our_business(emulator: Emulator, database: None) -> None:
    before = len(emulator.requests)
    errand = Errand("of others", "run1", "print")
    assert attended([errand]) == {errand}
    assert len(emulator.requests) == before


def test_outside_of_the_api_server_nothing_is_heard(
    emulator: Emulator, database: None, hear: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(emulator, "failed")
    monkeypatch.delitem(sys.modules, "airflow.api_fastapi.main")
    before = len(emulator.requests)
    hear("on_task_instance_failed", error=None)
    hear("on_dag_run_failed")
    monkeypatch.setitem(
        sys.modules, "airflow.api_fastapi.main", ModuleType("airflow.api_fastapi.main")
    )
    other = begun(emulator, "failed", dag_id="other")
    hear("on_task_instance_failed", dag_id="other", error=None)
    wait_until(lambda: desired(emulator, other) == "Deleted")
    deleted = [r for r in emulator.requests[before:] if r.method == "DELETE"]
    assert len(deleted) == 1, "errands are done in order, so the first two would have been seen"


def test_flood_neither_blocks_nor_raises_and_the_thread_is_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    busy, go = threading.Event(), threading.Event()
    seen: list[threading.Thread] = []

    def slow(errands: Collection[Errand]) -> Collection[Errand]:
        seen.append(threading.current_thread())
        busy.set()
        assert go.wait(PATIENCE)
        return errands

    errands = Errands(slow, max_errands=2)
    errands.hand_over(TASK)
    assert busy.wait(PATIENCE)
    for _ in range(5):
        errands.hand_over(TASK)
    go.set()
    wait_until(lambda: len(seen) == 2)
    assert "left to the reaper" in caplog.text
    assert len(set(seen)) == 1


def test_thread_survives_whatever_goes_wrong_and_gives_up_after_its_patience() -> None:
    tried: list[Collection[Errand]] = []

    def broken(errands: Collection[Errand]) -> Collection[Errand]:
        tried.append(errands)
        raise OSError("the database is away")

    errands = Errands(broken, patience=0.0)
    errands.hand_over(TASK)
    wait_until(lambda: len(tried) == 1)
    errands.hand_over(Errand("other", "run1"))
    wait_until(lambda: len(tried) == 2)
    assert tried[1] == (Errand("other", "run1"),), "the first is no longer followed"


@pytest.mark.slow
def test_plugin_imports_nothing_heavy_for_it() -> None:
    program = (
        "import json, sys, airflow.sdk.plugins_manager, airflow.sdk.configuration; before = set(sys.modules)\n"
        "import airflow_runai.plugin; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    brought = [
        name for name in json.loads(done.stdout.splitlines()[-1]) if not name.startswith("_")
    ]
    ours = [name for name in brought if name.startswith("airflow_runai")]
    assert set(ours) <= {
        *(
            "airflow_runai",
            "airflow_runai.plugin",
            "airflow_runai.core",
            "airflow_runai.core.options",
            "airflow_runai.deployment",
            "airflow_runai.deployment.configuration",
            "airflow_runai.errors",
        ),
        *(
            "airflow_runai.listeners",
            "airflow_runai.listeners.errands",
            "airflow_runai.listeners.listener",
        ),
    } | {"airflow_runai.provider_info"}
    assert [
        name
        for name in brought
        if name.split(".")[0] in ("httpx", "starlette", "sqlalchemy", "numpy")
    ] == []
