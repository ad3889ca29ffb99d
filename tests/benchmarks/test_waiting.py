"""The goals of waiting, in virtual time: how busy the machine is changes the figures little."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import pytest

from tests.benchmarks.waiting import ROOT, memory_of_a_wait
from tests.benchmarks.waiting_figures import Figures
from tests.benchmarks.waiting_goals import GOALS, MEMORY_BOUND, Goal, bounds, play, reached, table
from tests.benchmarks.waiting_scenarios import Scenario

DAILY, RARE = ([goal for goal in GOALS if goal.qualify is rare] for rare in (False, True))


@cache
def figures(rare: bool) -> Mapping[Scenario, Figures]:
    return play(RARE if rare else DAILY)


@pytest.mark.slow
@pytest.mark.parametrize("goal", DAILY, ids=str)
def test_goal_is_reached(goal: Goal) -> None:
    assert reached(goal, figures(rare=False)) <= goal.bound


@pytest.mark.qualify
@pytest.mark.parametrize("goal", RARE, ids=str)
def test_goal_of_many_waits_is_reached(goal: Goal) -> None:
    assert reached(goal, figures(rare=True)) <= goal.bound


@pytest.mark.qualify
def test_a_wait_takes_little_memory() -> None:
    assert memory_of_a_wait() <= 1000 * MEMORY_BOUND


def test_the_table_of_the_documentation_is_of_this_benchmark() -> None:
    """
    Its numbers were measured some day; its rows and bounds are these, and the numbers keep them.
    """
    text = (ROOT / "docs" / "waiting.md").read_text()
    found = re.search(r"<!-- measured: waiting -->\n(.*?)\n<!-- end -->", text, re.DOTALL)
    assert found is not None
    measured = [float(line.split("|")[2]) for line in found[1].splitlines()[2:]]
    assert found[1] == table(measured)
    assert all(figure <= bound for figure, (_, bound) in zip(measured, bounds(), strict=True))
