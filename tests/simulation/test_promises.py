"""The promises of ``docs/waiting.md``: which hold in every history, and which are known to be broken still."""

from __future__ import annotations

import pytest

from tests.simulation.campaign import tally
from tests.simulation.cases import Case
from tests.simulation.closed_classes import CLOSED
from tests.simulation.invariants import judge
from tests.simulation.open_classes import OPEN
from tests.simulation.simulation import play

#: In every run of the tests; `make simulate SEEDS=10000` goes on from here.
SEEDS = 500


def broken_by(case: Case) -> set[str]:
    return {violation.kind for violation in judge(play(case.history))}


@pytest.mark.parametrize("case", OPEN, ids=str)
def test_open_class_is_still_broken_by_its_history(case: Case) -> None:
    assert case.kind in broken_by(case), f"{case} is kept now: move its row from OPEN to CLOSED"


@pytest.mark.slow
@pytest.mark.parametrize("case", CLOSED, ids=str)
def test_history_that_broke_a_promise_once_does_not_any_more(case: Case) -> None:
    assert broken_by(case) == set()


@pytest.mark.slow
def test_seeds_break_nothing_but_what_is_known_to_be_open() -> None:
    found = tally(0, SEEDS)
    assert set(found.broken) - {case.kind for case in OPEN} == set()
    assert found.workloads > SEEDS
