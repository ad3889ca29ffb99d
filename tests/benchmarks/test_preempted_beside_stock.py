"""What users of the stock Job operator gain when a training is preempted."""

from __future__ import annotations

from functools import cache

import pytest

from tests.benchmarks.preempted_beside_stock import STEPS, Preempted, compare, table

pytestmark = [pytest.mark.rig, pytest.mark.qualify]


@cache
def measured() -> dict[tuple[str, int], Preempted]:
    found = compare()
    print(table(found))
    return {(one.operator, one.exit_code): one for one in found}


def test_the_stock_operator_takes_an_eviction_for_success_if_the_exit_code_is_0() -> None:
    found = measured()["KubernetesJobOperator", 0]
    assert found.state == "success"
    assert found.steps < STEPS


def test_ours_says_that_such_a_training_is_not_finished() -> None:
    found = measured()["RunaiTrainingOperator", 0]
    assert found.state == "failed"
    assert "its pod was taken away and ended with exit code 0" in found.words


def test_both_finish_a_training_that_exits_with_143() -> None:
    for operator in ("KubernetesJobOperator", "RunaiTrainingOperator"):
        found = measured()[operator, 143]
        assert (found.state, found.steps) == ("success", STEPS)


def test_only_ours_names_the_preemption_and_shows_the_log_of_each_pod() -> None:
    stock, ours = (
        measured()[operator, 143] for operator in ("KubernetesJobOperator", "RunaiTrainingOperator")
    )
    assert (stock.names_preemption, stock.pods) == (False, 0)
    assert (ours.names_preemption, ours.pods) == (True, 2)
