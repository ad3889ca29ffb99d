"""The scheduler's one step, as tables of cases and as properties of any sequence of steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.emulator.placement import Slot
from airflow_runai.emulator.scheduler import OVER_QUOTA, Decision, Evict, Job, Place, Wait, plan

NODES = {"n1": 2, "n2": 2}
QUOTAS = {"a": 2.0, "b": 2.0}


def job(name: str, project: str = "a", *pods: float, **more: object) -> Job:
    return Job(id=name, project=project, pods=pods or (1.0,), **more)  # type: ignore[arg-type]  # keyword table


def on(one: Job, *slots: tuple[str, tuple[int, ...]]) -> Job:
    return replace(one, placed=tuple(Slot(node, gpus) for node, gpus in slots))


def step(jobs: Sequence[Job], nodes: dict[str, int] = NODES) -> list[Decision]:
    return plan(nodes, QUOTAS, jobs)


def evicted(decisions: Sequence[Decision]) -> dict[str, str]:
    return {one.job: one.message for one in decisions if isinstance(one, Evict)}


def placed(decisions: Sequence[Decision]) -> dict[str, tuple[Slot, ...]]:
    return {one.job: one.slots for one in decisions if isinstance(one, Place)}


FULL = [
    on(job("a1", submitted=1), ("n1", (0,))),
    on(job("a2", submitted=2), ("n1", (1,))),
    on(job("a3", submitted=3), ("n2", (0,))),
    on(job("a4", submitted=4), ("n2", (1,))),
]


def test_free_gpus_may_be_borrowed_over_quota() -> None:
    assert set(placed(step([job(f"a{number}") for number in range(5)]))) == {"a0", "a1", "a2", "a3"}


def test_quota_is_reclaimed_from_the_youngest_borrower() -> None:
    assert evicted(step([*FULL, job("b1", "b")])) == {"a4": "Preempted: GPUs reclaimed by project b"}


def test_reclaim_stops_at_the_quota_of_the_borrower() -> None:
    decisions = step([*FULL, *(job(f"b{number}", "b", submitted=number) for number in range(3))])
    assert set(evicted(decisions)) == {"a4", "a3"}


def test_nobody_else_is_stopped_while_gpus_are_being_released() -> None:
    leaving = [*FULL[:3], replace(FULL[3], leaving=True), job("b1", "b")]
    decisions = step(leaving)
    assert evicted(decisions) == {}
    assert [one.message for one in decisions if isinstance(one, Wait)] == ["Waiting for GPUs that are being released"]


def test_released_gpus_are_not_grabbed_by_a_borrower() -> None:
    decisions = step([*FULL[:3], job("b1", "b", 2.0, submitted=9), job("a5", submitted=0)])
    assert "a5" not in placed(decisions)
    assert set(evicted(decisions)) == {"a3"}


def test_higher_priority_preempts_the_lowest_of_its_own_project() -> None:
    jobs = [replace(one, priority=priority) for one, priority in zip(FULL, (40, 40, 25, 80), strict=True)]
    decisions = step([*jobs, job("urgent", priority=125)])
    assert evicted(decisions) == {"a3": "Preempted by higher priority workload urgent"}


def test_equal_priority_preempts_nobody() -> None:
    assert evicted(step([*FULL, job("a5", priority=50)])) == {}


def test_priority_does_not_reach_into_another_project() -> None:
    jobs = [*FULL[:2], *(replace(one, project="b") for one in FULL[2:]), job("a5", priority=150)]
    assert set(evicted(step([replace(one, priority=25) if one.project == "b" else one for one in jobs]))) <= {
        "a1",
        "a2",
    }


def test_non_preemptible_never_borrows() -> None:
    decisions = step([job("firm", "a", 3.0, preemptible=False)], {"n1": 4})
    assert [(one.job, one.reason) for one in decisions if isinstance(one, Wait)] == [("firm", OVER_QUOTA)]


def test_non_preemptible_is_never_stopped() -> None:
    firm = [replace(one, preemptible=False) for one in FULL[:2]]
    assert set(evicted(step([*firm, *FULL[2:], job("b1", "b"), job("b2", "b")]))) == {"a3", "a4"}


def test_fractions_share_one_gpu() -> None:
    decisions = placed(step([job("x", "a", 0.5), job("y", "a", 0.5), job("z", "a", 0.25)]))
    assert decisions["x"] == decisions["y"] == (Slot("n1", (0,), 0.5),)
    assert decisions["z"] != decisions["x"]


def test_three_tenths_fit_ten_times_in_three() -> None:
    assert len(placed(step([job(f"j{number}", "a", 0.1) for number in range(10)], {"n1": 1}))) == 10


def test_gang_spans_nodes() -> None:
    assert {slot.node for slot in placed(step([job("gang", "a", 1.0, 1.0, 1.0)]))["gang"]} == {"n1", "n2"}


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


# -- properties -------------------------------------------------------------------------------------------

PROJECTS = ("a", "b", "c")
wholes = st.lists(
    st.builds(
        Job,
        id=st.uuids().map(str),
        project=st.sampled_from(PROJECTS),
        pods=st.lists(st.just(1.0), min_size=1, max_size=3).map(tuple),
        priority=st.sampled_from((25, 40, 80, 125)),
        preemptible=st.booleans(),
        submitted=st.integers(0, 100).map(float),
    ),
    max_size=14,
)
mixed = st.lists(
    st.builds(
        Job,
        id=st.uuids().map(str),
        project=st.sampled_from(PROJECTS),
        pods=st.lists(st.sampled_from((0.0, 0.1, 0.25, 0.5, 0.9, 1.0, 2.0, 3.0)), min_size=1, max_size=3).map(tuple),
        priority=st.sampled_from((25, 40, 80, 125)),
        preemptible=st.booleans(),
        submitted=st.integers(0, 100).map(float),
        avoid=st.sets(st.sampled_from(("n0", "n1"))).map(frozenset),
    ),
    max_size=14,
)
clusters = st.lists(st.integers(0, 4), min_size=1, max_size=3).map(
    lambda gpus: {f"n{number}": count for number, count in enumerate(gpus)}
)


class World:
    """Applies decisions; those who are told to go are gone one step later."""

    def __init__(self, nodes: dict[str, int], quotas: dict[str, float]) -> None:
        self.nodes, self.quotas = nodes, quotas
        self.jobs: dict[str, Job] = {}

    def run(self, limit: int = 60) -> int:
        """Step until nothing changes; give the number of steps."""
        for count in range(limit):
            before = dict(self.jobs)
            self.step()
            if self.jobs == before:
                return count
        raise AssertionError(f"still changing after {limit} steps")

    def step(self) -> None:
        decisions = plan(self.nodes, self.quotas, self.jobs.values())
        for one in self.jobs.values():
            if one.leaving:
                self.jobs[one.id] = replace(one, placed=(), leaving=False)
        for decision in decisions:
            one = self.jobs[decision.job]
            if isinstance(decision, Place):
                assert not one.placed
                assert len(decision.slots) == len(one.pods)
                self.jobs[one.id] = replace(one, placed=decision.slots, claims=False)
            elif isinstance(decision, Evict):
                assert one.preemptible, "a non-preemptible workload was evicted"
                self.jobs[one.id] = replace(one, leaving=True)
            else:
                self.jobs[one.id] = replace(one, claims=decision.claims)
            self.check()

    def check(self) -> None:
        taken: Counter[tuple[str, int]] = Counter()
        for one in self.jobs.values():
            for slot, wanted in zip(one.placed, one.pods, strict=bool(one.placed)):
                assert slot.share * len(slot.gpus) == pytest.approx(wanted)
                for gpu in slot.gpus:
                    assert gpu < self.nodes[slot.node], "a GPU that does not exist"
                    taken[slot.node, gpu] += round(slot.share * 10_000)
        assert all(parts <= 10_000 for parts in taken.values()), "a GPU was given away twice"
        firm = Counter[str]()
        for one in self.jobs.values():
            if one.placed and not one.preemptible:
                firm[one.project] += round(sum(one.pods) * 10_000)
        assert all(parts <= self.quotas[project] * 10_000 for project, parts in firm.items())

    def used(self, project: str) -> float:
        return sum(sum(one.pods) for one in self.jobs.values() if one.project == project and one.placed)


@settings(max_examples=150, deadline=None)
@given(nodes=clusters, waves=st.lists(mixed, min_size=1, max_size=3))
def test_no_gpu_is_given_away_twice_and_it_always_settles(nodes: dict[str, int], waves: list[list[Job]]) -> None:
    world = World(nodes, {"a": 2.0, "b": 1.0, "c": 0.0})
    for wave in waves:
        world.jobs |= {one.id: one for one in wave}
        world.run()


@settings(max_examples=200, deadline=None)
@given(waves=st.lists(wholes, min_size=1, max_size=3))
def test_guaranteed_quota_is_always_regained(waves: list[list[Job]]) -> None:
    """Quotas sum to the GPUs there are: nobody within quota waits in the end."""
    world = World({"n0": 2, "n1": 2, "n2": 1}, {"a": 2.0, "b": 2.0, "c": 1.0})
    for wave in waves:
        world.jobs |= {one.id: one for one in wave}
        world.run()
    for one in world.jobs.values():
        if not one.placed and one.preemptible:
            assert world.used(one.project) + len(one.pods) > world.quotas[one.project]


@settings(max_examples=100, deadline=None)
@given(jobs=wholes)
def test_no_lesser_workload_of_a_project_runs_while_a_greater_one_of_its_size_waits(jobs: list[Job]) -> None:
    world = World({"n0": 2, "n1": 2}, {"a": 2.0, "b": 2.0, "c": 0.0})
    world.jobs = {one.id: replace(one, pods=(1.0,), preemptible=True) for one in jobs}
    world.run()
    for waiting in (one for one in world.jobs.values() if not one.placed):
        mine = [one for one in world.jobs.values() if one.project == waiting.project and one.placed]
        assert all(one.priority >= waiting.priority for one in mine)
