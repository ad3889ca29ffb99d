"""
What a simulated week of the embedded Run:ai costs, in seconds of processor time.

``python -m tests.benchmarks.simulated_week --workloads 200`` prints the figures as JSON. Trainings
of one GPU share a cluster that is 1.25 times overcommitted; the platform preempts each of them
after every 6 hours of running. They come in bursts, as sweeps do: those of a burst stay together,
so each burst is a moment of its own at which the scheduler has work. There is no HTTP and the clock
is stepped: a busy machine changes processor time a little, and the order of events not at all.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import math
import pstats
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from airflow_runai.emulator import EmulatorSettings, Scenario, SteppedClock
from airflow_runai.emulator.control_plane import ControlPlane
from airflow_runai.emulator.replies import ApiCall
from airflow_runai.emulator.routes_workloads import create

HOUR = 3600.0
PREEMPTED_EVERY = 6 * HOUR
OVERCOMMITMENT = 1.25
GPUS_PER_NODE = 8
BURST = 20
#: Between two bursts.
PAUSE = HOUR / 6
PROJECTS = ("team-a", "team-b", "team-c", "team-d")


@dataclass(frozen=True)
class Cost:
    """
    What a run took.

    :param submission: processor seconds until all workloads were accepted.
    :param life: processor seconds for the simulated time.
    :param preemptions: how often a workload had to stop.
    """

    workloads: int
    hours: float
    submission: float
    life: float
    preemptions: int

    @property
    def total(self) -> float:
        """All processor seconds."""
        return self.submission + self.life


class Week:
    """
    A control plane full of trainings that never end.

    :param burst: workloads that are submitted at once.
    """

    def __init__(self, workloads: int, root: Path, burst: int = BURST) -> None:
        self.workloads = workloads
        self._burst = burst
        self.plane = ControlPlane(_settings(workloads), root)

    def submit(self) -> None:
        """Submit all workloads, to each project in turn."""
        for number in range(self.workloads):
            project = self.plane.world.projects[number % len(PROJECTS)]
            spec = {"image": "any", "compute": {"gpuDevicesRequest": 1}}
            body = {
                "name": f"train-{number}",
                "projectId": project.id,
                "clusterId": project.cluster_id,
                "spec": spec,
            }
            create(self.plane, ApiCall("POST", "", {"kind": "trainings"}, {}, body))
            is_last = number + 1 == self.workloads
            if (number + 1) % self._burst == 0 and not is_last:
                self.plane.advance(PAUSE)

    def live(self, hours: float) -> None:
        """Let time pass."""
        self.plane.advance(hours * HOUR)

    def preemptions(self) -> int:
        """Count the incarnations that have ended."""
        return sum(max(0, one.incarnation - 1) for one in self.plane.world.workloads.values())


def measure(workloads: int, hours: float, burst: int = BURST) -> Cost:
    """Play once."""
    with tempfile.TemporaryDirectory() as folder:
        week = Week(workloads, Path(folder), burst)
        began = time.process_time()
        week.submit()
        submitted = time.process_time()
        week.live(hours)
        ended = time.process_time()
    return Cost(workloads, hours, submitted - began, ended - submitted, week.preemptions())


@dataclass(frozen=True)
class Work:
    """
    What the control plane did, counted in calls of its functions.

    :param attempts: how often a place for a workload was looked for.
    :param looks: how often a workload was looked at.
    """

    attempts: int
    looks: int
    preemptions: int


def count(workloads: int, hours: float, burst: int) -> Work:
    """Play once, and count: the same on every machine."""
    with tempfile.TemporaryDirectory() as folder:
        week = Week(workloads, Path(folder), burst)
        week.submit()
        with cProfile.Profile() as profile:
            week.live(hours)
    return Work(
        attempts=_calls(profile, "placement.py", "_fit"),
        looks=_calls(profile, "engine.py", "_step"),
        preemptions=week.preemptions(),
    )


def _calls(profile: cProfile.Profile, file: str, function: str) -> int:
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # typeshed lacks it
    return sum(
        calls
        for (path, _, name), (_, calls, *_) in stats.items()
        if path.endswith(file) and name == function
    )


def _settings(workloads: int) -> EmulatorSettings:
    nodes = math.ceil(workloads / OVERCOMMITMENT / GPUS_PER_NODE)
    quota = nodes * GPUS_PER_NODE // len(PROJECTS)
    return EmulatorSettings(
        clock=SteppedClock(),
        nodes=nodes,
        gpus_per_node=GPUS_PER_NODE,
        projects=tuple(f"{name}:{quota}" for name in PROJECTS),
        scenarios={"train": Scenario(run_seconds=None, preempt_every=PREEMPTED_EVERY)},
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure once, and print the cost."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.simulated_week")
    parser.add_argument("--workloads", type=int, default=200)
    parser.add_argument("--hours", type=float, default=7 * 24.0)
    parser.add_argument("--burst", type=int, default=BURST, help="workloads submitted at once")
    arguments = parser.parse_args(argv)
    cost = measure(arguments.workloads, arguments.hours, arguments.burst)
    print(json.dumps(asdict(cost) | {"total": cost.total}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
