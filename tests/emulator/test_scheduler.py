"""
The scheduler's one step, case by case.

The rules that are KAI's are in ``tests/scheduling``, and so is what holds for any sequence of
steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from airflow_runai.emulator.placement import Slot
from airflow_runai.emulator.scheduler import (
    OVER_QUOTA,
    Assign,
    Decision,
    Evict,
    Job,
    Queue,
    StayQueued,
    schedule,
)

NODES = {"n1": 2, "n2": 2}
QUEUES = (Queue("a", 2.0), Queue("b", 2.0))


def job(name: str, project: str = "a", *pods: float, **more: object) -> Job:
    return Job(id=name, project=project, pods=pods or (1.0,), **more)  # type: ignore[arg-type]  # keyword table


def on(one: Job, *slots: tuple[str, tuple[int, ...]]) -> Job:
    return replace(one, placed=tuple(Slot(node, gpus) for node, gpus in slots))


def step(jobs: Sequence[Job], nodes: dict[str, int] = NODES) -> list[Decision]:
    return schedule(nodes, QUEUES, jobs)


def evicted(decisions: Sequence[Decision]) -> dict[str, str]:
    return {one.job: one.message for one in decisions if isinstance(one, Evict)}


def placed(decisions: Sequence[Decision]) -> dict[str, tuple[Slot, ...]]:
    return {one.job: one.slots for one in decisions if isinstance(one, Assign)}


FULL = [
    on(job("a1", submitted=1), ("n1", (0,))),
    on(job("a2", submitted=2), ("n1", (1,))),
    on(job("a3", submitted=3), ("n2", (0,))),
    on(job("a4", submitted=4), ("n2", (1,))),
]


def test_free_gpus_may_be_borrowed_over_quota() -> None:
    assert set(placed(step([job(f"a{number}") for number in range(5)]))) == {"a0", "a1", "a2", "a3"}


def test_quota_is_reclaimed_from_the_youngest_borrower() -> None:
    assert evicted(step([*FULL, job("b1", "b")])) == {
        "a4": "Preempted: GPUs reclaimed by project b"
    }


def test_reclaim_stops_at_the_quota_of_the_borrower() -> None:
    decisions = step([*FULL, *(job(f"b{number}", "b", submitted=number) for number in range(3))])
    assert set(evicted(decisions)) == {"a4", "a3"}


def test_nobody_else_is_stopped_while_gpus_are_being_released() -> None:
    leaving = [*FULL[:3], replace(FULL[3], leaving=True), job("b1", "b")]
    decisions = step(leaving)
    assert evicted(decisions) == {}
    assert [one.message for one in decisions if isinstance(one, StayQueued)] == [
        "Waiting for GPUs that are being released"
    ]


def test_released_gpus_are_kept_for_the_one_they_are_released_for() -> None:
    jobs = [
        *FULL[:2],
        replace(FULL[3], leaving=True),
        job("b1", "b", 2.0, submitted=9),
        job("a5", submitted=0),
    ]
    decisions = step(jobs)
    assert not placed(decisions)
    assert not evicted(decisions)
    assert {one.job: one.claims for one in decisions if isinstance(one, StayQueued)} == {
        "b1": True,
        "a5": False,
    }


def test_who_claims_gpus_goes_first() -> None:
    """They were released for it; the others had to go for it."""
    jobs = [
        *FULL[:2],
        job("b1", "b", submitted=1),
        job("b2", "b", submitted=2),
        job("a5", "a", 2.0, claims=True),
    ]
    assert set(placed(step(jobs))) == {"a5"}


def test_higher_priority_preempts_the_lowest_of_its_own_project() -> None:
    jobs = [
        replace(one, priority=priority)
        for one, priority in zip(FULL, (40, 40, 25, 80), strict=True)
    ]
    decisions = step([*jobs, job("urgent", priority=125)])
    assert evicted(decisions) == {"a3": "Preempted by higher priority workload urgent"}


def test_equal_priority_preempts_nobody() -> None:
    assert evicted(step([*FULL, job("a5", priority=50)])) == {}


def test_priority_does_not_reach_into_another_project() -> None:
    jobs = [*FULL[:2], *(replace(one, project="b") for one in FULL[2:]), job("a5", priority=150)]
    assert set(
        evicted(step([replace(one, priority=25) if one.project == "b" else one for one in jobs]))
    ) <= {
        "a1",
        "a2",
    }


def test_non_preemptible_never_borrows() -> None:
    decisions = step([job("firm", "a", 3.0, preemptible=False)], {"n1": 4})
    assert [(one.job, one.reason) for one in decisions if isinstance(one, StayQueued)] == [
        ("firm", OVER_QUOTA)
    ]


def test_non_preemptible_is_never_stopped() -> None:
    firm = [replace(one, preemptible=False) for one in FULL[:2]]
    assert set(evicted(step([*firm, *FULL[2:], job("b1", "b"), job("b2", "b")]))) == {"a3", "a4"}


def test_fractions_share_one_gpu() -> None:
    decisions = placed(step([job("x", "a", 0.5), job("y", "a", 0.5), job("z", "a", 0.25)]))
    assert decisions["x"] == decisions["y"] == (Slot("n1", (0,), 0.5),)
    assert decisions["z"] != decisions["x"]


def test_three_tenths_fit_ten_times_in_three() -> None:
    assert len(placed(step([job(f"j{number}", "a", 0.1) for number in range(10)], {"n1": 1}))) == 10


@pytest.mark.parametrize("share", [0.07, 0.29, 0.57, 0.9999])
def test_share_fits_where_exactly_so_much_is_left(share: float) -> None:
    other = replace(job("x", "a", 1 - share), placed=(Slot("n1", (0,), 1 - share),))
    assert set(placed(step([other, job("y", "a", share)], {"n1": 1}))) == {"y"}


def test_pods_on_devices_that_are_no_longer_there_may_be_stopped() -> None:
    jobs = [
        on(job("a1"), ("n1", (0,))),
        on(job("a2", submitted=1), ("n1", (5,))),
        job("urgent", priority=75),
    ]
    assert evicted(step(jobs, {"n1": 1})).keys() == {"a1", "a2"}


def test_gang_spans_nodes() -> None:
    assert {slot.node for slot in placed(step([job("gang", "a", 1.0, 1.0, 1.0)]))["gang"]} == {
        "n1",
        "n2",
    }


def test_gang_starts_whole_or_not_at_all() -> None:
    assert placed(step([*FULL[:2], job("gang", "b", 1.0, 1.0, 1.0)])) == {}


def test_big_pod_needs_one_node() -> None:
    scattered = [on(job("a1"), ("n1", (0,))), on(job("a2"), ("n2", (0,)))]
    assert placed(step([*scattered, job("big", "b", 2.0)])) == {}


def test_only_those_in_the_way_are_stopped() -> None:
    """Over quota with three; only the ones on one node help a pod that needs a whole node."""
    jobs = [FULL[0], FULL[2], FULL[3], on(job("a9", submitted=9), ("n1", (1,)))]
    assert set(evicted(step([*jobs, job("big", "b", 2.0)]))) in ({"a1", "a9"}, {"a3", "a4"})


def test_last_node_is_avoided_when_another_is_free() -> None:
    assert placed(step([job("again", avoid=frozenset({"n1"}))]))["again"][0].node == "n2"


def test_last_node_is_taken_when_nothing_else_is_free() -> None:
    jobs = [*FULL[2:], job("again", avoid=frozenset({"n1"}))]
    assert placed(step(jobs))["again"][0].node == "n1"


def test_workload_without_gpu_always_fits() -> None:
    assert placed(step([*FULL, job("cpu", "b", 0.0)]))["cpu"][0].gpus == ()


def test_the_poorer_project_goes_first() -> None:
    jobs = [*FULL[:3], job("a9", submitted=0), job("b9", "b", submitted=9)]
    assert set(placed(step(jobs))) == {"b9"}
