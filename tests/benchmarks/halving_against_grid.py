"""
What successive halving saves: the same trials, once as a grid and once halved.

``python -m tests.benchmarks.halving_against_grid --seeds 10`` prints the figures as JSON. The
embedded Run:ai runs on a stepped clock and preempts at random; each start costs 5 % of a full
training, and what was trained since the last step is lost. The gates are the real ones, over an
object store in memory. Played is what Airflow does around them: it submits while fewer than the cap
are live, the lower rung first, as its weights of tasks do. A step is an epoch of the example's
network on its digits, whose learning curves were recorded (``digits_curves.py``); evaluations take
no time.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from airflow_runai.checkpoints.storage.small_files import SmallFile
from airflow_runai.core.sweep.halving import PROMOTE, SKIP, WAIT, rungs
from airflow_runai.emulator import EmulatorSettings, Scenario, SteppedClock
from airflow_runai.emulator.control_plane import ControlPlane
from airflow_runai.emulator.records import EmulatedWorkload
from airflow_runai.emulator.replies import ApiCall
from airflow_runai.emulator.routes_workloads import create
from airflow_runai.tasks.rung_files import Rung, RungQuery, end_trial
from tests.benchmarks.digits_curves import FILE, POINTS
from tests.checkpoints.stepped_store import Store, StoredPath

TRIALS, ETA, CAP = len(POINTS), 3, 4
#: The first rung must be long enough for its scores to say something.
MIN_STEPS, MAX_STEPS = 3, 27
#: Seconds.
STEP = 100.0
START_UP = 0.05 * MAX_STEPS * STEP
#: Mean time between two preemptions.
PREEMPTED_EVERY = 5 * STEP


def recorded(seed: int) -> list[dict[str, float]]:
    """Return the learning curve of each trial: its accuracy after so many steps."""
    curves: list[dict[str, float]] = json.loads(FILE.read_text())[seed]
    return curves


@dataclass
class Cost:
    """
    What a sweep took.

    :param best: the accuracy of the trial that it chose.
    :param steps: that were trained, those that were lost included.
    :param gpu_seconds: during which a GPU was held.
    :param most_live: workloads at the same time.
    :param preemptions: of all trainings.
    """

    best: float
    steps: float
    gpu_seconds: float
    most_live: int
    preemptions: int


@dataclass
class Training:
    """A training of one trial on one rung; it begins where the rung before has stopped."""

    trial: int
    rung: int
    steps: int


@dataclass
class Player:
    """
    One sweep on an embedded Run:ai of its own.

    :param ends: the step at which each rung ends; a grid has one rung.
    """

    ends: Sequence[int]
    plane: ControlPlane
    curves: list[dict[str, float]]
    chance: random.Random
    files: SmallFile
    ready: list[Training] = field(default_factory=list)
    live: dict[str, Training] = field(default_factory=dict)
    at_gate: list[Training] = field(default_factory=list)
    scores: dict[int, tuple[int, float]] = field(default_factory=dict)
    most_live: int = 0

    def play(self) -> Cost:
        """Play to the end."""
        self.ready = [self._training(trial, 0) for trial in range(TRIALS)]
        self.chance.shuffle(self.ready)
        preemption = self.chance.expovariate(1 / PREEMPTED_EVERY)
        while self.ready or self.live or self.at_gate:
            self._submit()
            self.plane.advance(STEP / 4)
            preemption -= STEP / 4
            if preemption <= 0:
                self._preempt()
                preemption = self.chance.expovariate(1 / PREEMPTED_EVERY)
            self._collect()
            self._pass_gates()
        return self._cost()

    def _training(self, trial: int, rung: int) -> Training:
        return Training(trial, rung, self.ends[rung] - (self.ends[rung - 1] if rung else 0))

    def _submit(self) -> None:
        self.ready.sort(key=lambda one: one.rung)
        while self.ready and len(self.live) < CAP:
            one = self.ready.pop(0)
            name = f"trial-{one.trial}-rung-{one.rung}-end"
            scenario = Scenario(run_seconds=one.steps * STEP, checkpoint_seconds=STEP)
            self.plane.scripted.set(name, scenario)
            self.live[name] = one
            project = self.plane.world.projects[0]
            where = {"projectId": project.id, "clusterId": project.cluster_id}
            spec = {"image": "any", "compute": {"gpuDevicesRequest": 1}}
            body = {"name": name, **where, "spec": spec}
            create(self.plane, ApiCall("POST", "", {"kind": "trainings"}, {}, body))
        self.most_live = max(self.most_live, sum(map(_is_live, self._workloads())))

    def _preempt(self) -> None:
        running = [one.name for one in self._workloads() if one.phase == "Running"]
        if running:
            self.plane.preempt(self.chance.choice(sorted(running)))

    def _collect(self) -> None:
        for workload in self._workloads():
            if workload.phase == "Completed" and workload.name in self.live:
                one = self.live.pop(workload.name)
                score = self.curves[one.trial][str(self.ends[one.rung])]
                self.scores[one.trial] = (one.rung, score)
                if one.rung + 1 < len(self.ends):
                    self._rung(one).record(score)
                    self.at_gate.append(one)
                else:
                    end_trial(self.files, one.trial)

    def _pass_gates(self) -> None:
        for one in list(self.at_gate):
            decision = self._rung(one).settle()
            if decision != WAIT:
                self.at_gate.remove(one)
            if decision == PROMOTE:
                self.ready.append(self._training(one.trial, one.rung + 1))
            if decision == SKIP:
                end_trial(self.files, one.trial)

    def _rung(self, one: Training) -> Rung:
        return Rung(RungQuery(one.rung, one.trial, TRIALS, ETA, "accuracy", "max"), self.files)

    def _workloads(self) -> list[EmulatedWorkload]:
        return list(self.plane.world.workloads.values())

    def _cost(self) -> Cost:
        pods = [pod for workload in self._workloads() for pod in workload.pods]
        ends = [pod.completed_at or pod.deleted_at or self.plane.clock.now() for pod in pods]
        held = sum(end - pod.created_at for pod, end in zip(pods, ends, strict=True))
        ran = sum(end - (pod.started_at or end) for pod, end in zip(pods, ends, strict=True))
        # Of different rungs the further one is compared, as `best` does.
        _, best = max(self.scores.values())
        preemptions = len(pods) - len(self._workloads())
        return Cost(best, ran / STEP, held, self.most_live, preemptions)


def _is_live(workload: EmulatedWorkload) -> bool:
    return any(pod.is_live for pod in workload.pods)


def play(seed: int, ends: Sequence[int]) -> Cost:
    """Play one sweep."""
    settings = EmulatorSettings(
        clock=SteppedClock(),
        nodes=1,
        gpus_per_node=2 * CAP,
        projects=(f"team-a:{2 * CAP}",),
        initializing_seconds=START_UP,
    )
    with tempfile.TemporaryDirectory() as folder:
        plane = ControlPlane(settings, Path(folder))
        files = SmallFile(StoredPath(Store(), "run/rungs"))
        return Player(ends, plane, recorded(seed), random.Random(seed), files).play()


@dataclass(frozen=True)
class Comparison:
    """
    One seed's figures, halving against grid.

    :param steps: its part of the grid's training steps.
    :param gpu_seconds: its part of the grid's GPU seconds.
    :param accuracy: its part of the grid's best accuracy.
    """

    seed: int
    steps: float
    gpu_seconds: float
    accuracy: float
    most_live: int
    preemptions: int


def compare(seed: int) -> Comparison:
    """Play a grid and a halving of the same trials."""
    grid = play(seed, (MAX_STEPS,))
    halved = play(seed, rungs(TRIALS, MAX_STEPS, ETA, MIN_STEPS))
    return Comparison(
        seed=seed,
        steps=halved.steps / grid.steps,
        gpu_seconds=halved.gpu_seconds / grid.gpu_seconds,
        accuracy=halved.best / grid.best,
        most_live=max(grid.most_live, halved.most_live),
        preemptions=min(grid.preemptions, halved.preemptions),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.halving_against_grid")
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args(argv)
    for seed in range(arguments.seeds):
        print(json.dumps(asdict(compare(seed))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
