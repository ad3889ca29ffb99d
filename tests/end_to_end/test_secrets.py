"""No secret is left anywhere that Airflow writes or shows: searched after all other tests have left their traces."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

from tests.end_to_end.installation import Airflow
from tests.end_to_end.rest import Run
from tests.end_to_end.site import CLIENT_ID, CLIENT_SECRET, Site, Start

DETAILS = (
    "",
    "/xcomEntries/runai_workload",
    "/xcomEntries/runai_timeline",
    "/xcomEntries/return_value",
    "/state-store",
)


@pytest.fixture(scope="module")
def finished(start: Start) -> Run:
    """At least one training, where this file runs alone."""
    here, run = start()
    here.runs_deferred(run)
    here.finish()
    run.succeeds()
    return run


def test_what_is_searched_for_is_what_tokens_begin_with(examples: Site) -> None:
    assert examples.emulator.plane.tokens.issue().encode().startswith(_secrets()[1])


def test_no_secret_is_in_any_file_of_airflow(airflow: Airflow, finished: Run) -> None:
    files = [path for path in airflow.home.rglob("*") if path.is_file()]
    assert any(f"run_id={finished.run_id}" in str(path) for path in files)
    guilty = [path for path in files if any(secret in path.read_bytes() for secret in _secrets())]
    assert guilty == []


def test_no_secret_is_in_what_airflow_shows_of_its_tasks(airflow: Airflow, finished: Run) -> None:
    shown = dict(_shown(airflow))
    task = f"{finished.path}/taskInstances/train"
    assert finished.xcom()["workload_id"] in shown[f"{task}/xcomEntries/return_value"]
    assert "wait.sh" in shown[task]
    assert "runai_submission" in shown[f"{task}/state-store"]
    assert "post_connection" in shown["/eventLogs"]
    assert [
        path
        for path, text in shown.items()
        if any(secret in text.encode() for secret in _secrets())
    ] == []


def _secrets() -> tuple[bytes, ...]:
    """The client's secret, and what all tokens of the embedded Run:ai begin with."""
    header = base64.urlsafe_b64encode(
        json.dumps({"alg": "HS256", "typ": "JWT"}, separators=(",", ":")).encode()
    )
    # 18 bytes, so that the encoding of the beginning is the beginning of the encoding.
    claims = base64.urlsafe_b64encode(f'{{"sub":"{CLIENT_ID}"'.encode()[:18])
    return CLIENT_SECRET.encode(), header.rstrip(b"=") + b"." + claims


def _shown(airflow: Airflow) -> Iterator[tuple[str, str]]:
    yield "/eventLogs", airflow.rest.text("/eventLogs", limit=100, order_by="event_log_id")
    for task in airflow.rest.get("/dags/~/dagRuns/~/taskInstances", limit=100)["task_instances"]:
        path = (
            f"/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}"
        )
        for detail in DETAILS:
            yield path + detail, airflow.rest.text(path + detail)
