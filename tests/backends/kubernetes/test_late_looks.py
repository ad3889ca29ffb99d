"""Trainings at which nobody looked before they were over: KAI's events say what was taken."""

from __future__ import annotations

import pytest

from airflow_runai.core.workload import Workload
from tests.contract.model import ModelRig
from tests.contract.rig import Script, name_of
from tests.contract.waits import outcome_of, submit

pytestmark = pytest.mark.slow


def reclaimed_unseen(stop_exit_code: int) -> tuple[ModelRig, Workload]:
    """Submit a training that KAI takes once, and come back when all is over."""
    rig = ModelRig()
    rig.play(Script(seconds=100, stop_exit_code=stop_exit_code))
    made = submit(rig)
    rig.after(40, lambda: rig.reclaim(name_of()))
    rig.pass_time(300)
    return rig, made


@pytest.mark.parametrize(("stop_exit_code", "status"), [(0, "failed"), (143, "succeeded")])
def test_a_success_that_was_taken_away_is_none(stop_exit_code: int, status: str) -> None:
    rig, made = reclaimed_unseen(stop_exit_code)
    outcome = outcome_of(rig, made)
    assert outcome.status == status
    assert ("before anybody saw it end" in outcome.reason) is (status == "failed")


@pytest.mark.parametrize(("exits", "asks"), [(143, False), (0, True)])
def test_only_a_success_without_its_pod_costs_questions(exits: int, asks: bool) -> None:
    rig, made = reclaimed_unseen(exits)
    before = len(rig.wire.spoken)
    outcome_of(rig, made)
    assert any("/events?" in line for line in rig.wire.spoken[before:]) is asks
