"""Ending, suspending and removing workloads."""

from __future__ import annotations

import pytest

from airflow_runai.backends.termination import end_and_wait, let_pods_end, present, stop
from airflow_runai.core.phases import Meaning
from airflow_runai.errors import NotFound
from tests.contract.rig import Rig, Script, name_of
from tests.contract.waits import outcome_of, submit


def test_kill_stops(rig: Rig) -> None:
    made = submit(rig)
    rig.pass_time(20)
    assert rig.run(stop(rig.backend, made, "stop"))
    assert not rig.lives(name_of())
    with pytest.raises(NotFound):
        rig.run(rig.backend.reader(made).read(made.id))


def test_kill_suspends(rig: Rig) -> None:
    made = submit(rig)
    rig.pass_time(20)
    assert rig.run(stop(rig.backend, made, "suspend"))
    found = rig.run(rig.backend.reader(made).read(made.id))
    assert (found.meaning, rig.lives(name_of())) == (Meaning.SUSPENDED, False)


def test_kill_keep(rig: Rig) -> None:
    made = submit(rig)
    rig.pass_time(20)
    assert "left alone" in (rig.run(stop(rig.backend, made, "keep")) or "")
    assert outcome_of(rig, made).status == "succeeded"


@pytest.mark.parametrize("action", ["stop", "suspend"])
def test_kill_of_finished_is_harmless(rig: Rig, action: str) -> None:
    made = submit(rig)
    rig.pass_time(200)
    assert "already Completed" in (rig.run(stop(rig.backend, made, action)) or "")
    assert outcome_of(rig, made).status == "succeeded"


def test_stop_returns_only_when_nothing_writes(rig: Rig) -> None:
    rig.play(Script(seconds=None, stop_seconds=60))
    made = submit(rig, termination_grace_period=120)
    rig.pass_time(20)
    rig.run(end_and_wait(rig.backend, made))
    rig.run(let_pods_end(rig.backend, made))
    assert not rig.lives(name_of())


def test_suspend_resume_delete_repeatable(rig: Rig) -> None:
    made = submit(rig)
    rig.pass_time(20)
    for call in (rig.backend.suspend, rig.backend.resume, rig.backend.delete):
        for _ in range(2):
            rig.run(call(made))
        rig.pass_time(60)
    assert not rig.lives(name_of())


def test_delete_never_hits_a_successor(rig: Rig) -> None:
    made = submit(rig)
    rig.run(end_and_wait(rig.backend, made))
    successor = submit(rig)
    assert successor.id != made.id
    rig.run(rig.backend.delete(made))
    rig.pass_time(20)
    found = rig.run(present(rig.backend, successor))
    assert found is not None
    assert (found.id, found.deleted) == (successor.id, False)
    assert rig.lives(name_of())
