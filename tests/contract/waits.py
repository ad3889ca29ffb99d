"""Submitting and waiting, as the cases need it."""

from __future__ import annotations

from typing import Any

from airflow_runai.backends.submission import create_or_adopt
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.timeline import Moment
from airflow_runai.core.timeouts import Timeouts
from airflow_runai.core.waiting import take_snapshot, wait
from airflow_runai.core.workload import Workload
from tests.contract.rig import Rig, order


def submit(rig: Rig, name: str = "", **spec: Any) -> Workload:
    """Submit a training, or adopt it."""
    return rig.run(create_or_adopt(rig.backend, rig.place(), order(name, **spec)))


def outcome_of(
    rig: Rig,
    workload: Workload,
    policy: WaitPolicy | None = None,
    timeline: tuple[Moment, ...] = (),
    **timeouts: float,
) -> Outcome:
    """Wait for the end of a workload."""
    policy = policy or WaitPolicy(15.0, Timeouts(**timeouts))
    return rig.run(wait(policy, rig.backend.reader(workload), workload, timeline))


def look(rig: Rig, workload: Workload) -> Workload:
    """Read a workload, as a wait does that ends before anything happens."""
    found = rig.run(take_snapshot(rig.backend.reader(workload), workload))
    return found.workload
