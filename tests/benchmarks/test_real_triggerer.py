"""A real triggerer on PostgreSQL: what does not depend on how busy the machine is."""

from __future__ import annotations

import pytest

from tests.benchmarks.real_triggerer import measure


@pytest.mark.qualify
def test_a_thousand_deferred_tasks_start_cheaply_and_bear_a_storm() -> None:
    found = measure(waits=1000, ends=50)
    print(found)
    assert found.statements <= 20
    assert found.resumed == found.ended
    assert found.writes <= 1000
