"""
The story: a retraining over quota, preempted in the middle, resumed on another node, proven, evaluated, promoted.

team-a's quota (2 GPUs) is in use by its baseline, so the retraining that Airflow submits runs on
GPUs that team-b does not use. Then team-b wants them back. Nothing is simulated but the GPUs: the
processes, signals, checkpoints and the Airflow are real. Each promise of the story is checked; one
that does not hold makes the exit code 1.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx

from airflow_runai.backends import clients, control_plane, drivers, organization
from airflow_runai.backends.organization import Project
from airflow_runai.backends.paging import read_all
from airflow_runai.backends.tokens import Tokens
from airflow_runai.core.flow import Flow
from airflow_runai.core.timeline import Moment, clocks
from airflow_runai.core.workload import Workload
from demo.account import Account, draw
from demo.playground import NotReady, Playground, until

T = TypeVar("T")
DAG_ID = "digits_retraining"
#: The retraining is preempted once it has published a checkpoint of at least this step (of 690).
PREEMPT_AT_STEP = 250
#: How long nobody gives it a GPU, so that one can watch it wait.
SECONDS_IN_THE_QUEUE = 6.0


class Story:
    """Tells it once, from submission to promotion."""

    def __init__(self, ground: Playground, account: Account) -> None:
        self.ground, self.account = ground, account
        self._client = clients.client(ground.settings)
        self._tokens = Tokens(ground.settings.client_id, ground.settings.client_secret)
        self._api: httpx.Client | None = None
        self.run_id = ""
        self._said = 0

    def ask(self, flow: Flow[T]) -> T:
        """Talk to the embedded Run:ai as the provider does."""
        return drivers.run(self._tokens.authorized(flow), self._client)

    @property
    def api(self) -> httpx.Client:
        """Airflow's REST API."""
        if self._api is None:
            self._api = self.ground.airflow()
        return self._api

    def tell(self) -> bool:
        """Let it happen; return whether everything was as promised."""
        say = self.account.say
        team_a, team_b = (
            self.ask(organization.find_project(name)) for name in ("team-a", "team-b")
        )
        baseline = self._submit(team_a, "baseline", "sleep 600")
        say("Run:ai", "team-a's baseline holds 2 GPUs: its whole quota")
        say("Airflow", "is starting (this takes the longest)")
        self.ground.wait_for_airflow(DAG_ID)
        self._unpause()
        train = self._until_submitted(team_a)
        self._until_checkpoint(train)
        rival = self._submit(team_b, "team-b-wants-its-gpus", "sleep 600")
        say("Run:ai", "team-b submits: it wants its 2 GPUs back", "33")
        self._until_phase(train, "Pending")
        time.sleep(SECONDS_IN_THE_QUEUE)
        say(
            "Airflow", f"task train is {self._state('train')}: no worker is held, no retry is spent"
        )
        self.ask(control_plane.delete(baseline))
        say("Run:ai", "team-a's baseline ends: 2 GPUs are free again, on the other node")
        self._until_phase(train, "Completed")
        torn = self._tear_newest()
        self._follow("checkpoint", "evaluate", "promote")
        self.ask(control_plane.delete(rival))
        return self._conclude(train, torn)

    def _submit(self, project: Project, name: str, command: str) -> Workload:
        spec = {"image": "none", "command": command, "compute": {"gpuDevicesRequest": 2}}
        workload = self.ask(control_plane.create(project, "trainings", name, {"spec": spec}))
        until(f"{name} to run", lambda: self.ask(control_plane.get(workload.id)).phase == "Running")
        return workload

    def _unpause(self) -> None:
        """Unpausing a weekly DAG lets the scheduler start the run of the last interval."""
        self.api.patch(f"dags/{DAG_ID}", json={"is_paused": False}).raise_for_status()
        until("the scheduler to start a run", lambda: bool(self._runs()))
        self.run_id = self._runs()[0]
        self.account.say("Airflow", f"the scheduler has started {self.run_id} of {DAG_ID}", "36")

    def _runs(self) -> list[str]:
        found = self.api.get(f"dags/{DAG_ID}/dagRuns").raise_for_status().json()
        return [run["dag_run_id"] for run in found["dag_runs"]]

    def _until_submitted(self, project: Project) -> Workload:
        found: list[Workload] = []

        def there() -> bool:
            self._fail_if_run_failed()
            found[:] = self.ask(control_plane.find(project, "train-"))
            return bool(found)

        until("the workload to be submitted", there)
        self.account.say(
            "provider",
            f"submitted {found[0].name} to project {project.name}: 2 GPUs over quota",
            "32",
        )
        return found[0]

    def _until_checkpoint(self, train: Workload) -> None:
        self._until_phase(train, "Running")
        until(
            f"a checkpoint of step {PREEMPT_AT_STEP}",
            lambda: self._newest_step() >= PREEMPT_AT_STEP,
        )
        self.account.say("training", f"has published checkpoint step {self._newest_step()}")

    def _until_phase(self, train: Workload, phase: str) -> None:
        """Wait for a phase that comes after those already told, telling each on the way."""
        seen = self._said

        def reached() -> bool:
            return any(moment.phase == phase for moment in self._told(train)[seen:])

        until(f"{train.name} to be {phase}", reached)

    def _told(self, train: Workload) -> tuple[Moment, ...]:
        history = self.ask(control_plane.history(train.id))
        for moment in history[self._said :]:
            where = f" on {self._nodes(train)[-1]}" if moment.phase == "Running" else ""
            color = "33" if moment.is_preemption else ""
            because = f" ({moment.message})" if moment.is_preemption else ""
            words = f"{train.name}: {moment.phase}{where}{because}"
            self.account.say("Run:ai", words, color)
            if moment.phase == "Running":
                self._tell_resume(train)
        self._said = len(history)
        return history

    def _tell_resume(self, train: Workload) -> None:
        """Quote what the training itself says about where it starts from."""
        incarnation = len(self._nodes(train))

        def spoken() -> str:
            lines = self._log(train, incarnation).splitlines()
            return next(
                (line for line in lines if line.startswith(("resumed from", "starting from"))), ""
            )

        until("the training to say where it starts", lambda: bool(spoken()))
        self.account.say("training", spoken(), "32")

    def _log(self, train: Workload, incarnation: int) -> str:
        log = self.ground.root / "runai" / "logs" / train.name / f"{incarnation}.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def _nodes(self, train: Workload) -> list[str]:
        path = f"/api/v1/workloads/{train.id}/pods"
        gone = self.ask(read_all(path, "pods", [("deleted", "true")]))
        pods = {str(pod.get("id")): pod for pod in [*gone, *self.ask(control_plane.pods(train.id))]}
        ordered = sorted(pods.values(), key=lambda pod: str(pod.get("createdAt")))
        return [str(pod.get("nodeName")) for pod in ordered if pod.get("nodeName")]

    def _checkpoints(self) -> Path:
        return self.ground.shared / "runs" / DAG_ID / self.run_id / "checkpoints"

    def _newest(self) -> Path | None:
        return max(self._checkpoints().glob("step-*"), default=None)

    def _newest_step(self) -> int:
        newest = self._newest()
        return int(newest.name.removeprefix("step-")) if newest else -1

    def _tear_newest(self) -> int:
        newest = self._newest()
        if newest is None:
            raise NotReady("the training has left no checkpoint")
        victim = max(
            (f for f in newest.iterdir() if f.name != "manifest.json"),
            key=lambda f: f.stat().st_size,
        )
        with victim.open("r+b") as file:
            file.truncate(victim.stat().st_size // 2)
        self.account.say(
            "saboteur", f"cut {newest.name}/{victim.name}, the newest checkpoint, in half", "31"
        )
        return self._newest_step()

    def _follow(self, *tasks: str) -> None:
        for task in tasks:
            until(f"task {task} to succeed", lambda task=task: self._ended(task))  # type: ignore[misc]
            getattr(self, f"_tell_{task}")(self._xcom(task))

    def _ended(self, task: str) -> bool:
        self._fail_if_run_failed()
        return self._state(task) == "success"

    def _tell_checkpoint(self, found: Mapping[str, Any]) -> None:
        for refused in found["refused"]:
            self.account.say("verdict", f"{Path(refused['path']).name}: {refused['reasons']}", "31")
        self.account.say(
            "verdict", f"{Path(found['uri']).name}: {found['verdict']}, step {found['step']}", "32"
        )

    def _tell_evaluate(self, found: Mapping[str, Any]) -> None:
        metrics = found["metrics"]
        self.account.say(
            "evaluated",
            f"accuracy {metrics['accuracy']:.4f}, loss {metrics['loss']:.4f}; gates passed",
        )

    def _tell_promote(self, found: Mapping[str, Any]) -> None:
        self.account.say(
            "promoted", f"step {found['step']} is the champion ({found['digest'][:19]}…)", "32"
        )

    def _conclude(self, train: Workload, torn: int) -> bool:
        until("the run to succeed", lambda: self._run_state() == "success")
        history, nodes = self.ask(control_plane.history(train.id)), self._nodes(train)
        print(f"\nTimeline of {train.name}:")
        print("\n".join(draw(history, nodes)))
        self._check(train, history, nodes, torn)
        return self.account.verdict()

    def _check(
        self, train: Workload, history: tuple[Moment, ...], nodes: list[str], torn: int
    ) -> None:
        check, spent = self.account.check, clocks(history, time.time())
        result, found = self._xcom("train"), self._xcom("checkpoint")
        champion = json.loads((self.ground.shared / "champion.json").read_text())
        first, second = self._log(train, 1), self._log(train, 2)
        listed = self.ask(control_plane.find(Project(train.project_id, "", ""), "train-"))
        check(
            "exactly one workload was submitted for the task", [w.id for w in listed] == [train.id]
        )
        check(
            "it was preempted once, and Airflow knows it",
            (spent.preemptions, result["preemptions"]) == (1, 1),
        )
        check(
            "it saved when told to leave, and resumed from there",
            "preempted" in first and "resumed from" in second,
        )
        check("it resumed on another node", len(nodes) == 2 and nodes[0] != nodes[1])
        check("the preemption cost no retry", self._task("train")["try_number"] == 1)
        refused = [Path(r["path"]).name for r in found["refused"]]
        check("the torn newest checkpoint was refused", refused == [f"step-{torn:08d}"])
        check("the one before it was taken", 0 < found["step"] < torn)
        check("that one was evaluated and promoted", champion["digest"] == found["digest"])
        check("its accuracy is at least 0.95", champion["metrics"]["accuracy"] >= 0.95)

    def _task(self, task: str) -> dict[str, Any]:
        reply = self.api.get(f"dags/{DAG_ID}/dagRuns/{self.run_id}/taskInstances/{task}")
        return dict(reply.raise_for_status().json())

    def _state(self, task: str) -> str | None:
        state = self._task(task)["state"]
        return str(state) if state else None

    def _xcom(self, task: str) -> dict[str, Any]:
        path = f"dags/{DAG_ID}/dagRuns/{self.run_id}/taskInstances/{task}/xcomEntries/return_value"
        value = (
            self.api.get(path, params={"deserialize": "true"}).raise_for_status().json()["value"]
        )
        return dict(json.loads(value) if isinstance(value, str) else value)

    def _run_state(self) -> str:
        return str(
            self.api.get(f"dags/{DAG_ID}/dagRuns/{self.run_id}").raise_for_status().json()["state"]
        )

    def _fail_if_run_failed(self) -> None:
        if self._run_state() == "failed":
            raise NotReady("the DAG run failed; see the task logs under airflow/logs")
