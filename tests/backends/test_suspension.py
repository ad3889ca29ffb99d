"""A suspension or resumption counts only once the workload shows it."""

from __future__ import annotations

import pytest

from airflow_runai.backends import control_plane, suspension
from airflow_runai.backends.explanation import explain
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.timeouts import Timeouts
from airflow_runai.core.waiting import wait
from airflow_runai.core.workload import Workload
from airflow_runai.emulator import Emulator
from airflow_runai.errors import NoEffect
from tests.backends.rest import BACKEND
from tests.backends.test_against_emulator import NAME, Awaiting, Blocking, submit


@pytest.fixture(params=[Blocking, Awaiting])
def talk(request: pytest.FixtureRequest, emulator: Emulator) -> Blocking:
    talking: Blocking = request.param(emulator)
    return talking


@pytest.fixture
def running(talk: Blocking) -> Workload:
    workload = submit(talk)
    talk.emulator.advance(10)
    return talk.run(control_plane.get(workload.id))


def phase(talk: Blocking, workload: Workload) -> str:
    return talk.run(control_plane.get(workload.id)).phase


def test_one_look_shows_that_it_took_effect(talk: Blocking, running: Workload) -> None:
    began = talk.emulator.clock.now()
    talk.run(suspension.suspend(BACKEND, running))
    talk.emulator.advance(1)
    assert phase(talk, running) == "Stopped"
    talk.run(suspension.resume(BACKEND, running))
    assert phase(talk, running) == "Resuming"
    assert talk.emulator.clock.now() == pytest.approx(began + 1)


def test_a_workload_from_before_an_upgrade_does_not_react_and_that_is_told(
    talk: Blocking, running: Workload
) -> None:
    talk.emulator.faults.add("from_before_3_0", name=NAME, times=None)
    with pytest.raises(NoEffect) as told:
        talk.run(suspension.suspend(BACKEND, running))
    assert str(told.value).startswith(
        f"workload {NAME}: was told to be suspended, and is still Running after 59 s; a workload "
        "that was submitted before an upgrade to Run:ai 3.0 can neither be suspended nor resumed"
    )


def test_a_suspended_one_from_before_an_upgrade_is_not_resumed(
    talk: Blocking, running: Workload
) -> None:
    talk.run(suspension.suspend(BACKEND, running))
    talk.emulator.advance(5)
    talk.emulator.faults.add("from_before_3_0", name=NAME, times=None)
    with pytest.raises(NoEffect, match="told to be resumed, and is still Stopped"):
        talk.run(suspension.resume(BACKEND, running))


def test_one_that_ends_meanwhile_is_as_good_as_suspended(talk: Blocking, running: Workload) -> None:
    talk.emulator.faults.add("from_before_3_0", name=NAME, times=None)
    talk.emulator.advance(80)
    talk.run(suspension.suspend(BACKEND, running))
    assert phase(talk, running) == "Completed"


def test_where_it_cannot_be_looked_at_the_accepted_call_counts(
    talk: Blocking, running: Workload
) -> None:
    talk.emulator.faults.add("status", method="GET", path=f"*/{running.id}", times=None)
    talk.run(suspension.suspend(BACKEND, running))
    talk.emulator.faults.clear()
    assert phase(talk, running) == "Stopped"


def test_one_that_hangs_while_it_is_resumed_is_explained_and_stalls_at_its_timeout(
    talk: Blocking, running: Workload
) -> None:
    talk.run(suspension.suspend(BACKEND, running))
    talk.emulator.advance(5)
    talk.emulator.faults.add("stuck_resuming")
    talk.run(suspension.resume(BACKEND, running))
    talk.emulator.advance(300)
    (reason,) = talk.run(explain(running.id, "Resuming"))
    assert reason.sentence.startswith("it was resumed, and there are no pods of it yet; wait;")
    policy = WaitPolicy(poll_interval=15, timeouts=Timeouts(starting=600))
    outcome = talk.run(wait(policy, BACKEND.reader(running), running))
    assert (outcome.status, outcome.phase) == ("stalled", "Resuming")
    assert outcome.reason.startswith("phase Resuming for 6")
