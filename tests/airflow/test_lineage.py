"""
What OpenLineage hears of a retraining: its own listener, its own transport, its own classes.

Emitted by a worker of a real Airflow: end_to_end/test_lineage.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, Asset

from airflow_runai.emulator import Emulator
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.task_groups.retraining import runai_retraining
from tests.airflow.running import Run, dag_of
from tests.airflow.test_retraining import DIGITS, JUDGE, POD

Runner = Callable[..., Run]
#: Events by the task's id.
Heard = Callable[[str], dict[str, dict[str, Any]]]


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    """Let OpenLineage listen, and write its events to a file; return those of one kind."""
    file = tmp_path / "events.jsonl"
    transport = {"type": "file", "log_file_path": str(file), "append": True}
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", json.dumps(transport))
    # A process that tests and serves in threads must not be forked.
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__EXECUTE_IN_THREAD", "True")
    from airflow.providers.openlineage.plugins.listener import OpenLineageListener
    from airflow.sdk.listener import get_listener_manager

    listener = OpenLineageListener()
    manager = get_listener_manager()
    manager.add_listener(listener)

    def events(kind: str) -> dict[str, dict[str, Any]]:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        tasks = [
            line
            for line in lines
            if line["eventType"] == kind and "parent" in line["run"]["facets"]
        ]
        return {line["job"]["name"].partition(".")[2]: line for line in tasks}

    yield events
    manager.pm.unregister(listener)


def names(datasets: list[dict[str, Any]]) -> dict[tuple[str, str], str | None]:
    """Return the versions of data, by their names."""
    return {
        (one["namespace"], one["name"]): one["facets"].get("version", {}).get("datasetVersion")
        for one in datasets
    }


@pytest.mark.slow
def test_a_retraining_is_one_chain_from_image_and_data_to_the_champion(
    run: Runner, emulator: Emulator, shared: Path, heard: Heard
) -> None:
    with DAG("dag", schedule=None) as dag:
        runai_retraining(
            run_root="/shared/runs/1",
            path_map={"/shared": str(shared)},
            spec=POD,
            train=DIGITS,
            evaluate=JUDGE,
            gates=["accuracy >= 0.1"],
            champion="/shared/champion.json",
            task_arguments={"train": {"inlets": [Asset("raw", uri="s3://bucket/raw")]}},
        )
    done = run(dag)
    assert done.state == "success", done.words
    events = heard("COMPLETE")
    assert set(events) == {
        f"retraining.{name}" for name in ("train", "select", "evaluate", "promote")
    }
    train, select, evaluate, promote = events.values()
    chosen = done.xcom(task_id="retraining.select")
    root = ("file", str(shared / "runs" / "1" / "checkpoints"))
    checkpoint = {("file", chosen["uri"]): chosen["digest"]}
    pods = {("oci://docker.io", "python"): "3.12", ("pvc://team-a", "shared"): None}
    assert names(train["inputs"]) == {**pods, ("s3://bucket", "raw"): None}
    assert names(train["outputs"]) == {root: None}
    assert names(select["inputs"]) == {root: None}
    assert names(select["outputs"]) == checkpoint
    assert select["outputs"][0]["outputFacets"]["outputStatistics"]["size"] == chosen["bytes"]
    assert names(evaluate["inputs"]) == {**pods, **checkpoint}
    assert names(evaluate["outputs"]) == {
        ("file", str(shared / "runs" / "1" / "metrics.json")): None
    }
    assert names(promote["inputs"]) == checkpoint
    assert names(promote["outputs"]) == {("file", str(shared / "champion.json")): chosen["digest"]}
    query = train["run"]["facets"]["externalQuery"]
    assert query["source"] == emulator.url
    assert query["externalQueryId"] == done.xcom(task_id="retraining.train")["workload_id"]


@pytest.mark.slow
def test_a_training_that_fails_says_what_it_has_read(
    run: Runner, emulator: Emulator, heard: Heard
) -> None:
    spec = {"image": "registry.example/train:7", "command": "false", "backoff_limit": 0}
    done = run(dag_of(lambda: RunaiTrainingOperator(task_id="task", spec=spec)))
    assert done.state == "failed"
    event = heard("FAIL")["task"]
    assert names(event["inputs"]) == {("oci://registry.example", "train"): "7"}
    assert event["run"]["facets"]["externalQuery"]["source"] == emulator.url
    assert "errorMessage" in event["run"]["facets"]
