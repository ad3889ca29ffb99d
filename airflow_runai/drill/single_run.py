"""
One run of a training in the embedded Run:ai, from submission to its end, with its preemptions.

Real processes, each start on a node of its own with an empty disk; the copy of the script's folder
and the checkpoint directory are shared storage. Nothing is judged here. A preempted workload is
given back only after its checkpoints were read, so that no process writes meanwhile.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from airflow_runai.drill import folder, signals
from airflow_runai.drill.checkpoint_state import read_state
from airflow_runai.drill.directory_watcher import DirectoryWatcher
from airflow_runai.drill.facts import Ending, RunKind, SigtermHandler, Start, TrainingRun
from airflow_runai.drill.plan import DrillPlan
from airflow_runai.drill.request_body import NAME, WORK, request_body, saves_path
from airflow_runai.emulator import Emulator, EmulatorSettings, serve
from airflow_runai.emulator import phases as phase
from airflow_runai.emulator.admission import admit
from airflow_runai.emulator.records import EmulatedWorkload, Pod

#: How long a start may take until it handles SIGTERM: imports of frameworks take long, more so on a
#: busy machine.
READY_SECONDS = 15.0

_POLL_SECONDS = 0.02
_LOG_BYTES = 4000
_KILLED = 128 + 9


def perform(
    plan: DrillPlan,
    kind: RunKind,
    home: Path,
    log: Callable[[str], None],
    ready_timeout: float = READY_SECONDS,
) -> TrainingRun:
    """
    Run a training to its end.

    :param home: an empty directory for everything that this run needs.
    :param log: called with one line for each start.
    :param ready_timeout: seconds to wait for a start to handle SIGTERM, before the time until its
        preemption counts.
    """
    work = home / "work"
    folder.copy(plan.folder, work, plan.saves_inside)
    saves = work / plan.saves_inside if plan.saves_inside else home / "checkpoints"
    saves.mkdir(parents=True, exist_ok=True)
    settings = EmulatorSettings(
        projects=("drill:1",),
        gpus_per_node=1,
        volumes={WORK: work, saves_path(plan): saves},
        grace=plan.grace,
        # A training that was killed in a write must stay down until its checkpoints are read.
        backoff_seconds=1e9,
    )
    with serve(settings) as emulator:
        driver = _RunDriver(plan, kind, emulator, saves, log, ready_timeout)
        run = driver.run(work)
        driver.keep_logs(home / "logs")
        return run


@dataclass
class CurrentStart:
    """The start that is under way; times are seconds since the submission."""

    number: int
    began: float
    reach: SigtermHandler = "unknown"
    first_process: str = ""
    ready_at: float | None = None
    signalled_at: float | None = None

    def see(self, reach: SigtermHandler, first_process: str, now: float) -> None:
        """Take note of who handles SIGTERM; of a process that has just ended nothing is known."""
        if reach == "unknown":
            return
        self.reach, self.first_process = reach, first_process
        if reach != "nobody":
            self.ready_at = now


class _RunDriver:
    """Submits the training, preempts it as planned, and records what happens."""

    def __init__(
        self,
        plan: DrillPlan,
        kind: RunKind,
        emulator: Emulator,
        saves: Path,
        log: Callable[[str], None],
        ready_timeout: float,
    ) -> None:
        self._plan, self._kind, self._log = plan, kind, log
        self._emulator, self._plane, self._saves = emulator, emulator.plane, saves
        self._ready_timeout = ready_timeout
        self._killed_during_write = False
        self._watcher = DirectoryWatcher(saves, self._now, self._kill_during_write)
        self._begin = self._deadline = 0.0  # both are set when it runs, as is the workload
        self._workload: EmulatedWorkload

    def run(self, work: Path) -> TrainingRun:
        """Drive the training to its end, or to the limit of the plan."""
        self._begin, self._deadline = time.time(), time.monotonic() + self._plan.limit
        starts: list[Start] = []
        with self._watcher:
            self._submit()
            while not starts or not self._is_over(starts):
                starts.append(self._drive_start(len(starts) + 1))
        writes = tuple(self._watcher.writes)
        return TrainingRun(
            self._kind,
            self._ending(),
            tuple(starts),
            writes,
            self._last_lines(),
            "" if writes else self._why_blind(work),
        )

    def keep_logs(self, target: Path) -> None:
        """Write the output of the script, one file for each start."""
        target.mkdir(parents=True, exist_ok=True)
        for number in range(1, self._workload.incarnation + 1):
            (target / f"{number}.log").write_text(self._emulator.log(NAME, number))

    def _submit(self) -> None:
        plane = self._plane
        body = request_body(self._plan, self._kind, plane.world.projects[0])
        with plane.lock:
            fields = admit(body, "training", plane.world, self._emulator.settings)
            self._workload = plane.world.add(fields, plane.clock.now())
            plane.engine.created(self._workload, plane.clock.now())

    def _now(self) -> float:
        return self._plane.clock.now() - self._begin

    # -- one start ---------------------------------------------------------------------------------

    def _drive_start(self, number: int) -> Start:
        self._wait_until(lambda: self._has_started(number))
        current = CurrentStart(number, self._now())
        if self._wait_for_preemption(current):
            current.signalled_at = self._preempt()
        # Its last process must be gone before its checkpoints are read.
        self._wait_until(lambda: not self._workload.live_pods and self._workload.departure is None)
        start = self._record(current)
        self._log(_progress_line(self._kind, start))
        self._give_back()
        return start

    def _has_started(self, number: int) -> bool:
        phases = {phase.RUNNING, *phase.ENDED}
        return self._workload.phase in phases and self._workload.incarnation >= number

    def _wait_for_preemption(self, current: CurrentStart) -> bool:
        """Wait until this start is to be preempted; return ``False`` if it ends before that."""
        is_planned = self._kind == "drill" and current.number <= self._plan.times
        while self._workload.phase == phase.RUNNING and time.monotonic() < self._deadline:
            if current.ready_at is None:
                self._look_for_handler(current)
            if is_planned and self._now() >= self._due(current):
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def _due(self, current: CurrentStart) -> float:
        ready_at = current.ready_at
        if ready_at is None:  # a start that never handles SIGTERM is preempted all the same
            ready_at = current.began + self._ready_timeout
        return ready_at + self._plan.preempt_after

    def _look_for_handler(self, current: CurrentStart) -> None:
        processes = self._plane.processes
        with self._plane.lock:
            leaders = processes.leaders(self._workload) if processes else []
        if not leaders:
            return
        current.see(*signals.sigterm_handler(leaders[0]), self._now())

    def _preempt(self) -> float | None:
        with self._plane.lock:
            if not self._plane.preempt(NAME, "Preempted: drill"):
                return None
            self._plane.hold_until(self._workload, math.inf)  # until it is given back
            return self._now()

    def _kill_during_write(self, name: str) -> None:
        """Kill all processes during the second checkpoint, so that there is an older one."""
        if self._kind != "strike" or self._killed_during_write or not self._watcher.writes:
            return
        self._killed_during_write = True
        with self._plane.lock:
            if self._plane.processes:
                self._plane.processes.kill(self._workload, self._plane.clock.now())

    def _record(self, current: CurrentStart) -> Start:
        pod = self._pod(current.number)
        completed_at = pod.completed_at if pod else None
        ended_at = completed_at - self._begin if completed_at else self._now()
        exit_code = pod.exit_code if pod else None
        return Start(
            number=current.number,
            node=pod.node if pod else "",
            started_at=pod.started_at - self._begin if pod and pod.started_at else ended_at,
            ended_at=ended_at,
            ready_at=current.ready_at,
            signalled_at=current.signalled_at,
            exit_code=exit_code,
            killed=exit_code == _KILLED and self._was_killed_by_us(current, ended_at),
            reach=current.reach,
            first_process=current.first_process,
            # While it still runs, a write may be under way.
            standing=None if completed_at is None else read_state(self._saves),
        )

    def _pod(self, number: int) -> Pod | None:
        suffix = f"-{number - 1}"  # pods are named after their incarnation, from 0
        pods = self._workload.pods
        return next((pod for pod in pods if pod.name.endswith(suffix)), None)

    def _was_killed_by_us(self, current: CurrentStart, ended_at: float) -> bool:
        if self._killed_during_write:
            return True
        # A script may also kill itself; a little less than the grace, for clocks are coarse.
        grace = self._plan.grace - 0.05
        return current.signalled_at is not None and ended_at - current.signalled_at >= grace

    def _give_back(self) -> None:
        with self._plane.lock:
            if self._workload.not_before:
                self._plane.hold_until(self._workload, self._plane.clock.now())

    # -- the end -----------------------------------------------------------------------------------

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        # Under the lock: the engine of the emulator runs in a thread of its own.
        while time.monotonic() < self._deadline:
            with self._plane.lock:
                if condition():
                    return
            time.sleep(_POLL_SECONDS)

    def _is_over(self, starts: list[Start]) -> bool:
        # The start after the kill shows whether it copes with half a checkpoint.
        if self._kind == "strike" and len(starts) == 2:
            return True
        return self._workload.phase in phase.ENDED or time.monotonic() >= self._deadline

    def _ending(self) -> Ending:
        endings: dict[str, Ending] = {phase.COMPLETED: "completed", phase.FAILED: "failed"}
        return endings.get(self._workload.phase, "limit")

    def _last_lines(self) -> str:
        processes, last = self._plane.processes, self._workload.incarnation
        data = processes.log(NAME, last, _LOG_BYTES) if processes else b""
        return data.decode(errors="replace").strip()

    def _why_blind(self, work: Path) -> str:
        """Return why no checkpoint was seen; empty if there is no trace of any."""
        names: list[str] = []
        with suppress(OSError):
            names = sorted(path.name for path in self._saves.iterdir())
        saved = [name for name in names if not name.startswith(".")]
        if saved:
            return (
                f"it saved {', '.join(saved[:3])}, which is not a checkpoint that can be read "
                "here; save with save_checkpoint of training/preemptible.py, or in a format of "
                "docs/checkpoints.md under a name with its step, such as checkpoint-42"
            )
        elsewhere = folder.new_checkpoint_files(work, self._plan.folder)
        if elsewhere:
            files = ", ".join(elsewhere)
            return f"it saved elsewhere in its folder: {files}; name that place with --checkpoints"
        return ""


def _progress_line(kind: RunKind, start: Start) -> str:
    event = "preempted" if start.preempted else "ended"
    if start.exit_code is not None:
        event += f" with exit code {start.exit_code}"
    best = start.standing.best if start.standing else None
    kept = f"newest valid checkpoint: {best.name}" if best else "no valid checkpoint"
    seconds = start.ended_at - start.started_at
    return f"{kind}: start {start.number} on {start.node} {event} after {seconds:.1f} s; {kept}"
