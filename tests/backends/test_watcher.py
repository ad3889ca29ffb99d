"""One watcher and many waits, over a control plane that lies and fails: who hears what, and at what cost."""

from __future__ import annotations

import math
from typing import Any

import pytest

from airflow_runai.backends.looks import CONFIRMED_PER_LOOK, SAMPLES
from airflow_runai.backends.watched import Watched
from airflow_runai.backends.watcher import FULL_EVERY, Watcher
from airflow_runai.core.flow import Flow, Sleep
from airflow_runai.core.waiting import MAX_PAUSE
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotFound, Refused, RefusedAgain, RunaiError, Throttled, Unreachable
from tests.backends.flows import Plane, Running

L = 10.0


class Crowd:
    """Waits that follow their workloads by a watcher, and what each has heard."""

    def __init__(self, plane: Plane, interval: float = L, **own: float) -> None:
        self.plane, self.flows, self.watcher = plane, plane.flows, Watcher()
        self.heard: dict[str, list[Workload | RunaiError]] = {}
        self.waits: dict[str, tuple[Watched, Running]] = {}
        for identity, one in plane.items.items():
            self.join(identity, own.get(identity, interval), one["projectId"])
        self.watching = self.flows.start(self.watcher.run())

    def join(self, identity: str, interval: float = L, project: str = "4501") -> None:
        start = Workload(identity, f"{identity}-g1", "", project_id=project)
        wait = Watched(start, interval, self.watcher).__enter__()
        self.heard[identity] = []
        self.waits[identity] = (wait, self.flows.start(self._follow(wait)))

    def leave(self, identity: str) -> None:
        wait, following = self.waits.pop(identity)
        self.flows.cancel(following)
        wait.__exit__()

    def _follow(self, wait: Watched) -> Flow[None]:
        last = wait.start
        while True:
            try:
                last = yield from wait.following(last, math.inf, Sleep(0))
                self.heard[wait.id].append(last)
            except (Unreachable, Refused) as error:
                self.heard[wait.id].append(error)

    def run(self, looks: float) -> None:
        self.flows.run(looks * L)

    def phases(self, identity: str) -> list[str]:
        return [
            h.phase if isinstance(h, Workload) else type(h).__name__ for h in self.heard[identity]
        ]

    @property
    def singles(self) -> int:
        return self.flows.count("single")


def test_one_list_serves_a_hundred_waits_and_only_the_first_look_is_news() -> None:
    plane = Plane(100)
    plane.delta = "refused"
    crowd = Crowd(plane)
    crowd.run(8.5)
    assert all(crowd.phases(one) == ["Running"] for one in plane.items)
    assert (crowd.flows.count("list"), crowd.flows.count("delta"), crowd.singles) == (9, 1, 0)


def test_nine_looks_of_ten_ask_only_for_what_has_changed() -> None:
    crowd = Crowd(Plane(1000))
    crowd.run(2 * FULL_EVERY - 0.5)
    assert (crowd.flows.count("list"), crowd.flows.count("delta")) == (4, 2 * (FULL_EVERY - 1))
    assert crowd.singles == 0


@pytest.mark.parametrize("delta", ["known", "refused", "ignored"])
def test_a_change_is_heard_within_an_interval_whatever_the_server_filters(delta: str) -> None:
    plane = Plane(10)
    plane.delta = delta
    crowd = Crowd(plane)
    crowd.run(3)
    plane.enter("w-7", "Pending")
    crowd.run(1)
    assert crowd.phases("w-7") == ["Running", "Pending"]
    assert crowd.phases("w-6") == ["Running"]
    crowd.run(30)
    if delta != "known":
        assert crowd.flows.count("delta") == 1, "that it does not know the filter is remembered"


def test_a_server_that_does_not_say_when_is_not_asked_for_what_has_changed() -> None:
    plane = Plane(10)
    for one in plane.items.values():
        del one["phaseUpdatedAt"]
    crowd = Crowd(plane)
    crowd.run(2)
    plane.items["w-1"]["phase"] = "Pending"
    crowd.run(1)
    assert crowd.phases("w-1") == ["Running", "Pending"]
    assert crowd.flows.count("delta") == 0


@pytest.mark.parametrize("hidden", [1.0, 0.5])
def test_a_list_that_lacks_what_exists_costs_two_reads_a_look_and_nobody_hears_of_it(
    hidden: float,
) -> None:
    plane = Plane(200)
    plane.delta = "refused"
    crowd = Crowd(plane)
    crowd.run(2)
    plane.hidden = set(list(plane.items)[: int(200 * hidden)])
    crowd.run(3)
    assert crowd.singles == 3 * SAMPLES
    plane.hidden.clear()
    crowd.run(1)
    assert all(crowd.phases(one) == ["Running"] for one in plane.items)


def test_what_a_list_lacks_for_good_is_read_twenty_a_look() -> None:
    plane = Plane(100)
    plane.delta = "refused"
    crowd = Crowd(plane)
    crowd.run(2)
    gone = list(plane.items)[:60]
    for identity in gone:
        del plane.items[identity]
    crowd.run(1)
    heard = [one for one in gone if crowd.phases(one)[-1] == NotFound.__name__]
    assert len(heard) == CONFIRMED_PER_LOOK
    crowd.run(4)
    assert all(crowd.phases(one)[-1] == NotFound.__name__ for one in gone)
    assert all(crowd.phases(one) == ["Running"] for one in plane.items)


def test_what_was_absent_and_is_listed_again_is_news() -> None:
    plane = Plane(10)
    plane.delta = "refused"
    crowd = Crowd(plane)
    crowd.run(2)
    lost = plane.items.pop("w-3")
    crowd.run(2)
    plane.items["w-3"] = lost
    crowd.run(2)
    assert crowd.phases("w-3") == ["Running", "NotFound", "Running"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_list_that_fails_causes_no_single_read_and_is_told_once(status: int) -> None:
    plane = Plane(50)
    crowd = Crowd(plane)
    crowd.run(2)
    plane.listed, plane.delta = status, "refused"
    before = len(crowd.flows.asked)
    crowd.run(10)
    kind = Throttled if status == 429 else Unreachable
    assert all(crowd.phases(one)[1:] == [kind.__name__] for one in plane.items)
    assert crowd.singles == 0
    assert len(crowd.flows.asked) - before < 10, "pauses grow"
    plane.listed = 200
    crowd.flows.run(MAX_PAUSE)
    assert all(crowd.phases(one)[2:] == ["Running"] for one in plane.items)


@pytest.mark.parametrize("status", [400, 403, 404])
def test_who_may_not_list_reads_singly_a_few_at_each_look(status: int) -> None:
    plane = Plane(30)
    plane.listed = status
    crowd = Crowd(plane)
    crowd.run(1.5)
    assert crowd.singles == 2 * CONFIRMED_PER_LOOK
    assert all(crowd.phases(one) == ["Running"] for one in plane.items)


def test_two_refused_logins_end_the_waits_so_that_the_connection_is_read_anew() -> None:
    plane = Plane(10)
    crowd = Crowd(plane)
    crowd.run(2)
    plane.listed = plane.read = 401
    plane.delta = "known"
    crowd.run(4)
    assert all(crowd.phases(one)[1:] == ["Unauthorized"] for one in plane.items)
    assert all(isinstance(running.error, RefusedAgain) for _, running in crowd.waits.values())


@pytest.mark.parametrize(
    "broken", [{"phase": 5}, {"name": "a\0"}, {"id": "\ud83d"}, None, "odd", {"id": {}}]
)
def test_a_broken_row_hurts_one_wait_only(broken: Any) -> None:
    plane = Plane(10)
    plane.delta = "refused"
    good = plane.items["w-7"]
    plane.items["w-7"] = {**good, **broken} if isinstance(broken, dict) else broken
    rows, plane.items = plane.items, {key: {**good} for key in plane.items}
    crowd = Crowd(plane)
    plane.items = rows
    crowd.run(1.5)
    assert all(crowd.phases(one) == ["Running"] for one in plane.items if one != "w-7")
    assert "Running" not in crowd.phases("w-7")


@pytest.mark.parametrize("delta", ["known", "refused"])
@pytest.mark.parametrize("phase", ["Completed", "Failed", "Deleting"])
def test_an_end_is_read_from_the_workload_itself(delta: str, phase: str) -> None:
    plane = Plane(10)
    plane.delta = delta
    crowd = Crowd(plane)
    crowd.run(2)
    plane.enter("w-1", phase)
    crowd.run(1)
    assert crowd.phases("w-1") == ["Running", phase]
    assert crowd.singles >= 1


def test_the_shortest_interval_rules_while_its_wait_is_there() -> None:
    plane = Plane(20)
    plane.delta = "refused"
    crowd = Crowd(plane, 300.0, **{"w-3": 10.0})
    crowd.run(6)
    assert crowd.flows.count("list") in (6, 7)
    crowd.leave("w-3")
    before = crowd.flows.count("list")
    crowd.flows.run(600)
    assert crowd.flows.count("list") - before == 2
    crowd.join("w-3", 10.0)
    crowd.run(6)
    assert crowd.flows.count("list") - before >= 7


def test_few_waits_are_read_by_themselves() -> None:
    crowd = Crowd(Plane(2))
    crowd.run(4.5)
    assert (crowd.flows.count("list"), crowd.singles) == (0, 10)


def test_a_few_waits_among_thousands_of_strangers_are_read_by_themselves() -> None:
    plane = Plane(5)
    plane.delta = "refused"
    crowd = Crowd(plane)
    for number in range(2000):
        plane.add(f"s-{number}")
    crowd.run(FULL_EVERY - 1)
    assert crowd.flows.count("list") == 5
    assert crowd.singles >= 5 * (FULL_EVERY - 2)
    crowd.run(FULL_EVERY)
    assert crowd.flows.count("list") == 10, "whether that is still so is measured now and then"


def test_many_projects_share_a_list_unless_it_is_longer_than_theirs() -> None:
    plane = Plane(0)
    plane.delta = "refused"
    for number in range(40):
        plane.add(f"w-{number}", f"p-{number % 10}")
    crowd = Crowd(plane)
    crowd.run(2.5)
    assert crowd.flows.count("list") == 3
    for number in range(6000):
        plane.add(f"s-{number}", "another")
    crowd.run(1)
    before = crowd.flows.count("list")
    crowd.run(2)
    assert crowd.flows.count("list") - before == 20
    assert all(crowd.phases(f"w-{n}") == ["Running"] for n in range(40))


def test_few_newcomers_are_read_at_once_and_many_wait_for_the_next_list() -> None:
    plane = Plane(60)
    waiting = {key: plane.items.pop(key) for key in list(plane.items)[10:]}
    crowd = Crowd(plane)
    crowd.flows.run(2)
    plane.items |= waiting
    first, *others = waiting
    crowd.join(first)
    crowd.flows.run(1.1)
    assert (crowd.phases(first), crowd.singles) == (["Running"], 1)
    for identity in others:
        crowd.join(identity)
    crowd.flows.run(1.1)
    assert crowd.phases(others[0]) == []
    crowd.run(1)
    assert all(crowd.phases(one) == ["Running"] for one in others)
    assert (crowd.flows.count("list"), crowd.singles) == (2, 1)


def test_two_waits_for_one_workload_hear_the_same() -> None:
    plane = Plane(5)
    crowd = Crowd(plane)
    other = Watched(Workload("w-1", "w-1-g1", "", project_id="4501"), L, crowd.watcher)
    other.__enter__()
    following = crowd.flows.start(other.following(other.start, math.inf, Sleep(0)))
    crowd.run(1)
    assert following.result.phase == "Running"
    other.__exit__()
    plane.enter("w-1", "Pending")
    crowd.run(1)
    assert crowd.phases("w-1") == ["Running", "Pending"]


def test_a_clock_that_was_set_back_does_not_stop_the_looks() -> None:
    plane = Plane(5)
    crowd = Crowd(plane)
    crowd.run(3)
    crowd.flows.now -= 3600
    for one in crowd.flows.running:
        one.due -= 3600
    before = len(crowd.flows.asked)
    crowd.run(3)
    assert len(crowd.flows.asked) - before >= 2


def test_when_its_time_is_up_a_wait_reads_for_itself_but_not_while_nobody_answers() -> None:
    plane = Plane(5)
    crowd = Crowd(plane)
    crowd.run(1)
    (wait, running) = crowd.waits["w-1"]
    crowd.flows.cancel(running)
    crowd.run(1)
    timed = crowd.flows.start(wait.following(crowd.heard["w-1"][-1], 5.0, Sleep(0)))  # type: ignore[arg-type]
    crowd.flows.run(6)
    assert (timed.result.phase, crowd.singles) == ("Running", 1)
    plane.listed = 500
    plane.delta = "refused"
    crowd.run(2)
    for _ in range(2):
        blind = crowd.flows.start(wait.following(timed.result, 5.0, Sleep(0)))
        crowd.flows.run(6)
        assert isinstance(blind.error, Unreachable)
    assert crowd.singles == 1
