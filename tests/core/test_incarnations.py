"""Which incarnation of a workload runs or leaves, by what a wait says."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.core.incarnations import pod_at, sighting
from airflow_runai.core.outcome import news
from airflow_runai.core.timeline import Moment, clocks

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
    for at, (phase, number, runs, has_left) in enumerate(OVER_AND_OVER, start=1):
        timeline = (*timeline, Moment(float(at), phase))
        seen = sighting(news(timeline, clocks(timeline, at + 0.5), phase))
        assert (seen.runs, seen.has_left, seen.since) == (runs, has_left, float(at)), phase
        if runs or has_left:
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
    assert pod_at(pods, nine + 5)["name"] == "first"
    assert pod_at(pods, nine + 3605)["name"] == "second"
    assert pod_at([], nine) == {}
