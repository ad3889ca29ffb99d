"""Room and the line in front of it: who may go, who has to wait, and that nobody is overtaken."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.quota import Quota
from airflow_runai.core.room import IDLE, NODES, PROJECT, QUOTA, WHEN, WORKLOADS, Need, ProjectRoom
from airflow_runai.core.waiting_line import AT_ONCE, PROMISE, Ticket, WaitingLine

ROOM = ProjectRoom(Quota(4.0, 6.0), held=1.0, queued=1.0, free=3.0, total=8.0)
NOTHING_KNOWN = ProjectRoom(unread=(PROJECT, WORKLOADS, NODES))


@pytest.mark.parametrize(
    ("room", "quota", "idle"),
    [
        (ROOM, 2.0, 2.0),
        (replace(ROOM, queued=0.0), 3.0, 3.0),
        (replace(ROOM, held=5.0, queued=0.0), -1.0, 1.0),  # over quota already; the limit holds
        (replace(ROOM, quota=Quota(None, None)), math.inf, 2.0),
        (replace(ROOM, quota=Quota(0.0, None)), -2.0, 2.0),
        (replace(ROOM, free=None), 2.0, 4.0),  # the limit alone is left
        (replace(ROOM, held=None), math.inf, 2.0),
        (NOTHING_KNOWN, math.inf, math.inf),
    ],
)
def test_room_is_what_is_left_of_the_tighter_bound(
    room: ProjectRoom, quota: float, idle: float
) -> None:
    assert (room.left(QUOTA), room.left(IDLE)) == (quota, idle)


@pytest.mark.parametrize(
    ("need", "fits"),
    [
        (Need(QUOTA, 2.0), True),
        (Need(QUOTA, 2.1), False),
        (Need(IDLE, 2.0), True),
        (Need(IDLE, 3.0), False),
        (Need(QUOTA, share=0.5), True),  # of 4
        (Need(QUOTA, share=0.6), False),
        (Need(IDLE, share=0.25), True),  # of 8
        (Need(IDLE, share=0.5), False),
    ],
)
def test_request_fits_into_what_is_left(need: Need, fits: bool) -> None:
    assert need.fits(ROOM) is fits
    assert not need.fits(ROOM, promised=2.1)


def test_parts_of_a_gpu_add_up() -> None:
    assert Need(IDLE, 0.1).fits(ProjectRoom(free=1.0, held=0.0), promised=0.1 * 3 + 0.6)


@pytest.mark.parametrize(
    ("need", "words"),
    [
        (Need(QUOTA, 4.0), ""),
        (Need(QUOTA, 5.0), "asks for 5 GPUs; the project's quota is 4"),
        (Need(IDLE, 5.0), ""),
        (Need(IDLE, 7.0), "asks for 7 GPUs; the project's limit is 6"),
    ],
)
def test_what_can_never_fit_says_why(need: Need, words: str) -> None:
    assert need.hopeless(ROOM) == words
    assert need.hopeless(NOTHING_KNOWN) == ""


def test_nodes_that_are_away_may_come_back() -> None:
    need = Need(IDLE, 5.0)
    assert need.too_large(replace(ROOM, total=4.0)) == "asks for 5 GPUs; the cluster has 4"
    assert need.hopeless(replace(ROOM, total=4.0)) == ""


def test_missing_figures_are_those_that_the_answer_needs() -> None:
    assert NOTHING_KNOWN.missing(QUOTA) == (PROJECT, WORKLOADS)
    assert NOTHING_KNOWN.missing(IDLE) == (WORKLOADS, NODES)
    assert replace(ROOM, unread=(NODES,)).missing(QUOTA) == ()


def test_words_are_the_known_figures() -> None:
    assert str(ROOM) == "quota 4, limit 6, held 1, queued 1, free 3, total 8"
    assert str(NOTHING_KNOWN) == "queued 0"


@given(st.sampled_from(WHEN), st.floats(0.01, 8), st.none() | st.floats(0.01, 1))
def test_need_survives_json(when: str, gpus: float, share: float | None) -> None:
    need = Need(when, gpus, share)
    assert Need.from_json(need.to_json()) == need


def ticket(name: str, since: float, gpus: float = 1.0, when: str = IDLE) -> Ticket:
    return Ticket(name, Need(when, gpus), since)


def line_of(*tickets: Ticket) -> WaitingLine:
    line = WaitingLine()
    for one in tickets:
        line.join(one)
    return line


def names(gone: list[Ticket]) -> list[str]:
    return [one.digest for one in gone]


def free(gpus: float, *seen: str) -> ProjectRoom:
    return ProjectRoom(held=0.0, free=gpus, total=16.0, workloads=frozenset(seen))


def test_whoever_waited_longest_goes_first() -> None:
    line = line_of(ticket("b", 20), ticket("c", 30), ticket("a", 10))
    assert names(line.let_go(free(2), 0)) == ["a", "b"]
    assert len(line) == 1


def test_promised_gpus_are_taken_until_a_look_shows_the_workload() -> None:
    line = line_of(*(ticket(name, number) for number, name in enumerate("abcde")))
    assert names(line.let_go(free(2), 0)) == ["a", "b"]
    assert names(line.let_go(free(2), 30)) == [], "they are not there yet"
    assert names(line.let_go(free(1, "train-a-g1"), 60)) == [], "one runs; the other is promised"
    assert names(line.let_go(free(2, "train-a-g1", "eval-b-g2"), 90)) == ["c", "d"]


def test_promise_to_whoever_never_comes_ends() -> None:
    line = line_of(ticket("a", 1), ticket("b", 2))
    assert names(line.let_go(free(1), 0)) == ["a"]
    assert names(line.let_go(free(1), PROMISE - 1)) == []
    assert names(line.let_go(free(1), PROMISE)) == ["b"]


def test_whoever_comes_back_has_its_position_and_no_promise() -> None:
    line = line_of(ticket("a", 1), ticket("b", 2))
    assert names(line.let_go(free(1), 0)) == ["a"]
    line.join(ticket("a", 1))
    assert line.promised == 0
    assert names(line.let_go(free(1), 30)) == ["a"]


def test_large_request_is_not_overtaken_by_small_ones() -> None:
    line = line_of(ticket("big", 1, gpus=4), *(ticket(f"s{n}", 2 + n) for n in range(3)))
    assert names(line.let_go(free(3), 0)) == []
    assert names(line.let_go(free(5), 30)) == ["big", "s0"]


def test_request_beyond_the_cluster_is_in_nobodys_way() -> None:
    line = line_of(ticket("giant", 1, gpus=99), ticket("small", 2))
    assert names(line.let_go(free(1), 0)) == ["small"]


def test_quota_and_idle_are_two_lines() -> None:
    line = line_of(ticket("idle", 1), ticket("quota", 2, when=QUOTA))
    full = ProjectRoom(Quota(2.0, None), held=0.0, free=0.0, total=4.0)
    assert names(line.let_go(full, 0)) == ["quota"]


def test_who_can_never_fit_is_let_go_to_say_so() -> None:
    line = line_of(ticket("never", 1, gpus=3, when=QUOTA), ticket("next", 2, when=QUOTA))
    tight = ProjectRoom(Quota(2.0, None), held=1.0, free=0.0)
    assert names(line.let_go(tight, 0)) == ["never", "next"]
    assert line.promised == 1.0


def test_who_only_asks_takes_nothing_and_waits_for_nobody() -> None:
    asks = [Ticket(f"sensor-{n}", Need(IDLE, 1.0), 9, takes=False) for n in range(AT_ONCE + 1)]
    line = line_of(ticket("big", 1, gpus=4), *asks)
    assert set(line.let_go(free(1), 0)) == set(asks)
    assert line.promised == 0


@pytest.mark.parametrize(
    "found", [NOTHING_KNOWN, ProjectRoom(Quota(9.0, 2.0), held=2.0, free=9.0, total=9.0)]
)
def test_who_only_asks_in_vain_is_let_go_at_whatever_look_finds_that(found: ProjectRoom) -> None:
    asks = Ticket("sensor", Need(IDLE, 3.0), 0, takes=False)
    line = line_of(asks)
    assert line.let_go(free(1), 0) == []
    assert line.let_go(found, 30) == [asks]
    assert asks.is_vain(found)


def test_unknown_is_no_bound_for_a_workload() -> None:
    task = ticket("task", 0)
    assert not task.is_vain(NOTHING_KNOWN)
    assert line_of(task).let_go(NOTHING_KNOWN, 0) == [task]


def test_without_bounds_a_few_go_at_each_look() -> None:
    line = line_of(*(ticket(f"{number:02}", number) for number in range(50)))
    looks = [len(line.let_go(NOTHING_KNOWN, 30.0 * look)) for look in range(10)]
    assert looks == [AT_ONCE] * 10


TICKETS = st.lists(
    st.builds(
        ticket,
        st.uuids().map(lambda found: found.hex[:10]),
        st.floats(0, 100),
        st.sampled_from([0.5, 1.0, 2.0, 8.0]),
        st.sampled_from(WHEN),
    ),
    max_size=60,
)
ROOMS = st.builds(
    lambda deserved, held, queued, gpus: ProjectRoom(
        Quota(deserved, None), held=held, queued=queued, free=gpus, total=16.0
    ),
    st.none() | st.floats(0, 16),
    st.floats(0, 8),
    st.floats(0, 8),
    st.floats(0, 16),
)


@given(TICKETS, ROOMS)
def test_no_look_lets_more_go_than_there_is_room_for(
    tickets: list[Ticket], room: ProjectRoom
) -> None:
    gone = [one for one in line_of(*tickets).let_go(room, 0) if not one.need.hopeless(room)]
    assert len(gone) <= AT_ONCE
    for when in WHEN:
        taken = sum(one.need.gpus for one in gone if one.need.when == when)
        assert taken == 0 or taken <= room.left(when) + 1e-3


@given(TICKETS, ROOMS)
def test_nobody_is_overtaken(tickets: list[Ticket], room: ProjectRoom) -> None:
    gone = line_of(*tickets).let_go(room, 0)
    waits = [one for one in tickets if one not in gone and not one.need.too_large(room)]
    went = [one for one in gone if not one.need.hopeless(room)]
    for one in went:
        for other in waits:
            same_line = one.need.when == other.need.when
            assert not same_line or (one.since, one.digest) < (other.since, other.digest)


@given(TICKETS, st.floats(8, 16))
def test_everybody_goes_in_the_end(tickets: list[Ticket], gpus: float) -> None:
    """Each runs for a while; what was promised comes true at the next look."""
    room = ProjectRoom(Quota(16.0, None), held=0.0, free=gpus, total=16.0)
    line = line_of(*tickets)
    seen: set[str] = set()
    for look in range(len(tickets)):
        shown = frozenset(f"x-{digest}-g1" for digest in seen)
        seen |= {one.digest for one in line.let_go(replace(room, workloads=shown), 30.0 * look)}
    assert seen == {one.digest for one in tickets}


@given(st.integers(1, 60), st.integers(0, 10), st.lists(st.floats(1, PROMISE / 2), max_size=20))
def test_fifty_tasks_and_three_gpus_send_three(tasks: int, gpus: int, pauses: list[float]) -> None:
    """However often it looks, nobody goes beyond what is free while no workload appears."""
    line = line_of(*(ticket(f"{number:02}", number) for number in range(tasks)))
    moment, gone = 0.0, 0
    for pause in [0.0, *pauses]:
        moment += pause
        if moment >= PROMISE:
            break
        gone += len(line.let_go(free(gpus), moment))
    assert gone <= min(tasks, gpus)
