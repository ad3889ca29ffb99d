"""Slots of a run: who has one, who waits for one, and that no look gives away more than there are."""

from __future__ import annotations

import json
import weakref
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.naming import TaskIdentity, base_name, digest_in, generation_name
from airflow_runai.core.quota import Quota
from airflow_runai.core.room import IDLE, NODES, NOW, WORKLOADS, Need, ProjectRoom
from airflow_runai.core.slots import Claim, RunSlots, by_digest, coming
from airflow_runai.core.waiting_line import AT_ONCE, PROMISE, Ticket, WaitingLine

TRAIN, EVALUATE = "sweep.trial.train", "sweep.trial.evaluate"
SLOTS = RunSlots(3, "tests", "dag", "run-1", (TRAIN, EVALUATE), 8)
NEED = Need(NOW, 0.0, slots=SLOTS)


def task(index: int, task_id: str = TRAIN, run_id: str = "run-1") -> TaskIdentity:
    return TaskIdentity("tests", "dag", run_id, task_id, index)


def name(index: int, task_id: str = TRAIN, generation: int = 1, run_id: str = "run-1") -> str:
    return generation_name(base_name(task(index, task_id, run_id)), generation)


def room(*live: str, ended: tuple[str, ...] = ()) -> ProjectRoom:
    return ProjectRoom(held=0.0, free=0.0, workloads=frozenset(live), ended=frozenset(ended))


def ticket(index: int, task_id: str = TRAIN, since: float = 0.0, need: Need = NEED) -> Ticket:
    return Ticket(task(index, task_id).digest(), need, since)


def line_of(*tickets: Ticket) -> WaitingLine:
    line = WaitingLine()
    for one in tickets:
        line.join(one)
    return line


@pytest.mark.parametrize(
    ("live", "holders"),
    [
        ((), 0),
        ((name(1), name(2, EVALUATE)), 2),
        ((name(1), name(1, generation=2)), 2),  # the old one is still being removed
        ((name(0), name(0, generation=2)), 0),  # of the task that asks
        ((name(1, run_id="run-2"), name(1, "other"), name(8), "somebodys"), 0),
        ((name(-1),), 1),  # a task that is not mapped
    ],
)
def test_slots_are_held_by_workloads_of_the_run(live: tuple[str, ...], holders: int) -> None:
    assert len(SLOTS.holders(by_digest(live), [], task(0).digest())) == holders


def test_full_names_who_has_the_slots() -> None:
    full = room(name(1), name(2), name(3, EVALUATE))
    words = NEED.full(full, task(0).digest())
    assert words.startswith("3 of 3 slots of its run are taken: ")
    assert all(one in words for one in full.workloads)
    assert NEED.full(full, task(1).digest()) == "", "its own workload is in nobody's way"
    assert NEED.full(room(name(1), name(2)), task(0).digest()) == ""
    assert NEED.full(room(name(1), name(2)), task(0).digest(), [task(3).digest()])
    assert Need(IDLE).full(full, "") == ""


def test_no_gpu_is_waited_for_with_a_slot_alone() -> None:
    assert NEED.fits(ProjectRoom(Quota(0.0, 0.0), held=5.0, queued=5.0, free=0.0))
    assert NEED.hopeless(ProjectRoom(Quota(0.0, 0.0), held=5.0)) == ""
    assert ProjectRoom(unread=(WORKLOADS, NODES)).missing(NOW) == (WORKLOADS,)


def test_all_who_wait_in_a_run_share_what_is_known_of_it_and_the_last_one_forgets_it() -> None:
    def waits() -> list[RunSlots]:
        return [replace(SLOTS, run_id=f"run-{number}", instances=2) for number in range(100)]

    first, second = waits(), waits()
    assert all(a.digests is b.digests for a, b in zip(first, second, strict=True))
    assert len({one.digests for one in first}) == 100
    forgotten = weakref.ref(first[0].digests)
    first.clear()
    assert forgotten() is second[0].digests
    second.clear()
    assert forgotten() is None


def test_need_with_slots_survives_json() -> None:
    assert Need.from_json(json.loads(json.dumps(NEED.to_json()))) == NEED


@pytest.mark.parametrize(
    "value", [None, 7, {}, {"name": 1, "until": 2}, {"name": "a", "until": "b"}, {"name": "a"}]
)
def test_what_is_no_claim_is_none(value: object) -> None:
    assert Claim.from_json(value) is None


def test_claims_count_until_their_time_or_until_the_workload_was_seen() -> None:
    claims = [
        Claim(name(1), 100.0),
        Claim(name(2), 100.0),
        Claim(name(3), 5.0),
        Claim("odd", 100.0),
    ]
    assert coming(claims, {name(2)}, 50.0) == [task(1).digest()]
    assert coming(claims, (), 100.0) == []


def test_evaluation_takes_the_slot_of_a_training_that_ended_before_younger_trainings() -> None:
    line = line_of(ticket(1, EVALUATE, since=1), ticket(4, since=2), ticket(5, since=3))
    assert line.let_go(room(name(1), name(2), name(3)), 0) == []
    (gone,) = line.let_go(room(name(2), name(3)), 30)
    assert gone.digest == task(1, EVALUATE).digest()
    assert line.let_go(room(name(2), name(3)), 60) == [], "the slot is promised"
    (gone,) = line.let_go(room(name(3), name(1, EVALUATE)), 90)
    assert gone.digest == task(4).digest()


def test_full_run_is_in_nobodys_way() -> None:
    other = Ticket("0123456789", Need(IDLE, 1.0), since=9)
    line = line_of(ticket(4, since=1, need=replace(NEED, when=IDLE, gpus=1.0)), other)
    full = replace(room(name(1), name(2), name(3)), free=1.0)
    assert line.let_go(full, 0) == [other]


def test_more_than_a_few_may_go_at_once_where_slots_are_counted() -> None:
    wide = Need(NOW, 0.0, slots=replace(SLOTS, limit=AT_ONCE + 2))
    line = line_of(*(ticket(index, since=index, need=wide) for index in range(8)))
    assert len(line.let_go(room(), 0)) == AT_ONCE + 2


def test_workload_that_ended_between_two_looks_gives_its_slot_back() -> None:
    line = line_of(*(ticket(index, since=index) for index in range(4)))
    assert len(line.let_go(room(ended=(name(0),)), 0)) == 3
    before = room(ended=(name(0),))
    assert line.let_go(before, 30) == [], "an earlier workload of a task proves nothing"
    (gone,) = line.let_go(room(ended=(name(0), name(0, generation=2))), 60)
    assert gone.digest == task(3).digest()


STEPS = st.lists(st.sampled_from(["look", "create", "end", "die"]), max_size=60)


@pytest.mark.slow
@given(STEPS, st.integers(1, 4))
def test_whatever_happens_no_more_live_than_there_are_slots(steps: list[str], limit: int) -> None:
    """One line; whoever was let go creates later, or never."""
    need = Need(NOW, 0.0, slots=replace(SLOTS, limit=limit))
    tickets = [
        ticket(index, which, index, need) for index in range(8) for which in (TRAIN, EVALUATE)
    ]
    names = {ticket(i, w).digest: name(i, w) for i in range(8) for w in (TRAIN, EVALUATE)}
    line = line_of(*tickets)
    gone: list[str] = []
    live: list[str] = []
    ended: list[str] = []
    moment = 0.0
    for step in steps:
        moment += 30.0 if moment < PROMISE - 60 else 0.0
        if step == "look":
            gone += [one.digest for one in line.let_go(room(*live, ended=tuple(ended)), moment)]
        elif step == "create" and gone:
            live.append(names[gone.pop(0)])
        elif step == "end" and live:
            ended.append(live.pop())
        elif step == "die" and gone:
            gone.pop()
        assert len(live) + len(gone) <= limit


def test_digest_is_read_from_names_of_ours_alone() -> None:
    assert digest_in(name(3, generation=12)) == task(3).digest()
    for odd in (
        "",
        "train",
        "train-0123456789",
        "train-0123456789-g0",
        "t-012345678X-g1",
        "a-g1\n",
    ):
        assert digest_in(odd) is None
    assert digest_in(name(3) + "\n") is None
