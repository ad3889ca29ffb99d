"""The promises hold on a cluster, too: in calm weather, and in random histories."""

from __future__ import annotations

import pytest

from tests.simulation.campaign import tally
from tests.simulation.history import Act, Cluster, Cue, History, Life, Task
from tests.simulation.invariants import judge
from tests.simulation.simulation import play

#: In every run of the tests, and in ``make qualify``.
SEEDS, MORE = 40, 400
CALM = History(cluster=Cluster())


def test_a_calm_history_ends_well_with_one_job() -> None:
    played = play(CALM)
    assert played.ti.state == "success"
    assert [w.phase for w in played.mine] == ["Completed"]
    assert judge(played) == []


def test_a_preemption_costs_no_try_and_no_budget() -> None:
    life = Life(stretches=((5.0, 60.0), (30.0, 60.0), (5.0, 100.0)))
    played = play(History(cluster=Cluster(), lives=(life,), task=Task(backoff_limit=0)))
    assert played.ti.state == "success"
    assert [w.phase for w in played.mine] == ["Completed"]
    assert judge(played) == []


def test_a_job_that_goes_with_its_pods_left_behind_is_followed_only_by_their_end() -> None:
    acts = (
        Act(Cue("Running", 2, 10.0), "delete", 0.0, "Orphan"),
        Act(Cue("Running", 2, 30.0), "clear"),
    )
    played = play(History(cluster=Cluster(), task=Task(retries=2), acts=acts))
    assert len(played.mine) == 2
    assert judge(played) == []


def test_a_taken_name_costs_no_try_that_repeats_the_last_end() -> None:
    life = Life(stretches=((24.47, 229.77), (53.13, 70.81)), leaves_with_0=True)
    impostor = Act(Cue("created", 2, 30.0), "impostor")
    task = Task(retries=3, on_clear="reattach")
    history = History(task, cluster=Cluster(), lives=(life,), acts=(impostor,), chance=3157)
    assert judge(play(history)) == []


@pytest.mark.slow
def test_seeds_break_nothing() -> None:
    broken_by(0, SEEDS)


@pytest.mark.qualify
def test_more_seeds_break_nothing() -> None:
    broken_by(SEEDS, MORE)


def broken_by(first: int, count: int) -> None:
    found = tally(first, count, "kubernetes")
    assert dict(found.broken) == {}
    assert found.workloads > count
