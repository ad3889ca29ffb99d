"""Submitting and waiting, as the cases need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from airflow_runai.backends.submission import create_or_adopt
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.flow import Flow
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.timeline import Moment
from airflow_runai.core.timeouts import Timeouts
from airflow_runai.core.waiting import take_snapshot, wait
from airflow_runai.core.workload import Workload
from tests.contract.crowds import Seen
from tests.contract.rig import Rig, name_of, order


def submit(rig: Rig, name: str = "", **spec: Any) -> Workload:
    """Submit a training, or adopt it."""
    return rig.run(create_or_adopt(rig.backend, rig.place(), order(rig, name, **spec)))


def submit_many(rig: Rig, number: int) -> list[Workload]:
    """Submit so many trainings in one go."""
    where, names = rig.place(), [name_of(digest=f"{one:010d}") for one in range(number)]

    def flow() -> Flow[list[Workload]]:
        made = []
        for name in names:
            made.append((yield from create_or_adopt(rig.backend, where, order(rig, name))))
        return made

    return rig.run(flow())


def outcome_of(
    rig: Rig,
    workload: Workload,
    policy: WaitPolicy | None = None,
    timeline: tuple[Moment, ...] = (),
    **timeouts: float,
) -> Outcome:
    """Wait for the end of a workload."""
    policy = paced(rig, policy or WaitPolicy(15.0, Timeouts(**timeouts)), workload.created_at)
    return rig.run(wait(policy, rig.backend.reader(workload), workload, timeline))


def paced(rig: Rig, policy: WaitPolicy, began: float) -> WaitPolicy:
    """Return a policy in the time of a world."""
    limits = {name: limit * rig.pace for name, limit in asdict(policy.timeouts).items() if limit}
    deadline = policy.deadline and began + (policy.deadline - began) * rig.pace
    interval = policy.poll_interval * rig.pace
    return replace(policy, poll_interval=interval, timeouts=Timeouts(**limits), deadline=deadline)


def off(rig: Rig, clock: float, seconds: float, within: float) -> float:
    """Return by how much a clock is off that should show so many seconds of a case."""
    low = (seconds - within) * rig.pace - rig.grain
    high = (seconds + within) * rig.pace + rig.grain
    return max(low - clock, clock - max(high, rig.elapsed), 0.0)


def least(rig: Rig, seconds: float) -> float:
    """Return what a clock shows at least that should have reached so many seconds of a case."""
    return seconds * rig.pace - rig.grain / 2  # only rounding makes it shorter


def look(rig: Rig, workload: Workload) -> Workload:
    """Read a workload, as a wait does that ends before anything happens."""
    found = rig.run(take_snapshot(rig.backend.reader(workload), workload))
    return found.workload


def outcomes_of(rig: Rig, workloads: Sequence[Workload], seconds: float = 0.0) -> list[Seen]:
    """
    Wait for the ends of several workloads at once.

    :param seconds: after which the waits end anyhow, counted from the last creation.
    """
    began = max(one.created_at for one in workloads)
    policy = WaitPolicy(15.0, deadline=began + seconds if seconds else None)
    return rig.await_all(paced(rig, policy, began), workloads)
