"""
One run of a training in the embedded Run:ai, from submission to its end, with the preemptions that belong to it.

Real processes, each start on a node of its own with an empty disk; the copy of the script's folder
and the checkpoint directory are shared storage. Nothing is judged here. A preempted workload is
given back only after its checkpoints were read, so that nobody writes meanwhile.
"""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from airflow_runai.drill import folder, signals
from airflow_runai.drill.facts import Ending, Reach, Run, Standing, Start, Write
from airflow_runai.drill.plan import DEFAULT_VARIABLE, Plan
from airflow_runai.drill.standing import look
from airflow_runai.drill.watch import Watch
from airflow_runai.emulator import Emulator, EmulatorSettings, serve
from airflow_runai.emulator import phases as phase
from airflow_runai.emulator.admission import admit
from airflow_runai.emulator.records import EmulatedWorkload

__all__ = ["READY_SECONDS", "Kind", "perform"]

Kind = Literal["reference", "drill", "strike"]
#: How long a start may take until it handles SIGTERM: imports of frameworks take long, more so on a
#: busy machine.
READY_SECONDS = 15.0

# As a container would see them; nothing else begins like this, so that nothing else is rewritten.
_WORK, _SAVES = "/runai-drill/work", "/runai-drill/checkpoints"
_LOOK_SECONDS = 0.02
#: The same in all runs: a checkpoint that holds it must not differ for that.
_NAME = "training"
_LOG_BYTES = 4000


def perform(
    plan: Plan, kind: Kind, home: Path, say: Callable[[str], None], patience: float = READY_SECONDS
) -> Run:
    """
    Let a training run to its end.

    :param kind: ``reference`` is never disturbed, ``drill`` is preempted as planned, ``strike`` is
        killed once, in the middle of its second checkpoint.
    :param home: an empty directory for everything that this run needs.
    :param say: told what happens.
    :param patience: seconds to wait for a start to handle SIGTERM, before the time until its
        preemption counts.
    """
    work, saves = home / "work", home / "checkpoints"
    folder.copy(plan.folder, work, plan.saves_inside)
    saves = work / plan.saves_inside if plan.saves_inside else saves
    saves.mkdir(parents=True, exist_ok=True)
    settings = EmulatorSettings(
        projects=("drill:1",),
        gpus_per_node=1,
        volumes={_WORK: work, _place(plan): saves},
        grace=plan.grace,
        # Whoever was killed in a write stays down until its checkpoints were read.
        backoff_seconds=1e9,
    )
    with serve(settings) as emulator:
        stage = _Stage(plan, kind, emulator, saves, say, patience)
        run = stage.play(work)
        stage.keep_logs(home / "logs")
        return run


def _place(plan: Plan) -> str:
    """Where the script sees its checkpoints: an absolute path of its own is mapped, another one lies in the copy."""
    told = plan.checkpoints
    return told.rstrip("/") if told and told.startswith("/") and not plan.saves_inside else _SAVES


def _body(plan: Plan, kind: Kind, emulator: Emulator) -> dict[str, object]:
    project = emulator.world.projects[0]
    variables = {DEFAULT_VARIABLE: _place(plan), **plan.environment}
    spec: dict[str, object] = {
        "image": "ignored",
        "command": shlex.quote(f"./{plan.script.name}"),
        "workingDir": _WORK,
        "environmentVariables": [
            {"name": name, "value": value} for name, value in variables.items()
        ],
        "terminationGracePeriodSeconds": math.ceil(plan.grace),
        "backoffLimit": 1 if kind == "strike" else 0,
        "compute": {"gpuDevicesRequest": 1},
        "storage": {
            "hostPath": [{"path": path, "mountPath": path} for path in (_WORK, _place(plan))]
        },
    }
    if plan.arguments:
        spec["args"] = shlex.join(plan.arguments)
    return {"name": _NAME, "projectId": project.id, "clusterId": project.cluster_id, "spec": spec}


@dataclass
class _Under:
    """The start that is under way."""

    began: float
    reach: Reach = "unknown"
    first_process: str = ""
    ready_at: float | None = None
    signalled_at: float | None = None


class _Stage:
    def __init__(
        self,
        plan: Plan,
        kind: Kind,
        emulator: Emulator,
        saves: Path,
        say: Callable[[str], None],
        patience: float,
    ) -> None:
        self._plan, self._kind, self._say = plan, kind, say
        self._emulator, self._plane, self._saves = emulator, emulator.plane, saves
        self._struck = False
        self._patience = patience
        self._watch = Watch(saves, self._now, self._strike)
        self._begin = self._deadline = 0.0
        self._workload: EmulatedWorkload

    def play(self, work: Path) -> Run:
        self._begin, self._deadline = time.time(), time.monotonic() + self._plan.limit
        starts: list[Start] = []
        with self._watch:
            self._submit()
            while not starts or not self._is_over(starts):
                starts.append(self._start(len(starts) + 1))
        writes = tuple(self._watch.writes)
        return Run(
            self._kind,
            self._ending(),
            tuple(starts),
            writes,
            self._log(),
            self._blind(work, writes),
        )

    def keep_logs(self, target: Path) -> None:
        """Keep what the process wrote, one file for each start."""
        target.mkdir(parents=True, exist_ok=True)
        for number in range(1, self._workload.incarnation + 1):
            (target / f"{number}.log").write_text(self._emulator.log(_NAME, number))

    def _submit(self) -> None:
        with self._plane.lock:
            fields = admit(
                _body(self._plan, self._kind, self._emulator),
                "training",
                self._plane.world,
                self._settings,
            )
            self._workload = self._plane.world.add(fields, self._plane.clock.now())
            self._plane.engine.created(self._workload, self._plane.clock.now())

    @property
    def _settings(self) -> EmulatorSettings:
        return self._emulator.settings

    def _now(self) -> float:
        return self._plane.clock.now() - self._begin

    # -- one start
    # ----------------------------------------------------------------------------------------

    def _start(self, number: int) -> Start:
        self._until(
            lambda: (
                self._workload.phase in {phase.RUNNING, *phase.ENDED}
                and self._workload.incarnation >= number
            )
        )
        under = _Under(self._now())
        if self._run(under, number):
            under.signalled_at = self._preempt()
        self._until(lambda: not self._workload.live_pods and self._workload.departure is None)
        start = self._account(under, number)
        self._say(_told(self._kind, start))
        self._give_back()
        return start

    def _run(self, under: _Under, number: int) -> bool:
        """Wait until this start is to be preempted; False if it ends before that."""
        wanted = self._kind == "drill" and number <= self._plan.times
        while self._workload.phase == phase.RUNNING and time.monotonic() < self._deadline:
            if under.ready_at is None:
                self._look_for_handlers(under)
            if wanted and self._now() >= self._due(under):
                return True
            time.sleep(_LOOK_SECONDS)
        return False

    def _due(self, under: _Under) -> float:
        ready = under.began + self._patience if under.ready_at is None else under.ready_at
        return ready + self._plan.preempt_after

    def _look_for_handlers(self, under: _Under) -> None:
        with self._plane.lock:
            leaders = self._plane.processes.leaders(self._workload) if self._plane.processes else []
        if leaders:
            found, name = signals.reach(leaders[0])
            under.reach, under.first_process = found, name
            if found in ("first", "child", "ignored"):
                under.ready_at = self._now()

    def _preempt(self) -> float | None:
        with self._plane.lock:
            if not self._plane.preempt(_NAME, "Preempted: drill"):
                return None
            self._workload.not_before = math.inf  # until it is given back
            return self._now()

    def _strike(self, name: str) -> None:
        """Kill everything while a checkpoint is half written, once; not the first, so that an older one is there."""
        if self._kind != "strike" or self._struck or not self._watch.writes:
            return
        self._struck = True
        with self._plane.lock:
            if self._plane.processes:
                self._plane.processes.kill(self._workload, self._plane.clock.now())

    def _account(self, under: _Under, number: int) -> Start:
        pod = next(
            (pod for pod in self._workload.pods if pod.name.endswith(f"-{number - 1}")), None
        )
        over = pod is not None and pod.completed_at is not None
        ended = pod.completed_at - self._begin if pod and pod.completed_at else self._now()
        code = pod.exit_code if pod else None
        return Start(
            number=number,
            node=pod.node if pod else "",
            started_at=pod.started_at - self._begin if pod and pod.started_at else ended,
            ended_at=ended,
            ready_at=under.ready_at,
            signalled_at=under.signalled_at,
            exit_code=code,
            killed=code == 137
            and (self._struck or ended - (under.signalled_at or ended) >= self._plan.grace - 0.05),
            reach=under.reach,
            first_process=under.first_process,
            standing=look(self._saves) if over else None,
        )

    def _give_back(self) -> None:
        with self._plane.lock:
            if self._workload.not_before:
                self._workload.not_before = self._plane.clock.now()

    # -- the end
    # ------------------------------------------------------------------------------------------

    def _until(self, true: Callable[[], bool]) -> None:
        while time.monotonic() < self._deadline:
            with self._plane.lock:
                if true():
                    return
            time.sleep(_LOOK_SECONDS)

    def _is_over(self, starts: list[Start]) -> bool:
        if self._kind == "strike" and len(starts) == 2:
            return True
        return self._workload.phase in phase.ENDED or time.monotonic() >= self._deadline

    def _ending(self) -> Ending:
        ends: dict[str, Ending] = {phase.COMPLETED: "completed", phase.FAILED: "failed"}
        return ends.get(self._workload.phase, "limit")

    def _log(self) -> str:
        processes, last = self._plane.processes, self._workload.incarnation
        data = processes.log(_NAME, last, _LOG_BYTES) if processes else b""
        return data.decode(errors="replace").strip()

    def _blind(self, work: Path, writes: tuple[Write, ...]) -> str:
        if writes:
            return ""
        with suppress(OSError):
            found = sorted(
                path.name for path in self._saves.iterdir() if not path.name.startswith(".")
            )
            if found:
                return (
                    f"it saved {', '.join(found[:3])}, which is no checkpoint that can be read here; save with "
                    "save_checkpoint of training/preemptible.py, or in a format of docs/checkpoints.md under a name "
                    "with its step, such as checkpoint-42"
                )
        elsewhere = folder.strangers(work, self._plan.folder)
        return (
            f"it saved elsewhere in its folder: {', '.join(elsewhere)}; name that place with --checkpoints"
            if elsewhere
            else ""
        )


def _told(kind: str, start: Start) -> str:
    what = "preempted" if start.signalled_at is not None else "ended"
    best = start.standing.best if isinstance(start.standing, Standing) else None
    kept = f"newest valid checkpoint: {best.name}" if best else "no valid checkpoint"
    code = "" if start.exit_code is None else f" with exit code {start.exit_code}"
    seconds = start.ended_at - start.started_at
    return (
        f"{kind}: start {start.number} on {start.node} {what}{code} after {seconds:.1f} s; {kept}"
    )
