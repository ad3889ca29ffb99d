"""A real triggerer on PostgreSQL: what does not depend on how busy the machine is."""

from __future__ import annotations

from functools import cache

import pytest

from tests.benchmarks.real_triggerer import Figures, measure

WAITS, ENDS = 1000, 50


@cache
def measured(get_logs: str) -> Figures:
    """Each takes five minutes."""
    found = measure(WAITS, ENDS, get_logs)
    print(found)
    return found


@pytest.mark.qualify
@pytest.mark.parametrize("get_logs", ["off", "tail"])
def test_a_thousand_deferred_tasks_start_cheaply_and_bear_a_storm(get_logs: str) -> None:
    found = measured(get_logs)
    assert found.statements <= 20
    assert found.resumed == found.ended
    assert found.writes <= 1000
    assert (found.downloads > 0) == (get_logs != "off")


@pytest.mark.qualify
def test_in_a_storm_logs_hold_up_no_other_end() -> None:
    assert measured("tail").resumed_p99 <= 1.25 * measured("off").resumed_p99
