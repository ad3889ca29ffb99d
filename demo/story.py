"""
The story: a retraining over quota is preempted, resumes, and is checked, evaluated and promoted.

The baseline of team-a uses its quota (2 GPUs), so the retraining that Airflow submits runs on GPUs
that team-b does not use. Then team-b wants them back, and the retraining resumes on another node.
Only the GPUs are simulated: processes, signals, checkpoints and Airflow are real. Each promise of
the story is checked; if one does not hold, the exit code is 1.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx

from airflow_runai.backends import clients, control_plane, drivers, organization
from airflow_runai.backends.pods import pods_ever
from airflow_runai.backends.tokens import Tokens
from airflow_runai.core.flow import Flow
from airflow_runai.core.project import Project
from airflow_runai.core.timeline import Moment, clocks
from airflow_runai.core.workload import Workload
from airflow_runai.tasks.usage_report import usage_words
from demo.account import Account, draw
from demo.playground import NotReady, Playground, until

T = TypeVar("T")
DAG_ID = "digits_retraining"
#: The retraining is preempted once it has published a checkpoint of at least this step (of 690).
PREEMPT_AT_STEP = 250
#: Seconds in which it gets no GPU, so that you can watch it wait.
SECONDS_IN_THE_QUEUE = 6.0
#: Lines of the preempted incarnation that are shown.
LINES_OF_LOG = 5
JSON = {"Accept": "application/json"}


class Story:
    """Plays it once, from submission to promotion."""

    def __init__(self, ground: Playground, account: Account) -> None:
        self.ground, self.account = ground, account
        self._client = clients.client(ground.settings)
        self._tokens = Tokens(ground.settings.client_id, ground.settings.client_secret)
        self._api: httpx.Client | None = None
        self.run_id = ""
        self._shown = 0

    def ask(self, flow: Flow[T]) -> T:
        """Talk to the embedded Run:ai as the provider does."""
        return drivers.run(self._tokens.authorized(flow), self._client)

    @property
    def api(self) -> httpx.Client:
        """Airflow's REST API."""
        if self._api is None:
            self._api = self.ground.airflow()
        return self._api

    def play(self) -> bool:
        """Play it; return whether all promises hold."""
        say = self.account.say
        team_a = self.ask(organization.find_project("team-a"))
        team_b = self.ask(organization.find_project("team-b"))
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
        state = self._state("train")
        say("Airflow", f"task train is {state}: no worker is held, no retry is spent")
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
        """Unpause the weekly DAG, so that the scheduler starts the run of the last interval."""
        self.api.patch(f"dags/{DAG_ID}", json={"is_paused": False}).raise_for_status()
        until("the scheduler to start a run", lambda: bool(self._runs()))
        self.run_id = self._runs()[0]
        self.account.say("Airflow", f"the scheduler has started {self.run_id} of {DAG_ID}", "36")

    def _runs(self) -> list[str]:
        reply = self.api.get(f"dags/{DAG_ID}/dagRuns").raise_for_status().json()
        return [run["dag_run_id"] for run in reply["dag_runs"]]

    def _until_submitted(self, project: Project) -> Workload:
        submitted: list[Workload] = []

        def is_submitted() -> bool:
            self._fail_if_run_failed()
            submitted[:] = self.ask(control_plane.find(project, "train-"))
            return bool(submitted)

        until("the workload to be submitted", is_submitted)
        train = submitted[0]
        text = f"submitted {train.name} to project {project.name}: 2 GPUs over quota"
        self.account.say("provider", text, "32")
        return train

    def _until_checkpoint(self, train: Workload) -> None:
        self._until_phase(train, "Running")
        until(
            f"a checkpoint of step {PREEMPT_AT_STEP}",
            lambda: self._newest_step() >= PREEMPT_AT_STEP,
        )
        self.account.say("training", f"has published checkpoint step {self._newest_step()}")

    def _until_phase(self, train: Workload, phase: str) -> None:
        """Wait for a phase after those already shown, and show each on the way."""
        shown = self._shown

        def is_reached() -> bool:
            return any(moment.phase == phase for moment in self._show_history(train)[shown:])

        until(f"{train.name} to be {phase}", is_reached)

    def _show_history(self, train: Workload) -> tuple[Moment, ...]:
        """Print the phases that are new since the last call; return all."""
        history = self.ask(control_plane.history(train.id))
        for moment in history[self._shown :]:
            self._show(moment, train)
        self._shown = len(history)
        return history

    def _show(self, moment: Moment, train: Workload) -> None:
        text, color = f"{train.name}: {moment.phase}", ""
        if moment.phase == "Running":
            text += f" on {self._nodes(train)[-1]}"
        if moment.is_preemption:
            text, color = f"{text} ({moment.message})", "33"
        self.account.say("Run:ai", text, color)
        if moment.phase == "Running":
            self._show_resume(train)

    def _show_resume(self, train: Workload) -> None:
        """Quote the line in which the training reports where it starts."""
        incarnation = len(self._nodes(train))

        def line() -> str:
            lines = self._log(train, incarnation).splitlines()
            starts = (one for one in lines if one.startswith(("resumed from", "starting from")))
            return next(starts, "")

        until("the training to report where it starts", lambda: bool(line()))
        self.account.say("training", line(), "32")

    def _log(self, train: Workload, incarnation: int) -> str:
        log = self.ground.root / "runai" / "logs" / train.name / f"{incarnation}.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def _nodes(self, train: Workload) -> list[str]:
        pods = {str(pod.get("id")): pod for pod in self.ask(pods_ever(train.id))}
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
        files = [file for file in newest.iterdir() if file.name != "manifest.json"]
        victim = max(files, key=lambda file: file.stat().st_size)
        with victim.open("r+b") as file:
            file.truncate(victim.stat().st_size // 2)
        text = f"cut {newest.name}/{victim.name}, the newest checkpoint, in half"
        self.account.say("saboteur", text, "31")
        return self._newest_step()

    def _follow(self, *tasks: str) -> None:
        for task in tasks:
            until(f"task {task} to succeed", lambda task=task: self._ended(task))  # type: ignore[misc]
            getattr(self, f"_show_{task}")(self._xcom(task))

    def _ended(self, task: str) -> bool:
        self._fail_if_run_failed()
        return self._state(task) == "success"

    def _show_checkpoint(self, selected: Mapping[str, Any]) -> None:
        say = self.account.say
        for refused in selected["refused"]:
            say("verdict", f"{Path(refused['path']).name}: {refused['reasons']}", "31")
        name, verdict, step = Path(selected["uri"]).name, selected["verdict"], selected["step"]
        say("verdict", f"{name}: {verdict}, step {step}", "32")

    def _show_evaluate(self, evaluation: Mapping[str, Any]) -> None:
        accuracy, loss = evaluation["metrics"]["accuracy"], evaluation["metrics"]["loss"]
        self.account.say("evaluated", f"accuracy {accuracy:.4f}, loss {loss:.4f}; gates passed")

    def _show_promote(self, champion: Mapping[str, Any]) -> None:
        step, digest = champion["step"], champion["digest"][:19]
        self.account.say("promoted", f"step {step} is the champion ({digest}…)", "32")

    def _conclude(self, train: Workload, torn: int) -> bool:
        until("the run to succeed", lambda: self._run_state() == "success")
        history, nodes = self.ask(control_plane.history(train.id)), self._nodes(train)
        print(f"\nTimeline of {train.name}:")
        print("\n".join(draw(history, nodes)))
        said = self._said_before_preemption(train)
        print(f"\nThe end of the log of incarnation 1 on {nodes[0]}, in Airflow's task log:")
        print("\n".join(f"  {line}" for line in said[-LINES_OF_LOG:]))
        self.account.check("the task log has what it said before the preemption", bool(said))
        used = self._xcom("train")["usage"]
        print(f"\nUsage of {train.name}: {usage_words(used)}")
        kept = used["useful"] is not None and used["useful"] > used["lost"] > 0
        self.account.check("most of its work was kept, and Airflow knows how much was lost", kept)
        self._check_training(train, history, nodes)
        self._check_champion(torn)
        return self.account.verdict()

    def _check_training(
        self, train: Workload, history: tuple[Moment, ...], nodes: list[str]
    ) -> None:
        check, task = self.account.check, self._task("train")
        listed = self.ask(control_plane.find(Project.of(train), "train-"))
        preemptions = clocks(history, time.time()).preemptions, self._xcom("train")["preemptions"]
        saved = "preempted" in self._log(train, 1)
        resumed = "resumed from" in self._log(train, 2)
        only_one = [workload.id for workload in listed] == [train.id]
        check("exactly one workload was submitted for the task", only_one)
        check("it was preempted once, and Airflow knows it", preemptions == (1, 1))
        check("it saved on SIGTERM, and resumed from there", saved and resumed)
        check("it resumed on another node", len(nodes) == 2 and nodes[0] != nodes[1])
        check("the preemption cost no retry", task["try_number"] == 1)

    def _check_champion(self, torn: int) -> None:
        check, selected = self.account.check, self._xcom("checkpoint")
        champion = json.loads((self.ground.shared / "champion.json").read_text())
        refused = [Path(one["path"]).name for one in selected["refused"]]
        check("the torn newest checkpoint was refused", refused == [f"step-{torn:08d}"])
        check("the one before it was selected", 0 < selected["step"] < torn)
        check("that one was evaluated and promoted", champion["digest"] == selected["digest"])
        check("its accuracy is at least 0.95", champion["metrics"]["accuracy"] >= 0.95)

    def _said_before_preemption(self, train: Workload) -> list[str]:
        """Return the lines of the first incarnation in the task log."""
        path = f"dags/{DAG_ID}/dagRuns/{self.run_id}/taskInstances/train/logs/1"
        reply = self.api.get(path, params={"full_content": "true"}, headers=JSON)
        said, is_first = [], False
        for entry in reply.raise_for_status().json()["content"]:
            text = str(entry.get("event", "")) if isinstance(entry, dict) else str(entry)
            if text.startswith(f"log of {train.name}"):
                is_first = ", incarnation 1" in text
            elif is_first and text.startswith("| "):
                said.append(text)
        return said

    def _task(self, task: str) -> dict[str, Any]:
        reply = self.api.get(f"dags/{DAG_ID}/dagRuns/{self.run_id}/taskInstances/{task}")
        return dict(reply.raise_for_status().json())

    def _state(self, task: str) -> str | None:
        state = self._task(task)["state"]
        return str(state) if state else None

    def _xcom(self, task: str) -> dict[str, Any]:
        path = f"dags/{DAG_ID}/dagRuns/{self.run_id}/taskInstances/{task}/xcomEntries/return_value"
        reply = self.api.get(path, params={"deserialize": "true"}).raise_for_status()
        value = reply.json()["value"]
        return dict(json.loads(value) if isinstance(value, str) else value)

    def _run_state(self) -> str:
        reply = self.api.get(f"dags/{DAG_ID}/dagRuns/{self.run_id}").raise_for_status()
        return str(reply.json()["state"])

    def _fail_if_run_failed(self) -> None:
        if self._run_state() == "failed":
            raise NotReady("the DAG run failed; see the task logs under airflow/logs")
