"""Which incarnation of a workload runs or leaves, by what a wait says."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from airflow_runai.core.incarnations import CUT_AT, leader, nodes_of, pods_at, shown_lives, sighting
from airflow_runai.core.outcome import news
from airflow_runai.core.timeline import TIMELINE_LIMIT, Moment, bounded, clocks
from airflow_runai.core.usage import Incarnation, runs
from tests.core.stage import NOON, acts

OVER_AND_OVER = [
    ("Pending", 0, False, False),
    ("Running", 1, True, False),
    ("Degraded", 1, True, False),
    ("Terminating", 1, False, True),
    ("Pending", 1, False, True),
    ("Initializing", 1, False, True),
    ("Running", 2, True, False),
    ("Stopped", 2, False, True),
    ("Resuming", 2, False, True),
    ("Running", 3, True, False),
    ("Unknown", 4, False, False),
    ("Running", 3, True, False),
    ("Failed", 4, False, False),
]


def test_incarnations_are_counted_over_a_life() -> None:
    timeline: tuple[Moment, ...] = (Moment(0.0, "Creating"),)
    for at, (phase, number, does_run, has_left) in enumerate(OVER_AND_OVER, start=1):
        timeline = (*timeline, Moment(float(at), phase))
        seen = sighting(news(timeline, clocks(timeline, at + 0.5), phase))
        assert (seen.runs, seen.has_left, seen.since) == (does_run, has_left, float(at)), phase
        if does_run or has_left:
            assert seen.number == number, phase


@pytest.mark.parametrize("phase", ["Creating", "Pending", "Terminating", "Deleting", "Failed"])
def test_before_it_has_run_nothing_has_left(phase: str) -> None:
    timeline = (Moment(0.0, "Creating"), Moment(1.0, phase))
    seen = sighting(news(timeline, clocks(timeline, 2.0), phase))
    assert (seen.number, seen.runs, seen.has_left) == (0, False, False)
    assert sighting({"phase": phase}).number == 0


def test_the_pod_of_a_moment_is_the_newest_that_existed() -> None:
    pods: list[dict[str, Any]] = [
        {"name": "second", "createdAt": "2026-11-01T10:00:00Z"},
        {"name": "first", "createdAt": "2026-11-01T09:00:00Z"},
        {"name": "odd", "createdAt": None},
    ]
    nine = 1793523600.0
    pods[1]["deletedAt"] = "2026-11-01T09:59:00Z"
    assert [pod["name"] for pod in pods_at(pods, nine + 5)] == ["first"]
    assert [pod["name"] for pod in pods_at(pods, nine + 3605)] == ["second"]
    assert pods_at([], nine) == []
    assert leader(pods_at(pods, nine + 5)) == pods[1]


def crew(*names: str, made: float = 100, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name, **pod(made + 2 * n, name), **more} for n, name in enumerate(names)]


@pytest.mark.parametrize("role", ["master", "launcher", "chief"])
def test_of_several_pods_the_one_that_leads_is_shown(role: str) -> None:
    pods = crew("t-worker-0", "t-worker-1", f"t-{role}-0")
    assert [one["name"] for one in pods_at(pods, 300)] == [
        *(f"t-{role}-0", "t-worker-0", "t-worker-1")
    ]
    assert leader(pods_at(pods, 300))["name"] == f"t-{role}-0"


def test_where_no_name_tells_who_leads_the_oldest_comes_first_and_nobody_is_known() -> None:
    for names in (("t-0-0", "t-1-0"), ("my-master-0", "my-master-1")):
        found = pods_at(crew(*names), 300)
        assert [one["name"] for one in found] == list(names)
        assert leader(found) == {}


@pytest.mark.parametrize(
    "over",
    [
        {"deletedAt": "1970-01-01T00:03:00Z"},
        {"completedAt": "1970-01-01T00:03:00Z"},
        {"k8sPhase": "Failed", "k8sPhaseUpdatedAt": "1970-01-01T00:03:00Z"},
    ],
    ids=lambda over: next(iter(over)),
)
def test_pods_of_an_earlier_incarnation_do_not_count(over: dict[str, Any]) -> None:
    first = crew("t-master-0", "t-worker-0", **over)
    second = crew("t-worker-1", "t-master-1", made=200)
    found = pods_at([*first, *second], 300)
    assert [one["name"] for one in found] == ["t-master-1", "t-worker-1"]
    assert [one["name"] for one in pods_at([*first, *second], 150)] == ["t-master-0", "t-worker-0"]


LIVES = (Incarnation(110.0, 200.0), Incarnation(310.0, 400.0), Incarnation(510.0, 600.0))


def pod(second: float, node: str | None, started: float | None = None) -> dict[str, object]:
    made: dict[str, object] = {"createdAt": _iso(second), "nodeName": node}
    if started is None:
        return made
    return {**made, "containers": [{"startedAt": _iso(started + 5)}, {"startedAt": _iso(started)}]}


def _iso(second: float) -> str:
    return f"1970-01-01T00:{second // 60:02.0f}:{second % 60:02.0f}Z"


def test_each_incarnation_has_the_nodes_of_the_pods_that_were_made_for_it() -> None:
    pods = [pod(301, "b"), pod(101, "a"), pod(302, "c"), pod(401, None), {}]
    assert nodes_of(pods, LIVES) == ["a", "b, c", ""]
    assert nodes_of([pod(101, name) for name in "edcba"], LIVES[:1]) == ["a, b, c and 2 more"]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (pod(150, "new"), ["a, new", "b"]),
        (pod(150, "new", started=160), ["a, new", "b"]),
        # Made as the pods of the first one began to leave; it has run in the second one.
        (pod(180, "new", started=305), ["a", "b, new"]),
        (pod(200, "new"), ["a", "b, new"]),
        (pod(201, "new"), ["a", "b, new"]),
        (pod(110, "new"), ["a, new", "b"]),
        ({**pod(150, "new"), "containers": [None, {"startedAt": 7}, {}]}, ["a, new", "b"]),
        ({**pod(150, "new"), "containers": "x"}, ["a, new", "b"]),
        (pod(450, "new"), ["a", "b"]),
    ],
)
def test_a_pod_made_in_between_belongs_to_the_incarnation_that_it_ran_in(
    made: dict[str, object], expected: list[str]
) -> None:
    # It left within the second in which the second one's pods may have been made.
    lives = [Incarnation(110.0, 200.4), LIVES[1]]
    assert nodes_of([pod(101, "a"), pod(301, "b"), made], lives) == expected


@pytest.mark.parametrize("count", [66, 67, 68, 100, 150])
def test_incarnations_that_a_cut_timeline_shows_are_true(count: int) -> None:
    phases = [("Initializing", 10), ("Running", 20), ("Pending", 80)]
    acted = [(100 * n + at, phase) for n in range(count) for phase, at in phases]
    whole = acts((0, "Pending"), *acted)
    timeline = bounded(whole)
    nodes = [f"node-{int(life.start - NOON) // 100}" for life in runs(timeline, inf)]
    shown = shown_lives(timeline, nodes)
    true = [{"since": NOON + 100 * n + 20, "until": NOON + 100 * n + 80} for n in range(count)]
    for life in shown:
        assert life["node"] == f"node-{int(life['since'] - NOON) // 100}"
        assert {key: life[key] for key in ("since", "until")} in true
    assert [life["since"] for life in shown] == [one["since"] for one in true[-len(shown) :]]
    is_cut = len(whole) > TIMELINE_LIMIT
    assert len(shown) >= (55 if is_cut else count - 10)
    assert timeline[CUT_AT:] == whole[len(whole) - len(timeline) + CUT_AT :]


def test_the_tab_is_told_when_and_where_each_one_lived() -> None:
    timeline = acts((0, "Pending"), (10, "Running"), (60, "Pending"), (100, "Running"))
    assert shown_lives(timeline, ["a"]) == [
        {"since": NOON + 10, "node": "a", "until": NOON + 60},
        {"since": NOON + 100, "node": ""},
    ]
    ended = (*timeline, Moment(NOON + 130, "Completed"))
    assert shown_lives(ended, ["a", "b"])[1] == {
        "since": NOON + 100,
        "node": "b",
        "until": NOON + 130,
    }
    assert shown_lives((), ["a"]) == []
