"""The commands with a connection of type ``kubernetes``, over the model of Kubernetes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_runai.operators.training import RunaiTrainingOperator
from tests.airflow.running import Run, dag_of
from tests.cli.conftest import Airflow
from tests.model.kubelet import Life, phase_of
from tests.model.resources import JOBS, NAMESPACES, PODS
from tests.model.serving import ServedModel, served
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("called_airflow", "database")]
TASK = "RunaiTrainingOperator(task_id='train', workload_name='long', spec={'image': 'x:1', 'compute': {'gpu_devices': 1}})"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedModel]:
    with served(life_of=lambda pod: Life(run=1e9)) as running:
        connection = running.connection(project="team-b", runai_dialect="kai")
        monkeypatch.setenv("AIRFLOW_CONN_RUNAI_DEFAULT", connection)
        yield running


def submit(run: Callable[..., Run], model: ServedModel) -> str:
    """Submit a training that runs on and on, and wait until it runs; return its name."""
    spec = {"image": "x:1", "compute": {"gpu_devices": 1}}
    done = run(
        dag_of(
            lambda: RunaiTrainingOperator(
                task_id="task", workload_name="long", spec=spec, wait_for_completion=False
            )
        )
    )
    assert done.state == "success", done.words

    def runs() -> bool:
        with model.lock:
            return [phase_of(pod) for pod in model.cluster.store.all(PODS)] == ["Running"]

    wait_until(runs, "the training runs")
    return str(done.xcom()["name"])


def test_ps_shows_what_runs(airflow: Airflow, run: Callable[..., Run], model: ServedModel) -> None:
    name = submit(run, model)
    shown = airflow("ps", "-o", "json")
    assert shown.code == 0, shown.err
    (row,) = json.loads(shown.out)
    assert (row["name"], row["project"], row["phase"]) == (name, "team-b", "Running")
    assert (row["dag"], row["task"]) == ("dag", "task")
    assert row["running"] >= 0


def test_logs_are_shown(airflow: Airflow, run: Callable[..., Run], model: ServedModel) -> None:
    line = "2026-11-27T00:00:00.000000001Z step 1"
    model.cluster.server.log_of = lambda pod: f"{line}\n"
    shown = airflow("logs", submit(run, model))
    assert (shown.code, shown.out) == (0, "step 1\n"), shown.err


def test_reap_ends_what_no_task_awaits(
    airflow: Airflow, run: Callable[..., Run], model: ServedModel
) -> None:
    submit(run, model)
    # The task that only submits leaves its workload to a person.
    shown = airflow("reap", "--older-than", "0", "-o", "json")
    assert (shown.code, json.loads(shown.out)) == (0, []), shown.err
    with model.lock:
        assert len(list(model.cluster.store.all(JOBS))) == 1


def checked(airflow: Airflow, *words: str) -> dict[str, tuple[str, str]]:
    shown = airflow("dry-run", *words, "-o", "json")
    assert "Traceback" not in shown.err
    return {row["check"]: (row["verdict"], row["says"]) for row in json.loads(shown.out)}


def test_a_dry_run_lets_the_cluster_rehearse(
    airflow: Airflow, dags: Callable[..., Path], model: ServedModel
) -> None:
    found = checked(airflow, "example", "train", "-S", str(dags(TASK)))
    assert found["connection"] == (
        "ok",
        "runai_default: Kubernetes, namespace named like the project, dialect kai",
    )
    assert found["project"][0] == "ok"
    assert found["version"] == ("ok", "v1.34.4")
    assert found["policy"] == ("ok", "the cluster would create it")
    assert any("dryRun=All" in line for line in model.asked)
    with model.lock:
        assert list(model.cluster.store.all(JOBS)) == []


def test_a_dry_run_tells_what_is_missing(
    airflow: Airflow, dags: Callable[..., Path], model: ServedModel
) -> None:
    model.cluster.server.forbidden |= {("list", "events")}
    verdict, words = checked(airflow, "example", "train", "-S", str(dags(TASK)))["policy"]
    assert verdict == "unknown"
    assert words.startswith(
        "the connection's identity lacks rights in namespace 'team-b': list events"
    )


def test_a_dry_run_says_that_the_namespace_is_to_be_made(
    airflow: Airflow, dags: Callable[..., Path], model: ServedModel
) -> None:
    with model.lock:
        store = model.cluster.store
        store.remove(NAMESPACES, store.get(NAMESPACES, "", "team-b"))
    verdict, words = checked(airflow, "example", "train", "-S", str(dags(TASK)))["policy"]
    assert verdict == "problem"
    assert 'namespaces "team-b" not found; make the namespace' in words
