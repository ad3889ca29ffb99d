"""
The rules of KAI, one small case each.

A job is written ``NAME QUEUE PODSxGPUS@NODE,NODE PRIORITY!``: nodes only if it runs, ``!`` if it is
not preemptible. The later in the list, the younger. Where a recorded scenario shows the same, it is
named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from airflow_runai.emulator.placement import Slot
from airflow_runai.emulator.scheduler import (
    OVER_LIMIT,
    OVER_QUOTA,
    Assign,
    Evict,
    Job,
    Queue,
    StayQueued,
    schedule,
)


@dataclass(frozen=True)
class Case:
    """
    A picture and what must come of it.

    :param nodes: GPUs of ``n1``, ``n2``, …
    :param queues: the oldest first.
    :param placed: nodes of each job that starts.
    :param evicted: the action that stops each job that goes.
    """

    nodes: Sequence[int]
    queues: Sequence[Queue]
    jobs: Sequence[str]
    placed: dict[str, str]
    evicted: dict[str, str]


A1, B1, A0, B0 = Queue("a", 1), Queue("b", 1), Queue("a", 0), Queue("b", 0)
FOUR = ("a1 a 1x1@n1 50", "a2 a 1x1@n1 50", "a3 a 1x1@n1 50", "a4 a 1x1@n1 50")

ORDER = {
    "the more important, then the older": Case(
        [2], [A1], ["a1 a 1x1 50", "a2 a 1x1 75", "a3 a 1x1 50"], {"a2": "n1", "a1": "n1"}, {}
    ),
    "who is within quota, whatever the priority": Case(
        [2], [A1, B1], ["a1 a 1x1@n1 75", "a2 a 1x1 75", "b1 b 1x1 50"], {"b1": "n1"}, {}
    ),
    "the older queue of equals, whatever the priority (h20)": Case(
        [1], [A0, B0], ["b1 b 1x1 75", "a1 a 1x1 50"], {"a1": "n1"}, {}
    ),
    "who would have less of the share": Case(
        [6],
        [Queue("a", 1), Queue("b", 3)],
        ["a1 a 1x1@n1 50", "b1 b 3x1@n1,n1,n1 50", "a2 a 1x1 50", "b2 b 1x1 50", "b3 b 1x1 50"],
        {"b2": "n1", "a2": "n1"},
        {},
    ),
    "who does not fit is passed over (h24)": Case(
        [2], [A0], ["a1 a 1x3 75", "a2 a 1x1 50"], {"a2": "n1"}, {}
    ),
}
RECLAIM = {
    "what is idle goes to anybody": Case(
        [2], [Queue("a", 0, weight=0)], ["a1 a 1x1 50"], {"a1": "n1"}, {}
    ),
    "equal borrowers end equal (h14)": Case(
        [4],
        [A0, B0],
        [*FOUR, "b1 b 1x1 50", "b2 b 1x1 50", "b3 b 1x1 50"],
        {},
        {"a4": "reclaim", "a3": "reclaim"},
    ),
    "by weight (h13)": Case(
        [4],
        [Queue("a", 0, weight=3), B0],
        [*FOUR, "b1 b 1x1 50", "b2 b 1x1 50"],
        {},
        {"a4": "reclaim"},
    ),
    "a queue without weight gets back its quota only": Case(
        [4],
        [A0, Queue("b", 1, weight=0)],
        [*FOUR, "b1 b 1x1 50", "b2 b 1x1 50"],
        {},
        {"a4": "reclaim"},
    ),
    "not from one that has no more than its share": Case(
        [2], [A0, B0], ["a1 a 1x1@n1 50", "b1 b 1x1@n1 50", "b2 b 1x1 50"], {}, {}
    ),
    "from the queue that has most over its share, not the youngest of all (h50)": Case(
        [6],
        [Queue("a", 1), Queue("b", 2), Queue("c", 3)],
        [*FOUR[:3], "b1 b 1x1@n1 50", "b2 b 1x1@n1 50", "b3 b 1x1@n1 50", "c1 c 1x1 50"],
        {},
        {"a3": "reclaim"},
    ),
    "the least important, then the youngest": Case(
        [3],
        [A0, B1],
        ["a1 a 1x1@n1 50", "a2 a 1x1@n1 50", "a3 a 1x1@n1 75", "b1 b 1x1 50"],
        {},
        {"a2": "reclaim"},
    ),
    "a victim may be larger than the excess (h16)": Case(
        [3], [Queue("a", 2), B1], ["a1 a 1x3@n1 50", "b1 b 1x1 50"], {}, {"a1": "reclaim"}
    ),
    "a gang goes whole": Case(
        [2, 2], [A0, B1], ["a1 a 2x2@n1,n2 50", "b1 b 1x1 50"], {}, {"a1": "reclaim"}
    ),
    "a gang asks whole": Case([2], [A0, B1], ["a1 a 1x2@n1 50", "b1 b 2x1 50"], {}, {}),
    "nobody who is not preemptible": Case(
        [1], [A1, B1], ["a1 a 1x1@n1 100!", "b1 b 1x1 50"], {}, {}
    ),
    "before preemption (h38)": Case(
        [2],
        [Queue("a", 2), B0],
        ["a1 a 1x1@n1 50", "b1 b 1x1@n1 50", "a2 a 1x1 75"],
        {},
        {"b1": "reclaim"},
    ),
}
CONSOLIDATION = {
    "moves one that finds another place (h21)": Case(
        [2, 2],
        [Queue("a", 4)],
        ["a1 a 1x1@n1 50", "a2 a 1x1@n2 50", "a3 a 1x2 50"],
        {},
        {"a2": "consolidation"},
    ),
    "of a queue within its quota, too, and for one over it (h23)": Case(
        [2, 2],
        [Queue("a", 2), B0],
        ["a1 a 1x1@n1 50", "a2 a 1x1@n2 50", "b1 b 1x2 50"],
        {},
        {"a2": "consolidation"},
    ),
    "not for one that is not preemptible (h22)": Case(
        [2, 2],
        [Queue("a", 4)],
        ["a1 a 1x1@n1 50", "a2 a 1x1@n2 50", "a3 a 1x2 100!"],
        {},
        {"a2": "preempt"},
    ),
    "not if one would lose its place": Case(
        [2, 2],
        [Queue("a", 4)],
        ["a1 a 1x1@n1 50", "a2 a 1x1@n2 50", "a3 a 1x1@n2 50", "a4 a 1x2 50"],
        {},
        {},
    ),
    "before preemption (h45)": Case(
        [2, 2],
        [Queue("a", 4)],
        ["a1 a 1x1@n1 50", "a2 a 1x1@n2 50", "a3 a 1x2 75"],
        {},
        {"a2": "consolidation"},
    ),
}
PREEMPTION = {
    "of the less important, over quota, too (h08)": Case(
        [2], [A0], ["a1 a 1x1@n1 50", "a2 a 1x1@n1 75", "a3 a 1x1 75"], {}, {"a1": "preempt"}
    ),
    "not of equals": Case([1], [A1], ["a1 a 1x1@n1 50", "a2 a 1x1 50"], {}, {}),
    "not in another queue": Case(
        [2], [A1, B1], ["a1 a 1x1@n1 50", "b1 b 1x1@n1 25", "a2 a 1x1 50"], {}, {}
    ),
    "of the first that are enough, not of the fewest (h55)": Case(
        [2, 2],
        [Queue("a", 4)],
        ["a1 a 1x1@n1 50", "a2 a 1x1@n1 50", "a3 a 1x2@n2 75", "a4 a 1x2 100"],
        {},
        {"a1": "preempt", "a2": "preempt"},
    ),
    "of those on one node, if all of a node is needed": Case(
        [2, 2],
        [Queue("a", 4)],
        ["a1 a 1x1@n1 50", "a2 a 1x1@n2 50", "a3 a 1x1@n1 50", "a4 a 1x1@n2 50", "a5 a 1x2 75"],
        {},
        {"a2": "preempt", "a4": "preempt"},
    ),
}
NODES = {
    "the fullest node": Case([4, 4], [A0], ["a1 a 1x1@n2 50", "a2 a 1x1 50"], {"a2": "n2"}, {}),
    "the first by name of equals": Case([4, 4], [A0], ["a1 a 1x1 50"], {"a1": "n1"}, {}),
    "a gang, pod by pod": Case([1, 2], [A0], ["a1 a 2x1 50"], {"a1": "n1,n2"}, {}),
}
CASES = {
    f"{group}: {name}": case
    for group, cases in {
        "order": ORDER,
        "reclaim": RECLAIM,
        "consolidation": CONSOLIDATION,
        "preemption": PREEMPTION,
        "nodes": NODES,
    }.items()
    for name, case in cases.items()
}


@pytest.mark.parametrize("flaws", [False, True], ids=["as it is", "as KAI"])
@pytest.mark.parametrize("name", CASES)
def test_rule(name: str, flaws: bool) -> None:
    case = CASES[name]
    decisions = schedule(_nodes(case.nodes), case.queues, _jobs(case.jobs), flaws=flaws)
    assert {
        one.job: ",".join(slot.node for slot in one.slots)
        for one in decisions
        if isinstance(one, Assign)
    } == (case.placed)
    assert {one.job: one.by for one in decisions if isinstance(one, Evict)} == case.evicted


def test_limit_holds_even_for_what_is_idle() -> None:
    """Scenario h31."""
    decisions = schedule(
        {"n1": 4}, [Queue("a", 0, limit=2)], _jobs(["a1 a 1x1 50", "a2 a 1x1 50", "a3 a 1x1 50"])
    )
    assert [one.job for one in decisions if isinstance(one, Assign)] == ["a1", "a2"]
    assert [
        (one.job, one.reason, one.message) for one in decisions if isinstance(one, StayQueued)
    ] == [
        (
            "a3",
            OVER_LIMIT,
            "Workload over limit: project a may use 2 GPUs at most, 2 of them in use, 1 asked for",
        )
    ]


def test_limit_is_no_obstacle_to_one_for_whom_another_of_its_queue_goes() -> None:
    decisions = schedule(
        {"n1": 4}, [Queue("a", 0, limit=1)], _jobs(["a1 a 1x1@n1 50", "a2 a 1x1 75"])
    )
    assert [(one.job, one.by) for one in decisions if isinstance(one, Evict)] == [("a1", "preempt")]


@pytest.mark.parametrize(
    ("jobs", "eviction"),
    [
        (
            ["a1 a 1x1@n1 50", "a2 a 1x1@n2 50", "a3 a 1x2 50"],
            Evict(
                "a2",
                "Preempted: moved to make room for workload a3",
                "consolidation",
                "a3",
                claims=True,
            ),
        ),
        (
            ["a1 a 1x2@n1 50", "a2 a 1x2@n2 75", "b1 b 1x1 50"],
            Evict("a1", "Preempted: GPUs reclaimed by project b", "reclaim", "b1"),
        ),
        (
            ["a1 a 1x2@n1 50", "a2 a 1x2@n2 75", "a3 a 1x1 75"],
            Evict("a1", "Preempted by higher priority workload a3", "preempt", "a3"),
        ),
    ],
)
def test_eviction_names_its_cause_and_tells_its_victim(jobs: list[str], eviction: Evict) -> None:
    decisions = schedule({"n1": 2, "n2": 2}, [A0, B1], _jobs(jobs))
    assert [one for one in decisions if isinstance(one, Evict)] == [eviction]


def test_head_that_cannot_run_does_not_starve_its_queue_but_in_kai() -> None:
    """Scenario h53."""
    jobs = ["a1 a 1x1@n1 50", "a2 a 1x2@n1 50", "b1 b 1x3 50", "b2 b 1x1 50"]
    assert _evictions([3], [A1, B1], jobs, flaws=False) == {"a2": "b2"}
    assert _evictions([3], [A1, B1], jobs, flaws=True) == {}


def test_failure_for_lack_of_quota_says_nothing_about_others_but_in_kai() -> None:
    """Scenario h42."""
    jobs = ["a1 a 1x1@n1 50", "a2 a 1x1 100!", "a3 a 1x1 75"]
    assert _evictions([1], [A0], jobs, flaws=False) == {"a1": "a3"}
    assert _evictions([1], [A0], jobs, flaws=True) == {}
    (refused,) = [
        one
        for one in schedule({"n1": 1}, [A0], _jobs(jobs))
        if isinstance(one, StayQueued) and one.reason
    ]
    assert (refused.job, refused.reason) == ("a2", OVER_QUOTA)


def test_unknown_queue_has_no_quota_and_goes_last() -> None:
    decisions = schedule({"n1": 1}, [A0], _jobs(["x1 unknown 1x1 50", "a1 a 1x1 50"]))
    assert [one.job for one in decisions if isinstance(one, Assign)] == ["a1"]


def _evictions(
    nodes: Sequence[int], queues: Sequence[Queue], jobs: Sequence[str], flaws: bool
) -> dict[str, str]:
    decisions = schedule(_nodes(nodes), queues, _jobs(jobs), flaws=flaws)
    return {one.job: one.cause for one in decisions if isinstance(one, Evict)}


def _nodes(gpus: Sequence[int]) -> dict[str, int]:
    return {f"n{number}": count for number, count in enumerate(gpus, 1)}


def _jobs(lines: Sequence[str]) -> list[Job]:
    """Read jobs; each pod that runs takes the next devices of its node."""
    taken: Counter[str] = Counter()
    return [_job(line, float(age), taken) for age, line in enumerate(lines)]


def _job(line: str, age: float, taken: Counter[str]) -> Job:
    name, queue, size, priority = line.split()
    size, _, nodes = size.partition("@")
    pods, gpus = map(int, size.split("x"))
    slots = []
    for node in filter(None, nodes.split(",")):
        slots.append(Slot(node, tuple(range(taken[node], taken[node] + gpus))))
        taken[node] += gpus
    return Job(
        id=name,
        project=queue,
        pods=(float(gpus),) * pods,
        priority=int(priority.rstrip("!")),
        preemptible=not priority.endswith("!"),
        submitted=age,
        placed=tuple(slots),
    )
