"""One run of a DAG, as Airflow's REST API shows it."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx

from demo.platforms import NotReady
from demo.playground import until

JSON = {"Accept": "application/json"}


class AirflowRun:
    """
    The run of the last interval of a DAG that is scheduled.

    :param api: see :meth:`Playground.airflow`.
    """

    def __init__(self, api: httpx.Client, dag_id: str) -> None:
        self._api, self._dag = api, f"dags/{dag_id}"
        self.id = ""

    def begin(self) -> None:
        """Unpause the DAG, so that the scheduler starts the run."""
        self._api.patch(self._dag, json={"is_paused": False}).raise_for_status()
        until("the scheduler to start a run", lambda: bool(self._ids()))
        self.id = self._ids()[0]

    @property
    def state(self) -> str:
        """Of the run."""
        return str(self._get("")["state"])

    def fail_if_failed(self) -> None:
        """Raise :class:`NotReady` if the run has failed."""
        if self.state == "failed":
            raise NotReady("the DAG run failed; see the task logs under airflow/logs")

    def task(self, task: str) -> dict[str, Any]:
        """Return what Airflow says of a task, such as ``state`` and ``try_number``."""
        return self._get(f"/taskInstances/{task}")

    def result(self, task: str) -> dict[str, Any]:
        """Return what a task has returned."""
        path = f"/taskInstances/{task}/xcomEntries/return_value"
        value = self._get(path, deserialize="true")["value"]
        return dict(json.loads(value) if isinstance(value, str) else value)

    def said(self, task: str, workload: str, incarnation: int) -> list[str]:
        """Return the lines of a workload's incarnation in the log of a task's first try."""
        log = self._get(f"/taskInstances/{task}/logs/1", full_content="true")
        said, speaker = [], ""
        for entry in log["content"]:
            text = str(entry.get("event", "")) if isinstance(entry, dict) else str(entry)
            if found := re.match(rf"log of {workload}.*, incarnation (\d+)", text):
                speaker = found[1]
            elif speaker == str(incarnation) and text.startswith("| "):
                said.append(text)
        return said

    def _ids(self) -> list[str]:
        reply = self._api.get(f"{self._dag}/dagRuns").raise_for_status().json()
        return [run["dag_run_id"] for run in reply["dag_runs"]]

    def _get(self, path: str, **params: str) -> dict[str, Any]:
        url = f"{self._dag}/dagRuns/{self.id}{path}"
        reply = self._api.get(url, params=params, headers=JSON)
        return dict(reply.raise_for_status().json())
