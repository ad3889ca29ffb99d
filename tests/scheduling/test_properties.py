"""What holds whatever happens: no GPU given twice, nothing taken that may not be taken, and peace in the end."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.emulator.scheduler import Assign, Evict, Job, Queue, StayQueued, schedule

PROJECTS = ("a", "b", "c")
_WHOLE = (1.0, 1.0, 2.0, 3.0)
_MIXED = (0.0, 0.1, 0.25, 0.5, 0.9, 1.0, 2.0, 3.0)


def _jobs(*sizes: float) -> st.SearchStrategy[list[Job]]:
    """Jobs with up to three equal or different pods of these sizes."""
    pods = st.lists(st.sampled_from(sizes), min_size=1, max_size=3).map(tuple)
    job = st.builds(
        Job,
        id=st.uuids().map(str),
        project=st.sampled_from(PROJECTS),
        pods=pods,
        priority=st.sampled_from((25, 40, 80, 125)),
        preemptible=st.booleans(),
        submitted=st.integers(0, 100).map(float),
        avoid=st.sets(st.sampled_from(("n0", "n1"))).map(frozenset),
    )
    return st.lists(job, max_size=14)


clusters = st.lists(st.integers(0, 4), min_size=1, max_size=3).map(
    lambda gpus: {f"n{number}": count for number, count in enumerate(gpus)}
)
quotas = st.tuples(
    st.integers(0, 3), st.none() | st.integers(0, 4), st.sampled_from((0.0, 1.0, 1.0, 3.0))
)
tenants = st.tuples(quotas, quotas, quotas).map(
    lambda three: [
        Queue(name, float(quota), limit, weight)
        for name, (quota, limit, weight) in zip(PROJECTS, three, strict=True)
    ]
)


class World:
    """
    Applies decisions, and checks them.

    :param pauses: cycles that the next evicted jobs take to end, over and over.
    """

    def __init__(
        self,
        nodes: dict[str, int],
        queues: Sequence[Queue],
        flaws: bool = False,
        pauses: Sequence[int] = (1,),
    ) -> None:
        self.nodes, self.queues, self.flaws = nodes, queues, flaws
        self.jobs: dict[str, Job] = {}
        self._pauses = deque(pauses)
        self._ends: dict[str, int] = {}

    def run(self, limit: int = 100) -> None:
        """Step until nothing changes any more."""
        for _ in range(limit):
            if not self.step() and not self._ends:
                return
        raise AssertionError(f"still changing after {limit} cycles")

    def step(self) -> bool:
        """Live through one cycle; tell whether anything was decided."""
        self._let_go()
        decisions = schedule(self.nodes, self.queues, self.jobs.values(), flaws=self.flaws)
        assert len({one.job for one in decisions}) == len(decisions), "a job is named twice"
        for one in decisions:
            job = self.jobs[one.job]
            if isinstance(one, Assign):
                assert not job.placed
                self.jobs[job.id] = replace(job, placed=one.slots, claims=False)
            elif isinstance(one, Evict):
                self._evict(job, one)
            else:
                self.jobs[job.id] = replace(job, claims=one.claims)
            self._check()
        return not all(isinstance(one, StayQueued) for one in decisions)

    def used(self, project: str) -> float:
        """Count the GPUs of those who stay."""
        return sum(
            sum(one.pods) for one in self.jobs.values() if one.project == project and _stays(one)
        )

    def _let_go(self) -> None:
        for name, cycles in list(self._ends.items()):
            if cycles > 1:
                self._ends[name] = cycles - 1
            else:
                del self._ends[name]
                self.jobs[name] = replace(self.jobs[name], placed=(), leaving=False)

    def _evict(self, job: Job, decision: Evict) -> None:
        assert job.placed
        assert job.preemptible, "a non-preemptible workload was evicted"
        cause = self.jobs[decision.cause]
        assert decision.by != "preempt" or (
            cause.project == job.project and cause.priority > job.priority
        )
        assert decision.by != "reclaim" or cause.project != job.project
        assert decision.by != "consolidation" or cause.preemptible
        self.jobs[job.id] = replace(job, leaving=True, claims=decision.claims)
        self._ends[job.id] = self._pauses[0]
        self._pauses.rotate(-1)

    def _check(self) -> None:
        taken: Counter[tuple[str, int]] = Counter()
        for one in self.jobs.values():
            for slot, wanted in zip(one.placed, one.pods, strict=bool(one.placed)):
                assert slot.share * len(slot.gpus) == pytest.approx(wanted)
                for gpu in slot.gpus:
                    assert gpu < self.nodes[slot.node], "a GPU that does not exist"
                    taken[slot.node, gpu] += round(slot.share * 10_000)
        assert all(parts <= 10_000 for parts in taken.values()), "a GPU was given away twice"
        for queue in self.queues:
            mine = [one for one in self.jobs.values() if one.project == queue.name and _stays(one)]
            firm = sum(sum(one.pods) for one in mine if not one.preemptible)
            assert firm <= queue.deserved + 1e-6, "what cannot be taken back was lent"
            assert self.used(queue.name) <= queue.ceiling + 1e-6, "a project is over its limit"


def _stays(job: Job) -> bool:
    return bool(job.placed) and not job.leaving


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    nodes=clusters,
    queues=tenants,
    waves=st.lists(_jobs(*_MIXED), min_size=1, max_size=3),
    pauses=st.lists(st.integers(1, 4), min_size=1, max_size=4),
)
def test_nothing_is_given_twice_or_taken_from_whom_it_must_not_be_and_it_always_settles(
    nodes: dict[str, int], queues: list[Queue], waves: list[list[Job]], pauses: list[int]
) -> None:
    world = World(nodes, queues, pauses=pauses)
    for wave in waves:
        world.jobs |= {one.id: one for one in wave}
        world.run()


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    nodes=clusters,
    queues=tenants,
    waves=st.lists(_jobs(*_WHOLE), min_size=1, max_size=3),
    pauses=st.lists(st.integers(1, 4), min_size=1, max_size=4),
)
def test_the_same_holds_with_flaws(
    nodes: dict[str, int], queues: list[Queue], waves: list[list[Job]], pauses: list[int]
) -> None:
    world = World(nodes, queues, flaws=True, pauses=pauses)
    for wave in waves:
        world.jobs |= {one.id: replace(one, avoid=frozenset()) for one in wave}
        world.run()


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(waves=st.lists(_jobs(1.0), min_size=1, max_size=3))
def test_guaranteed_quota_is_always_regained(waves: list[list[Job]]) -> None:
    """Quotas sum to the GPUs there are: nobody within quota waits in the end."""
    world = World({"n0": 2, "n1": 2, "n2": 1}, [Queue("a", 2.0), Queue("b", 2.0), Queue("c", 1.0)])
    for wave in waves:
        world.jobs |= {one.id: one for one in wave}
        world.run()
    quota = {queue.name: queue.deserved for queue in world.queues}
    for one in world.jobs.values():
        if not one.placed and one.preemptible:
            assert world.used(one.project) + len(one.pods) > quota[one.project]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(jobs=_jobs(1.0))
def test_no_lesser_workload_of_a_project_runs_while_a_greater_one_of_its_size_waits(
    jobs: list[Job],
) -> None:
    world = World({"n0": 2, "n1": 2}, [Queue("a", 2.0), Queue("b", 2.0), Queue("c", 0.0)])
    world.jobs = {one.id: replace(one, pods=(1.0,), preemptible=True) for one in jobs}
    world.run()
    for waiting in (one for one in world.jobs.values() if not one.placed):
        mine = [one for one in world.jobs.values() if one.project == waiting.project and one.placed]
        assert all(one.priority >= waiting.priority for one in mine)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(nodes=clusters, queues=tenants, jobs=_jobs(*_MIXED))
def test_nothing_stays_idle_that_somebody_may_have(
    nodes: dict[str, int], queues: list[Queue], jobs: list[Job]
) -> None:
    """Whatever the fair shares: asking again alone, nobody who waits would be placed."""
    world = World(nodes, queues)
    world.jobs = {one.id: one for one in jobs}
    world.run()
    running = [one for one in world.jobs.values() if one.placed]
    for waiting in (one for one in world.jobs.values() if not one.placed):
        assert not any(
            isinstance(one, Assign) for one in schedule(nodes, queues, [*running, waiting])
        )
