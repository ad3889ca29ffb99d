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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from airflow.sdk import Connection

from airflow_runai.backends import drivers
from airflow_runai.core.backend import Backend
from airflow_runai.core.flow import Flow, through
from airflow_runai.core.log_reader import LogQuery
from airflow_runai.core.project import Project
from airflow_runai.core.reader import WorkloadReader
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.submission_request import SubmissionRequest
from airflow_runai.core.timeline import Moment, clocks
from airflow_runai.core.workload import Workload
from airflow_runai.errors import RunaiError
from airflow_runai.hooks.choice import platform_of, settings_of
from airflow_runai.tasks.usage_report import usage_words
from demo.account import Account, draw
from demo.airflow_run import AirflowRun
from demo.platforms import NotReady
from demo.playground import Playground, until

T = TypeVar("T")
DAG_ID = "digits_retraining"
#: The retraining is preempted once it has published a checkpoint of at least this step (of 690).
PREEMPT_AT_STEP = 250
#: Seconds in which it gets no GPU, so that you can watch it wait.
SECONDS_IN_THE_QUEUE = 6.0
#: Lines of the preempted incarnation that are shown.
LINES_OF_LOG = 5
#: How a training says where it starts.
STARTS = ("resumed from", "starting from")


class Story:
    """Plays it once, from submission to promotion."""

    def __init__(self, ground: Playground, account: Account) -> None:
        self.ground, self.account = ground, account
        connection = Connection(conn_id="runai_default", **ground.platform.connection)
        self._platform = platform_of(settings_of(connection))
        self._client = self._platform.client()
        self._run: AirflowRun | None = None
        self._readers: dict[str, WorkloadReader] = {}
        self._shown: set[tuple[str, int]] = set()

    def ask(self, flow: Flow[T]) -> T:
        """Talk to the platform as the provider does."""
        return drivers.run(through(flow, self._platform.send), self._client)

    @property
    def backend(self) -> Backend:
        """What the platform can do."""
        return self._platform.backend

    @property
    def speaker(self) -> str:
        """Who says what happens on the platform."""
        return self.ground.platform.speaker

    @property
    def run(self) -> AirflowRun:
        """The run of the DAG, once Airflow is there."""
        if self._run is None:
            self._run = AirflowRun(self.ground.airflow(), DAG_ID)
        return self._run

    def play(self) -> bool:
        """Play it; return whether all promises hold."""
        say = self.account.say
        team_a = self.ask(self.backend.find_project("team-a"))
        team_b = self.ask(self.backend.find_project("team-b"))
        baseline = self._submit(team_a, "baseline", "sleep 600")
        say(self.speaker, "team-a's baseline holds 2 GPUs: its whole quota")
        say("Airflow", "is starting (this takes the longest)")
        self.ground.wait_for_airflow(DAG_ID)
        self.run.begin()
        say("Airflow", f"the scheduler has started {self.run.id} of {DAG_ID}", "36")
        train = self._until_submitted(team_a)
        self._until_checkpoint(train)
        rival = self._submit(team_b, "team-b-wants-its-gpus", "sleep 600")
        say(self.speaker, "team-b submits: it wants its 2 GPUs back", "33")
        self._until_phase(train, "Pending")
        time.sleep(SECONDS_IN_THE_QUEUE)
        state = self.run.task("train")["state"]
        say("Airflow", f"task train is {state}: no worker is held, no retry is spent")
        self.ask(self.backend.delete(baseline))
        say(self.speaker, "team-a's baseline ends: 2 GPUs are free again, on the other node")
        self._until_phase(train, "Completed")
        torn = self._tear_newest()
        self._follow("checkpoint", "evaluate", "promote")
        self.ask(self.backend.delete(rival))
        return self._conclude(train, torn)

    def _submit(self, project: Project, name: str, command: str) -> Workload:
        spec = {"image": "none", "command": command, "compute": {"gpu_devices": 2}}
        request = SubmissionRequest(f"{name}-g1", WorkloadSpec.from_mapping(spec), 1)
        workload = self.ask(self.backend.create(project, request))
        until(f"{name} to run", lambda: self._read(workload).phase == "Running")
        return workload

    def _read(self, workload: Workload) -> Workload:
        return self.ask(self._reader(workload).read(workload.id))

    def _reader(self, workload: Workload) -> WorkloadReader:
        """Return what remembers whatever it has seen of a workload."""
        return self._readers.setdefault(workload.id, self.backend.reader(workload))

    def _until_submitted(self, project: Project) -> Workload:
        submitted: list[Workload] = []

        def is_submitted() -> bool:
            self.run.fail_if_failed()
            submitted[:] = self.ask(self.backend.find(project, "train-"))
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
        before = set(self._shown)

        def is_reached() -> bool:
            history = self._show_history(train)
            return any(one.phase == phase and _key(one) not in before for one in history)

        until(f"{train.name} to be {phase}", is_reached)

    def _show_history(self, train: Workload) -> tuple[Moment, ...]:
        """Print the phases that are new since the last call; return all."""
        history = self._history(train)
        for moment in history:
            if _key(moment) not in self._shown:
                self._shown.add(_key(moment))
                self._show(moment, train)
        return history

    def _history(self, train: Workload) -> tuple[Moment, ...]:
        self._read(train)
        return self.ask(self._reader(train).history(train.id))

    def _show(self, moment: Moment, train: Workload) -> None:
        text, color = f"{train.name}: {moment.phase}", ""
        if moment.phase == "Running":
            text += f" on {self._nodes(train)[-1]}"
        if moment.is_preemption:
            text, color = f"{text} ({moment.message})", "33"
        self.account.say(self.speaker, text, color)
        if moment.phase == "Running":
            self._show_resume(train)

    def _show_resume(self, train: Workload) -> None:
        """Quote the line in which the training reports where it starts."""

        def line() -> str:
            starts = (one for one in self._log(train) if one.startswith(STARTS))
            return next(starts, "")

        until("the training to report where it starts", lambda: bool(line()))
        self.account.say("training", line(), "32")

    def _log(self, train: Workload) -> Sequence[str]:
        """Return what its pod has said; nothing while that has not started."""
        try:
            return self.ask(self.backend.log(train).text(LogQuery())).lines
        except RunaiError:
            return ()

    def _nodes(self, train: Workload) -> list[str]:
        pods = {str(pod.get("id")): pod for pod in self.ask(self.backend.pods(train, gone=True))}
        ordered = sorted(pods.values(), key=lambda pod: str(pod.get("createdAt")))
        return [str(pod.get("nodeName")) for pod in ordered if pod.get("nodeName")]

    def _checkpoints(self) -> Path:
        return self.ground.shared / "runs" / DAG_ID / self.run.id / "checkpoints"

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
            getattr(self, f"_show_{task}")(self.run.result(task))

    def _ended(self, task: str) -> bool:
        self.run.fail_if_failed()
        return bool(self.run.task(task)["state"] == "success")

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
        until("the run to succeed", lambda: self.run.state == "success")
        history, nodes = self._history(train), self._nodes(train)
        print(f"\nTimeline of {train.name}:")
        print("\n".join(draw(history, nodes)))
        said = self.run.said("train", train.name, 1)
        print(f"\nThe end of the log of incarnation 1 on {nodes[0]}, in Airflow's task log:")
        print("\n".join(f"  {line}" for line in said[-LINES_OF_LOG:]))
        self.account.check("the task log has what it said before the preemption", bool(said))
        used = self.run.result("train")["usage"]
        print(f"\nUsage of {train.name}: {usage_words(used)}")
        # Kubernetes tells whole seconds, so what was lost after the last checkpoint may be 0.
        kept = used["useful"] is not None and used["useful"] > used["lost"] >= 0
        self.account.check("most of its work was kept, and Airflow knows how much was lost", kept)
        self._check_training(train, history, nodes)
        self._check_champion(torn)
        return self.account.verdict()

    def _check_training(
        self, train: Workload, history: tuple[Moment, ...], nodes: list[str]
    ) -> None:
        check, task = self.account.check, self.run.task("train")
        listed = self.ask(self.backend.find(Project.of(train), "train-"))
        preemptions = (
            clocks(history, time.time()).preemptions,
            self.run.result("train")["preemptions"],
        )
        saved = any("preempted" in line for line in self.run.said("train", train.name, 1))
        resumed = any("resumed from" in line for line in self.run.said("train", train.name, 2))
        only_one = [workload.id for workload in listed] == [train.id]
        check("exactly one workload was submitted for the task", only_one)
        check("it was preempted once, and Airflow knows it", preemptions == (1, 1))
        check("it saved on SIGTERM, and resumed from there", saved and resumed)
        check("it resumed on another node", len(nodes) == 2 and nodes[0] != nodes[1])
        check("the preemption cost no retry", task["try_number"] == 1)

    def _check_champion(self, torn: int) -> None:
        check, selected = self.account.check, self.run.result("checkpoint")
        champion = json.loads((self.ground.shared / "champion.json").read_text())
        refused = [Path(one["path"]).name for one in selected["refused"]]
        check("the torn newest checkpoint was refused", refused == [f"step-{torn:08d}"])
        check("the one before it was selected", 0 < selected["step"] < torn)
        check("that one was evaluated and promoted", champion["digest"] == selected["digest"])
        check("its accuracy is at least 0.95", champion["metrics"]["accuracy"] >= 0.95)


def _key(moment: Moment) -> tuple[str, int]:
    """Return what tells moments apart; the last one of a history goes when more is known."""
    return moment.phase, int(moment.at)
