"""One list and one watch show every wait what it waits for, whatever happens to them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from airflow_runai.backends.kubernetes.watching.bells import Bell, Bells
from airflow_runai.backends.kubernetes.watching.reflector import RELIST, SILENCE, Reflector
from airflow_runai.core.flow import Flow, Wait, now
from airflow_runai.core.kubernetes.mirror import Mirror
from airflow_runai.errors import Forbidden, RunaiError, Unreachable
from tests.backends.kubernetes.world import JOBS, World, verb_of
from tests.core.stage import NOON

pytestmark = pytest.mark.slow


def shown(facts: Mirror, uid: str) -> str | None:
    """Say what a mirror knows of a Job; ``None`` if nothing."""
    case = facts.case(uid)
    if case is None:
        return None
    if case.training.presence.is_gone:
        return "gone"
    return "Failed" if case.training.failure else "Running"


def rung(bell: Bell, seconds: float) -> Flow[bool]:
    """Wait for a bell; return whether it has rung."""
    yield Wait(bell, seconds)
    return bell.still()


@dataclass
class Scene:
    """A world, a reflector of it, and waits that note when they were woken, and what they saw then."""

    world: World
    reflector: Reflector
    facts: Mirror
    bells: Bells
    woken: dict[str, list[tuple[float, str | None]]] = field(default_factory=dict)
    wakes: int = 0

    def wait(self, uid: str) -> None:
        self.world.flows.start(self._waiting(uid))
        self.world.flows.run(0)

    def _waiting(self, uid: str) -> Flow[None]:
        seen = self.woken.setdefault(uid, [])
        with self.bells.bell(uid) as bell:
            while True:
                yield from rung(bell, math.inf)
                error = self.reflector.error
                state = type(error).__name__ if error else shown(self.facts, uid)
                self.wakes += 1
                if not seen or seen[-1][1] != state:
                    seen.append(((yield from now()) - NOON, state))

    def seen(self, uid: str) -> list[str | None]:
        return [shown for _, shown in self.woken[uid]]

    def run(self, seconds: float) -> None:
        self.world.flows.run(seconds)

    # Methods, because a type checker believes that an attribute stays what it was.
    def error(self) -> RunaiError | None:
        return self.reflector.error

    def is_watching(self) -> bool:
        return self.reflector.is_watching


def scene(count: int = 3, waits: int | None = None, interval: float = 30.0) -> Scene:
    world, bells, facts = World(count), Bells(), Mirror()
    reflector = Reflector("Job", JOBS, [("labelSelector", "a=b")], facts, bells)
    made = Scene(world, reflector, facts, bells)
    made.reflector.interval = interval
    for number in range(count if waits is None else waits):
        made.wait(f"w-{number}")
    world.flows.start(made.reflector.run())
    return made


def test_a_thousand_waits_cost_one_list_and_one_watch() -> None:
    one = scene(1000)
    for _ in range(4):
        one.run(60)
        one.world.bookmark()
    assert one.world.count("list") == 1
    assert one.world.count("watch") == 1
    first = one.world.flows.asked[0][1]
    assert dict(first.params) == {"labelSelector": "a=b", "limit": "1000"}
    watch = dict(one.world.flows.asked[-1][1].params)
    assert watch["resourceVersion"] == "1100"
    assert watch["allowWatchBookmarks"] == "true"
    assert 290 <= int(watch["timeoutSeconds"]) <= 340


def test_a_change_wakes_its_own_wait_at_once() -> None:
    one = scene()
    one.run(10)
    assert all(one.seen(f"w-{number}") == ["Running"] for number in range(3))
    one.world.write("w-1", "Failed")
    one.run(0)
    assert one.woken["w-1"][-1] == (10.0, "Failed")
    assert len(one.seen("w-0")) == len(one.seen("w-2")) == 1


def test_a_bookmark_moves_the_place_where_a_broken_watch_goes_on() -> None:
    one = scene()
    one.run(5)
    one.world.version += 50
    one.world.bookmark()
    one.run(1)
    one.world.cut()
    one.world.write("w-2", "Failed")
    one.run(5)
    assert dict(one.world.flows.asked[-1][1].params)["resourceVersion"] == "153"
    assert one.seen("w-2")[-1] == "Failed"
    assert one.world.count("list") == 1


def test_410_as_a_line_makes_it_list_again_and_wakes_only_what_changed() -> None:
    one = scene(200)
    one.run(5)
    one.wakes = 0
    one.world.cut()
    one.world.is_away = True
    one.world.write("w-7", "Failed")
    one.world.remove("w-8")
    one.world.expire()
    one.world.is_away = False
    one.run(60)
    assert (one.seen("w-7")[-1], one.seen("w-8")[-1]) == ("Failed", "gone")
    assert one.wakes == 2
    assert one.world.count("list") == 2
    assert one.is_watching()


@pytest.mark.parametrize("moment", range(1, 5))
def test_all_ends_are_seen_that_fall_into_a_relist(moment: int) -> None:
    one = scene(2600, waits=0)
    one.run(5)
    pages = 0

    def end_some() -> None:
        nonlocal pages
        pages += 1
        if pages == moment:
            for number in range(0, 2600, 65):
                one.world.write(f"w-{number}", "Failed")

    one.world.on_page = end_some
    one.world.expire()
    one.run(60)
    # Nobody waits for them, so whatever has ended may be forgotten.
    ended = [n for n in range(2600) if shown(one.facts, f"w-{n}") != "Running"]
    if moment == 4:  # the list has three pages: nothing happened
        assert ended == []
    else:
        assert len(ended) == 40


def test_410_in_the_middle_of_a_list_begins_it_anew() -> None:
    one = scene(1200, waits=0)
    pages = 0

    def expire_once() -> None:
        nonlocal pages
        pages += 1
        if pages == 2:
            one.world.remove("w-3")
            one.world.oldest = one.world.version

    one.world.on_page = expire_once
    one.run(30)
    assert len(one.facts.trainings()) == 1199
    assert one.is_watching()
    assert one.error() is None


def test_a_label_that_is_removed_and_put_back() -> None:
    one = scene()
    one.run(1)
    one.world.remove("w-0")
    one.run(1)
    one.world.write("w-0", "Running")
    one.run(1)
    assert one.seen("w-0") == ["Running", "gone", "Running"]


def test_what_has_ended_is_kept_for_its_waits_only() -> None:
    one = scene(4, waits=1)
    one.run(1)
    one.world.remove("w-0")
    one.world.remove("w-1")
    one.world.write("w-2", "Failed")
    one.run(1)
    one.world.expire()
    one.run(5)
    assert [job.uid for job in one.facts.trainings()] == ["w-0", "w-3"]


def test_two_streams_that_say_nothing_lead_to_a_new_list() -> None:
    one = scene()
    one.run(1)
    one.world.bookmark()
    one.run(1)
    one.world.is_deaf = True  # as for a version from the future
    one.run(2 * SILENCE - 3)
    one.world.write("w-0", "Failed")
    assert (one.world.count("list"), one.world.count("watch")) == (1, 2)
    one.run(4)
    assert one.seen("w-0")[-1] == "Failed"
    assert one.world.count("list") == 2


def test_one_stream_that_says_nothing_is_opened_anew_without_a_list() -> None:
    """While a kind changes nowhere, a server sends no bookmarks."""
    one = scene()
    one.run(RELIST - 5)
    assert (one.world.count("list"), one.world.count("watch")) == (1, 1 + RELIST // SILENCE)
    one.world.write("w-0", "Failed")
    one.run(1)
    assert one.seen("w-0")[-1] == "Failed"


def test_the_whole_list_is_read_every_ten_minutes_whatever_the_watch_says() -> None:
    one = scene()
    for _ in range(750):
        one.run(5)
        one.world.bookmark()
        began, request = one.world.flows.asked[-1]
        life = int(dict(request.params)["timeoutSeconds"])
        assert life <= 340
        if one.world.flows.now - began >= life:
            one.world.cut()
    lists = [at - NOON for at, request in one.world.flows.asked if verb_of(request) == "list"]
    assert len(lists) == 1 + 750 * 5 // int(RELIST)
    assert max(after - before for before, after in pairwise(lists)) <= RELIST + 10
    assert len(one.seen("w-0")) == 1


def test_without_the_right_to_watch_it_lists() -> None:
    one = scene(interval=20.0)
    one.world.forbidden.add("watch")
    one.run(120)
    one.world.write("w-1", "Failed")
    one.run(20 * 1.1)
    assert one.seen("w-1")[-1] == "Failed"
    assert one.error() is None
    lists, watches = one.world.count("list"), one.world.count("watch")
    assert not one.is_watching()
    one.world.forbidden.clear()
    one.run(300)
    assert 13 <= one.world.count("list") - lists <= 15
    assert one.world.count("watch") == watches
    one.run(RELIST)
    assert one.is_watching()


def test_a_watch_that_is_refused_for_a_moment_comes_back_at_once() -> None:
    one = scene()
    one.world.forbidden.add("watch")
    one.run(1)
    one.world.forbidden.clear()
    one.run(4)
    assert one.is_watching()


def test_a_refusal_is_told_only_when_it_lasts() -> None:
    one = scene()
    one.run(10)
    one.world.forbidden = {"list", "watch"}
    one.world.expire()
    one.run(25)
    assert one.error() is None
    one.run(30)
    assert isinstance(one.error(), Forbidden)
    assert "let airflow" in str(one.error())
    assert len(one.seen("w-0")) == 2
    one.run(600)
    assert len(one.seen("w-0")) == 2
    one.world.forbidden.clear()
    one.run(100)
    assert one.error() is None
    assert len(one.seen("w-0")) == 3


def test_an_outage_is_told_once_and_so_is_its_end() -> None:
    one = scene()
    one.run(10)
    one.world.is_away = True
    one.world.cut()
    one.run(0.4)
    assert one.error() is None
    one.run(300)
    assert isinstance(one.error(), Unreachable)
    requests = len(one.world.flows.asked)
    assert requests < 40
    one.world.is_away = False
    one.world.write("w-0", "Failed")
    one.run(60)
    assert one.error() is None
    assert one.seen("w-0")[-1] == "Failed"
    assert one.seen("w-0").count("Unreachable") == 1
    assert one.seen("w-1") == ["Running", "Unreachable", "Running"]


def test_a_server_that_restarts_is_no_outage() -> None:
    one = scene()
    one.run(10)
    one.world.is_away = True
    one.world.expire()
    one.run(1.0)
    one.world.is_away = False
    one.world.write("w-0", "Failed")
    one.run(5)
    assert one.seen("w-0") == ["Running", "Failed"]
    assert one.seen("w-1") == ["Running"]


def test_waits_that_begin_in_an_outage_do_not_wait_for_ever() -> None:
    one = scene()
    one.world.is_away = True
    one.run(10)
    assert not one.reflector.has_listed
    assert isinstance(one.error(), Unreachable)
    assert one.seen("w-0") == ["Unreachable"]


def test_whoever_waits_for_what_is_not_there_hears_of_the_first_list() -> None:
    one = scene()
    one.wait("w-9")
    one.run(1)
    assert one.reflector.has_listed
    assert one.seen("w-9") == [None]


@pytest.mark.parametrize("line", [b"<html>", b'{"type":"ADDED"}', b"[]", b'{"kind":"JobList"}'])
def test_what_is_no_event_leads_to_a_new_list_and_not_to_a_flood(line: bytes) -> None:
    one = scene()
    one.run(1)
    one.world.say(line)
    one.world.write("w-0", "Failed")
    one.run(0.2)
    assert one.seen("w-0")[-1] == "Failed"
    assert one.world.count("list") == 2
    for _ in range(300):
        one.world.say(line)
        one.run(1)
    assert one.world.count("list") < 40


def test_endless_410_is_no_flood() -> None:
    one = scene()
    one.world.oldest = 10**9

    def serve_lists() -> None:
        one.world.oldest = 0

    one.world.on_page = serve_lists
    answer = one.world.stream

    def stream(request: Any) -> Any:
        one.world.oldest = 10**9
        return answer(request)

    one.world.flows.stream = stream
    one.run(600)
    assert one.world.count("list") < 40


def test_a_watch_that_ends_at_once_is_no_flood() -> None:
    one = scene()
    answer = one.world.stream

    def stream(request: Any) -> Any:
        opened = answer(request)
        opened.put(None)
        return opened

    one.world.flows.stream = stream
    one.run(600)
    assert one.world.count("watch") < 40


def test_an_object_without_a_uid_is_nobodys() -> None:
    one = scene()
    one.run(1)
    one.world.say({"type": "ADDED", "object": {"metadata": {"name": "x"}, "status": {}}})
    one.world.say({"type": "MODIFIED", "object": {"metadata": None}})
    one.run(1)
    assert len(one.facts.trainings()) == 3
    assert one.world.count("list") == 1


def test_pods_ring_for_their_training() -> None:
    world, bells, facts = World(), Bells(), Mirror()
    made = Reflector("Pod", "/api/v1/namespaces/team-a/pods", [], facts, bells)
    world.flows.start(made.run())
    with bells.bell("job-1") as one, bells.bell("job-2") as other:
        heard, quiet = world.flows.start(rung(one, 60)), world.flows.start(rung(other, 60))
        world.flows.run(1)
        heard, quiet = world.flows.start(rung(one, 60)), world.flows.start(rung(other, 60))
        labels = {"batch.kubernetes.io/controller-uid": "job-1"}
        world.write("pod-1", labels=labels)
        world.flows.run(1)
        assert heard.result is True
        assert not quiet.is_done


def test_a_bell_that_rings_between_two_waits_is_not_missed() -> None:
    bells = Bells()
    world = World()
    with bells.bell("w") as bell:
        assert bells.ring("w")
        waiting = world.flows.start(rung(bell, math.inf))
        world.flows.run(0)
        assert waiting.result is True
        timed = world.flows.start(rung(bell, 5))
        world.flows.run(6)
        assert timed.result is False
        assert "w" in bells
    assert not bells.ring("w")
    assert len(bells) == 0
