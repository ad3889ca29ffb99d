"""Room as it is read from the control plane, and the turnstile at which many wait for it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from airflow_runai.backends.project_room import room
from airflow_runai.backends.room import until_room
from airflow_runai.backends.turnstile import NEWS, Turnstile
from airflow_runai.core.flow import Flow, Notice, Reply, Request
from airflow_runai.core.quota import Quota
from airflow_runai.core.room import IDLE, NODES, PROJECT, QUOTA, WORKLOADS, Need, ProjectRoom
from airflow_runai.core.waiting_line import AT_ONCE, Ticket
from airflow_runai.core.workload import iso
from airflow_runai.errors import NotResolved, RefusedAgain, Unauthorized, Unreachable
from tests.backends.flows import Flows, Running
from tests.backends.rest import PROJECT as TEAM
from tests.backends.rest import html, item, reply
from tests.core.stage import NOON, Hand

INTERVAL = 30.0
RECORD = {
    "resources": [
        {"nodePool": {"name": "a100"}, "gpu": {"deserved": 2, "limit": -1}},
        {"nodePool": {"name": "h100"}, "gpu": {"deserved": 1, "limit": 4}},
    ]
}


def gpus(asked: float, held: float = 0.0) -> dict[str, Any]:
    return {
        "workloadRequestedResources": {"gpu": {"request": asked}},
        "allocatedResources": {"gpu": held},
    }


ROWS = [
    item("runs", "Running", currentNodePools=["a100"], **gpus(1, 1)),
    item("starts", "Initializing", currentNodePools=["h100"], **gpus(2, 2)),
    item("waits", "Pending", requestedNodePools=["h100", "a100"], **gpus(4)),
    item("half", "Initializing", currentNodePools=["h100"], **gpus(2, 1)),
    item("suspended", "Stopped", **gpus(8)),
    item("leaves", "Terminating", currentNodePools=["a100"], **gpus(1, 1)),
    item("odd", "Running", allocatedResources="many", currentNodePools=7),
    "no workload at all",
]


def decoded(request: Request, answer: Reply) -> Reply:
    """Do to the body what a driver does."""
    if request.decode is None or answer.status != 200 or answer.body is None:
        return answer
    return replace(answer, body=request.decode(json.dumps(answer.body).encode()))


class Told:
    """A control plane that tells figures; what it is given instead, it answers."""

    def __init__(self, instead: Mapping[str, Reply]) -> None:
        self.instead = instead

    def __call__(self, request: Request) -> Reply:
        return decoded(request, self._answer(request))

    def _answer(self, request: Request) -> Reply:
        params = dict(request.params)
        key = params.get("telemetryType") or request.path.split("/")[3]
        if key in self.instead:
            return self.instead[key]
        if key == "org-unit":
            return reply(RECORD)
        if key == "workloads":
            return reply({"workloads": ROWS if params["offset"] == "0" else []})
        pool = params.get("nodepoolName")
        value = {"FREE_GPUS": 3, "TOTAL_GPUS": 16}[key] / (2 if pool else 1)
        return reply({"values": [{"value": f"{value:g}"}]})


def read(node_pool: str | None = None, instead: Mapping[str, Reply] | None = None) -> ProjectRoom:
    return Hand(answer=Told(instead or {})).run(room(TEAM, node_pool))


def test_figures_of_all_node_pools() -> None:
    found = read()
    assert found.quota == Quota(3.0, None)
    assert (found.held, found.queued) == (5.0, 5.0)
    assert (found.free, found.total) == (3.0, 16.0)
    assert "waits-g1" in found.workloads
    assert found.unread == ()


def test_figures_of_one_node_pool() -> None:
    found = read("h100")
    assert found.quota == Quota(1.0, 4.0)
    assert (found.held, found.queued) == (3.0, 5.0)
    assert (found.free, found.total) == (1.5, 8.0)


def test_unknown_node_pool_names_those_there_are() -> None:
    with pytest.raises(NotResolved, match=r"'v100'.*team-a.*it has: a100, h100"):
        read("v100")


def test_row_that_a_moving_list_repeats_counts_once() -> None:
    def pages(request: Request) -> Reply:
        if request.path != "/api/v1/workloads":
            return Told({})(request)
        first = dict(request.params)["offset"] == "0"
        rows = [ROWS[0], ROWS[1]] if first else [ROWS[1], ROWS[2]]
        return decoded(request, reply({"workloads": rows, **({"next": 2} if first else {})}))

    found = Hand(answer=pages).run(room(TEAM))
    assert (found.held, found.queued) == (3.0, 4.0)


def ended_within(seconds: float, answer: Callable[[str], Reply]) -> ProjectRoom:
    """Read a room; ``answer`` gets the condition on the moment of the end."""

    def told(request: Request) -> Reply:
        condition = dict(request.params).get("filterBy", "").split(",")[-1]
        if condition.startswith("completedAt"):
            return decoded(request, answer(condition))
        return Told({})(request)

    return Hand(answer=told).run(room(TEAM, ended_within=seconds))


def test_workloads_that_ended_a_short_while_ago_are_named_if_asked_for() -> None:
    asked: list[str] = []

    def answer(condition: str) -> Reply:
        asked.append(condition)
        return reply({"workloads": [item("over", "Completed")]})

    found = ended_within(600.0, answer)
    assert asked == [f"completedAt>={iso(NOON - 600)}"]
    assert found.ended == {"over-g1"}
    assert found.held == 5.0, "they hold nothing"
    assert read().ended == frozenset()


@pytest.mark.parametrize(
    "answer",
    [
        reply({"message": "unknown field completedAt"}, 400),
        reply({"workloads": [item("over", "Completed")], "next": 1}),
    ],
    ids=["refused", "too many"],
)
def test_room_is_known_without_those_that_ended(answer: Reply) -> None:
    found = ended_within(600.0, lambda condition: answer)
    assert found.ended == frozenset()
    assert found.held == 5.0
    assert found.unread == ()


@pytest.mark.parametrize("status", [400, 403, 404])
def test_what_may_not_be_read_is_unread(status: int) -> None:
    no = reply({"message": "no"}, status)
    found = read(instead={"org-unit": no, "workloads": no, "FREE_GPUS": no, "TOTAL_GPUS": no})
    assert found.unread == (PROJECT, WORKLOADS, NODES)
    assert found.held is None
    assert found.free is None


def test_telemetry_without_values_is_unread() -> None:
    assert read(instead={"FREE_GPUS": reply({"values": []})}).unread == (NODES,)


@pytest.mark.parametrize("answer", [html(), html(502), reply({}, 503)], ids=["page", "502", "503"])
def test_outage_is_no_missing_figure(answer: Reply) -> None:
    with pytest.raises(Unreachable):
        read(instead={"FREE_GPUS": answer})


def test_refused_identity_is_no_missing_figure() -> None:
    with pytest.raises(Unauthorized):
        read(instead={"workloads": reply({"message": "who?"}, 401)})


class Front:
    """
    A turnstile under a clock that jumps, with GPUs that those who pass it take.

    :ivar seconds: from passing the turnstile until the workload is seen.
    """

    def __init__(self, free: float = 3.0, seconds: float = 45.0) -> None:
        self.turnstile, self.flows = Turnstile(), Flows(self._answer, latency=0.5)
        self.free, self.seconds = free, seconds
        self.trouble: Callable[[], Reply] | None = None
        self.waits: dict[str, Running] = {}
        self.passed: list[tuple[str, float]] = []
        self.told: list[tuple[str, float, str]] = []

    def join(self, digest: str, since: float, gpus: float = 1.0, **given: float) -> None:
        ticket = Ticket(digest, Need(IDLE, gpus), since)
        wait = self.turnstile.wait(ticket, partial(room, TEAM), INTERVAL, **given)
        self.waits[digest] = self.flows.start(self._through(digest, wait))

    def _through(self, digest: str, wait: Flow[ProjectRoom | None]) -> Flow[ProjectRoom | None]:
        found = yield from _heard(wait, lambda text: self.told.append((digest, self.now, text)))
        if found:
            self.passed.append((digest, self.now))
        return found

    @property
    def now(self) -> float:
        return self.flows.now - NOON

    @property
    def names(self) -> list[str]:
        return [digest for digest, _ in self.passed]

    def _running(self) -> list[str]:
        return [digest for digest, at in self.passed if self.now - at >= self.seconds]

    def _answer(self, request: Request) -> Reply:
        if self.trouble:
            return self.trouble()
        params, running = dict(request.params), self._running()
        if request.path.startswith("/api/v1/org-unit"):
            return reply(RECORD)
        if request.path == "/api/v1/workloads":
            rows = [item(f"x-{digest}", "Running", **gpus(1, 1)) for digest in running]
            return decoded(request, reply({"workloads": rows if params["offset"] == "0" else []}))
        left = self.free - len(running) if params["telemetryType"] == "FREE_GPUS" else 16
        return reply({"values": [{"value": f"{left:g}"}]})

    def done(self) -> list[str]:
        return [digest for digest, wait in self.waits.items() if wait.is_done]

    def looks(self) -> int:
        return sum(dict(r.params).get("telemetryType") == "FREE_GPUS" for _, r in self.flows.asked)


def _heard(
    flow: Flow[ProjectRoom | None], tell: Callable[[str], object]
) -> Flow[ProjectRoom | None]:
    step = next(flow)
    try:
        while True:
            try:
                answer = yield step
            except Exception as error:
                step = flow.throw(error)
            else:
                if isinstance(step, Notice):
                    tell(step.text)
                step = flow.send(answer)
    except StopIteration as end:
        found: ProjectRoom | None = end.value
        return found
    finally:
        flow.close()


def herd(front: Front, tasks: int) -> None:
    for number in range(tasks):
        front.join(f"{number:010}", since=NOON - number)


def test_fifty_tasks_and_three_gpus_let_three_go_the_oldest_first() -> None:
    front = Front(free=3)
    herd(front, 50)
    front.flows.run(3600)
    assert sorted(front.names) == [f"{number:010}" for number in (47, 48, 49)]


def test_however_many_wait_one_looks_and_the_others_sleep() -> None:
    front = Front(free=0)
    herd(front, 50)
    front.flows.run(10 * INTERVAL)
    assert front.looks() in (10, 11)
    assert len(front.flows.asked) <= 5 * front.looks()


def test_gpus_that_become_free_go_to_the_next_at_the_next_look() -> None:
    front = Front(free=1)
    herd(front, 3)
    front.flows.run(200)
    assert front.names == ["0000000002"]
    front.free = 2
    front.flows.run(INTERVAL + 3)
    assert front.names == ["0000000002", "0000000001"]


def test_not_more_than_a_few_go_at_a_look() -> None:
    front = Front(free=40, seconds=5)
    herd(front, 12)
    front.flows.run(5)
    assert len(front.names) == AT_ONCE
    front.flows.run(INTERVAL + 3)
    assert len(front.names) == 2 * AT_ONCE


def test_whoever_comes_a_moment_later_but_waited_longer_goes_first() -> None:
    front = Front(free=1)
    front.join("young", since=NOON)
    front.flows.run(0.2)
    front.join("old", since=NOON - 100)
    front.flows.run(10)
    assert front.names == ["old"]


def test_when_the_one_that_looks_is_cancelled_another_takes_over() -> None:
    front = Front(free=0)
    herd(front, 3)
    front.flows.run(40)
    front.flows.cancel(front.waits["0000000000"])
    front.free = 1
    front.flows.run(INTERVAL + 3)
    assert front.names == ["0000000002"]


def test_cancelled_in_the_middle_of_a_look_it_leaves_the_look_to_another() -> None:
    front = Front(free=1)
    herd(front, 2)
    front.flows.run(1.2)  # the first look has begun, and has no answer yet
    assert front.flows.asked
    assert not front.looks()
    front.flows.cancel(front.waits["0000000000"])
    front.flows.run(10)
    assert front.names == ["0000000001"]


def test_outage_is_outlasted_with_growing_pauses_and_said() -> None:
    front = Front(free=1)
    front.trouble = lambda: reply({}, 503)
    herd(front, 1)
    front.flows.run(1000)
    assert 3 <= len(front.flows.asked) <= 8
    front.trouble = None
    front.flows.run(300)
    assert front.names == ["0000000000"]
    words = [text for _, _, text in front.told]
    assert "the room cannot be read (GET /api/v1/org-unit/projects/4501: 503" in words[0]
    assert words[-1].startswith("there is room for 1 GPU (idle): ")


def test_mistake_of_ours_in_a_look_ends_no_wait() -> None:
    front, looks = Front(free=2), itertools.count()

    def look() -> Flow[ProjectRoom]:
        if next(looks) < 2:
            raise ZeroDivisionError
        return (yield from room(TEAM))

    waits = [
        front.flows.start(
            front.turnstile.wait(Ticket(digest, Need(IDLE, 1.0), NOON), look, INTERVAL)
        )
        for digest in ("0000000001", "0000000002")
    ]
    front.flows.run(900)
    assert [(one.is_done, one.error) for one in waits] == [(True, None)] * 2
    assert next(looks) == 3


def test_refused_identity_sends_all_back_to_ask_for_the_connection() -> None:
    front = Front(free=1)
    front.trouble = lambda: reply({"message": "who?"}, 401)
    herd(front, 5)
    front.flows.run(10)
    assert len(front.flows.asked) == 1
    assert all(isinstance(one.error, RefusedAgain) for one in front.waits.values())


def test_deadline_ends_a_wait_and_no_other() -> None:
    front = Front(free=0)
    front.join("short", since=NOON, deadline=NOON + 45)
    front.join("long", since=NOON)
    front.flows.run(44)
    assert front.done() == []
    front.flows.run(2)
    assert front.done() == ["short"]
    assert front.waits["short"].result is None
    front.free = 1
    front.flows.run(INTERVAL + 3)
    assert front.names == ["long"]


def test_each_says_once_what_it_waits_for_and_later_what_has_changed() -> None:
    front = Front(free=0)
    herd(front, 3)
    front.flows.run(NEWS / 2)
    texts = {digest: text for digest, _, text in front.told}
    assert len(front.told) == 3
    assert texts["0000000002"] == (
        "waiting for room for 1 GPU (idle): quota 3, held 0, queued 0, free 0, total 16; "
        "1 of 3 in line"
    )
    front.free = 0.5
    front.flows.run(NEWS)
    assert len(front.told) == 6
    assert "free 0.5" in front.told[-1][2]


def test_clock_that_is_set_back_does_not_put_off_the_look() -> None:
    front = Front(free=0)
    herd(front, 1)
    front.flows.run(100)
    front.flows.now -= 3600
    for one in front.flows.running:  # a driver's timer does not follow the clock
        one.due = front.flows.now + 10
    front.free = 1
    front.flows.run(2 * INTERVAL)
    assert front.names == ["0000000000"]


def test_gate_that_was_empty_waits_for_the_next_look_all_the_same() -> None:
    front = Front(free=40, seconds=5)
    herd(front, AT_ONCE)
    front.flows.run(6)
    front.join("late", since=NOON)
    front.flows.run(10)
    assert "late" not in front.names
    front.flows.run(INTERVAL)
    assert "late" in front.names


def here(answers: list[ProjectRoom | Exception], need: Need, deadline: float = NOON + 600) -> Any:
    """Wait in a worker; return the result and what was said."""

    def look() -> Flow[ProjectRoom]:
        yield from ()
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    hand = Hand()
    return hand.run(_not_none(until_room(look, need, INTERVAL, deadline))), hand


def _not_none(flow: Flow[ProjectRoom | None]) -> Flow[ProjectRoom | str]:
    return (yield from flow) or "too late"


FULL = ProjectRoom(Quota(2.0, None), held=2.0, free=0.0)
EMPTY = ProjectRoom(Quota(2.0, None), held=0.0, free=2.0)


def test_worker_looks_again_and_again_and_says_what_is_new() -> None:
    found, hand = here([FULL, FULL, Unreachable("down"), EMPTY], Need(QUOTA, 1.0))
    assert found == EMPTY
    assert len(hand.slept) == 4, "it pauses before the first look, too: others begin with it"
    said = [notice.text for notice in hand.told]
    assert said == [
        "waiting for room for 1 GPU (quota): quota 2, held 2, queued 0, free 0",
        "the room cannot be read (down); still waiting",
    ]


def test_worker_gives_up_after_the_deadline() -> None:
    found, hand = here([FULL], Need(QUOTA, 1.0), NOON + 100)
    assert found == "too late"
    assert hand.now >= NOON + 100


def test_worker_does_not_wait_for_what_can_never_be() -> None:
    assert here([FULL], Need(QUOTA, 3.0))[0] == FULL
