"""OpenLineage hears of a training from the worker that ends it, after another one has begun it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.database import postgres
from tests.end_to_end.installation import installed
from tests.end_to_end.rest import Run
from tests.end_to_end.site import Site

DAG_ID = "digits_from_ui"


@pytest.mark.qualify
def test_workers_emit_after_a_deferral(examples: Site, tmp_path: Path) -> None:
    heard = tmp_path / "events.jsonl"
    transport = {"type": "file", "log_file_path": str(heard), "append": True}
    surroundings = {
        "AIRFLOW_CONN_RUNAI_DEFAULT": json.dumps(examples.connection()),
        "AIRFLOW_VAR_RUNAI_SHARED": str(examples.shared),
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
    }
    home = tmp_path / "airflow"
    home.mkdir()
    with postgres() as database, installed(home, database.address, surroundings) as airflow:
        airflow.rest.has_parsed(DAG_ID)
        airflow.rest.patch(f"/dags/{DAG_ID}", {"is_paused": False})
        run = Run.start(airflow.rest, DAG_ID, epochs=2)
        run.succeeds("train")
        run.succeeds("checkpoint")
        chosen = run.xcom("checkpoint")
    events = completed(heard)
    train, checkpoint = events["train"], events["checkpoint"]
    assert {one["namespace"] for one in train["inputs"]} == {"oci://docker.io", "pvc://team-a"}
    assert train["run"]["facets"]["externalQuery"]["source"] == examples.emulator.url
    (root,) = train["outputs"]
    assert [one["name"] for one in checkpoint["inputs"]] == [root["name"]]
    (found,) = checkpoint["outputs"]
    assert found["name"] == chosen["uri"]
    assert found["facets"]["version"]["datasetVersion"] == chosen["digest"]


def completed(heard: Path) -> dict[str, Any]:
    """Return the events of tasks that succeeded, by the task's id."""
    lines = [json.loads(line) for line in heard.read_text().splitlines()]
    ended = [line for line in lines if line["eventType"] == "COMPLETE"]
    return {
        line["job"]["name"].partition(".")[2]: line for line in ended if "." in line["job"]["name"]
    }
