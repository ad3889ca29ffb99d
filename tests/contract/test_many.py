"""Trainings of several pods."""

from __future__ import annotations

import pytest

from airflow_runai.core.phases import Meaning
from tests.contract.rig import Rig, Script, name_of
from tests.contract.waits import outcome_of, outcomes_of, submit, submit_many

GANG = {"framework": "PyTorch", "workers": 2}


@pytest.mark.needs("gangs", "gang scheduling")
def test_gang_starts_together(rig: Rig) -> None:
    """Three pods of one GPU each on a cluster of four, of which others hold two."""
    rig.play(Script(seconds=None))
    rig.rival(2)
    made = submit(rig, distributed=GANG)
    rig.pass_time(60)
    waiting = rig.run(rig.backend.reader(made).read(made.id))
    assert (waiting.meaning, rig.lives(name_of())) == (Meaning.WAITING, False)


@pytest.mark.needs("gangs")
def test_gang_member_evicted_gang_returns(rig: Rig) -> None:
    made = submit(rig, distributed=GANG)
    rig.after(30, lambda: rig.reclaim(name_of()))
    outcome = outcome_of(rig, made)
    counted = outcome.clocks.interruptions, outcome.clocks.preemptions
    assert (outcome.status, counted) == ("succeeded", (1, 1))
    assert rig.names() == [name_of()]


def test_completions_parallelism_partly_preempted(rig: Rig) -> None:
    made = submit(rig, completions=4, parallelism=2)
    rig.after(150, lambda: rig.reclaim(name_of()))
    outcome = outcome_of(rig, made)
    assert outcome.status == "succeeded"
    assert rig.names() == [name_of()]


@pytest.mark.needs("crowds")
def test_hundred_waits_one_conversation(rig: Rig) -> None:
    """While nothing happens, they ask less than once each; apart, each would ask 13 times."""
    rig.play(Script(seconds=None))
    made = submit_many(rig, 100)
    asked: list[int] = []
    for seconds in (100, 300):
        rig.after(seconds, lambda: asked.append(len(rig.asked)))
    ends = outcomes_of(rig, made, seconds=350)
    assert [one.outcome.status for one in ends] == ["timed_out"] * 100
    before, after = asked
    assert before > 0
    assert after - before < len(made)


@pytest.mark.needs("crowds")
def test_end_seen_within_bound(rig: Rig) -> None:
    ends = outcomes_of(rig, submit_many(rig, 4))
    assert {one.outcome.status for one in ends} == {"succeeded"}
    assert max(one.late for one in ends) <= rig.sight
