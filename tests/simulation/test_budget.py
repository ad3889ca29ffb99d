"""What a workload costs in requests: counted, compared, and what a calm submission may send."""

from __future__ import annotations

import pytest

from tests.simulation.budget import Cost, compared, cost_of, in_fair_weather, measure
from tests.simulation.history import History, Task, Trouble
from tests.simulation.random_history import history_of
from tests.simulation.simulation import Played, play


def sent_by(played: Played, who: str) -> list[str]:
    named = {w.id: "ID" for w in played.world.workloads}
    told = [f.call for f in played.story.of("request") if f.who == who]
    for identity, short in named.items():
        told = [call.replace(identity, short) for call in told]
    return [
        call.partition(" name")[0].partition(" projectId")[0]
        + " deleted" * call.endswith("deleted")
        for call in told
    ]


#: Requests for each workload of 40 seeds in fair weather before the promises of today were kept
#: (fbb5fd9).
ONCE = 55.77
FIRST_LOOK = ["GET /org-unit/projects", "GET /workloads"]
LOOK_UP = [*FIRST_LOOK, "GET /workloads deleted"]


def test_a_submission_is_a_look_and_a_create() -> None:
    assert sent_by(play(History()), "worker-2") == [*FIRST_LOOK, "POST /workloads/trainings"]


def test_what_has_ended_is_looked_at_once_more_and_not_deferred_for() -> None:
    dies = Trouble(2, 8, "dies")
    played = play(History(task=Task(retries=1, retry_delay=600.0), troubles=(dies,)))
    ended = [
        "GET /workloads/ID",
        "GET /workloads/trainings/ID",
        "GET /workloads/ID",
        "GET /workloads/ID/history",
    ]
    assert sent_by(played, "worker-3") == [*LOOK_UP, *ended]
    assert [fact.kind for fact in played.story.of("deferred")] == []
    assert played.ti.state == "success"


def test_in_fair_weather_nothing_goes_wrong_and_nobody_interferes() -> None:
    history = in_fair_weather(history_of(4))
    assert (history.acts, history.troubles, history.platform.list_lag) == ((), (), 0.0)
    assert history.lives == history_of(4).lives
    assert cost_of(4, fair=True).sound


def test_every_request_is_counted_and_those_of_the_reaper_apart() -> None:
    cost = cost_of(4, fair=False)
    played = play(history_of(4))
    assert cost.requests == played.requests
    assert sum(cost.calls.values()) == played.requests + played.requests_aside
    assert Cost(4, 1, True, {"worker GET /a": 2, "reaper GET /b": 9}).requests == 2


def test_packages_are_compared_where_both_kept_their_promises_with_as_many_workloads() -> None:
    ours = [Cost(0, 1, True, {"worker GET /a": 11}), Cost(1, 2, True, {"worker GET /a": 9})]
    for other in (Cost(1, 1, True, {}), Cost(1, 2, False, {})):
        told = list(compared(ours, [Cost(0, 1, True, {"worker GET /b": 10}), other]))
        assert told[0].endswith("1 seeds, 1 workloads, 11 requests, 11.00 per workload")
        assert told[1].endswith("+10.0 %")
        assert "2 seeds" in told[2]
        assert told[-1].split() == ["0", "10", "-10", "worker", "GET", "/b"]


@pytest.mark.slow
def test_a_workload_costs_hardly_more_than_it_did_when_less_was_promised() -> None:
    costs = list(measure(0, 40, fair=True))
    assert (
        sum(cost.requests for cost in costs) / sum(cost.workloads for cost in costs) <= 1.05 * ONCE
    )
