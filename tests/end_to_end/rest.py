"""Airflow's REST API, in the words of the tests."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.waiting import wait_until

#: Seconds of processor time that one step of a run may cost. Five components take their share
#: meanwhile, even if they have nothing to do, and on a busy machine they take most of it.
STEP = 300.0


class Rest:
    """
    Talks to Airflow as a user's browser does.

    :param url: of the API server.
    """

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=f"{url}/api/v2", timeout=None)

    def healthy(self) -> bool:
        """Whether scheduler, DAG processor and triggerer have all been heard of lately."""
        try:
            parts = self._http.get("/monitor/health", timeout=5).json()
        except (httpx.HTTPError, ValueError):
            return False
        names = ("metadatabase", "scheduler", "dag_processor", "triggerer")
        return all((parts.get(name) or {}).get("status") == "healthy" for name in names)

    def get(self, path: str, **query: Any) -> Any:
        return self._answer(self._http.get(path, params=query))

    def has_parsed(self, dag_id: str) -> None:
        """Wait until Airflow knows a DAG."""
        wait_until(lambda: self.find(f"/dags/{dag_id}"), f"{dag_id} is parsed", STEP)

    def find(self, path: str, **query: Any) -> Any:
        """Like :meth:`get`, but ``None`` for 404."""
        answer = self._http.get(path, params=query)
        return None if answer.status_code == 404 else self._answer(answer)

    def post(self, path: str, body: Any) -> Any:
        return self._answer(self._http.post(path, json=body))

    def patch(self, path: str, body: Any) -> Any:
        return self._answer(self._http.patch(path, json=body))

    def delete(self, path: str) -> None:
        self._answer(self._http.delete(path))

    def text(self, path: str, **query: Any) -> str:
        """Return an answer as it is, whatever its status."""
        return self._http.get(path, params=query).text

    def _answer(self, answer: httpx.Response) -> Any:
        assert answer.is_success, (
            f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
        )
        return answer.json() if answer.content else None


class Run:
    """One DAG run."""

    def __init__(self, rest: Rest, dag_id: str, run_id: str) -> None:
        self._rest = rest
        self.dag_id = dag_id
        self.run_id = run_id
        self.path = f"/dags/{dag_id}/dagRuns/{run_id}"

    @classmethod
    def start(cls, rest: Rest, dag_id: str, *, run_id: str | None = None, **conf: Any) -> Run:
        named = {"dag_run_id": run_id} if run_id else {}
        answer = rest.post(f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf, **named})
        return cls(rest, dag_id, answer["dag_run_id"])

    @property
    def state(self) -> str:
        return str(self._rest.get(self.path)["state"])

    def task(self, task_id: str = "train") -> dict[str, Any]:
        found: dict[str, Any] = self._rest.get(f"{self.path}/taskInstances/{task_id}")
        return found

    def tasks(self) -> list[dict[str, Any]]:
        return list(self._rest.get(f"{self.path}/taskInstances", limit=100)["task_instances"])

    def xcom(self, task_id: str = "train", key: str = "return_value", map_index: int = -1) -> Any:
        path = f"{self.path}/taskInstances/{task_id}/xcomEntries/{key}"
        found = self._rest.find(path, deserialize="true", map_index=map_index)
        return found and found["value"]

    def note(self, task_id: str = "train") -> Any:
        """What the task wrote to Airflow's state store about its submission."""
        found = self._rest.find(f"{self.path}/taskInstances/{task_id}/state-store/runai_submission")
        return found and found["value"]

    def is_watched(self) -> None:
        """Wait until the trigger has looked at the workload and shown what it saw."""
        wait_until(lambda: self.xcom(key="runai_timeline"), f"{self.run_id} is watched", STEP)

    def succeeds(self, task_id: str = "train") -> None:
        """Wait until a task has ended well; an end that is not good ends the wait too."""
        ends = ("success", "failed", "skipped", "upstream_failed", "removed")
        ended = f"{task_id} of {self.run_id} ends"
        wait_until(lambda: self.task(task_id)["state"] in ends, ended, STEP)
        assert self.task(task_id)["state"] == "success"

    def mark(self, state: str, task_id: str = "train") -> None:
        self._rest.patch(f"{self.path}/taskInstances/{task_id}", {"new_state": state})

    def delete(self) -> None:
        """Let Airflow forget the run."""
        self._rest.delete(self.path)

    def end(self, state: str) -> None:
        """Mark the whole run."""
        self._rest.patch(self.path, {"state": state})

    def clear(self, task_id: str = "train", map_index: int | None = None) -> None:
        which: object = task_id if map_index is None else [task_id, map_index]
        body = {
            "dry_run": False,
            "dag_run_id": self.run_id,
            "task_ids": [which],
            "only_failed": False,
        }
        self._rest.post(f"/dags/{self.dag_id}/clearTaskInstances", body)
