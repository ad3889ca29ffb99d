from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_runai.backends.patience import TELL_EVERY
from airflow_runai.backends.termination import (
    GRACE,
    MAX_TERMINATION_SECONDS,
    REPEAT,
    end_and_wait,
    let_pods_end,
    stop,
)
from airflow_runai.core.decision import ABSENCE_SECONDS
from airflow_runai.core.flow import Reply, Request
from airflow_runai.core.workload import Workload
from airflow_runai.errors import Unreachable, Untrusted
from tests.backends.rest import BACKEND, html, item, reply
from tests.core.stage import NOON, Hand

RUNNING = Workload("w-1", "b-g1", "Running", kind="Training")
LOST = Unreachable("the connection was reset")
NOT_THERE = reply({"message": "not found"}, 404)
REFUSED = reply({"message": "no"}, 403)


@dataclass
class Leaving:
    """
    A control plane with one workload, whose readings follow a plan.

    :param reads: what reads answer, one after the other; the last is repeated.
    :param deleted_from: read from which on the workload is listed as deleted.
    """

    reads: list[Any]
    deleted_from: int = 10**9
    pods: list[Any] = field(default_factory=lambda: [0])
    deletions: Callable[[int], Any] = lambda number: reply({}, 202)
    calls: str = ""

    def __call__(self, request: Request) -> Reply:
        answer = self._answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]  # all that is no exception is a reply

    def _answer(self, request: Request) -> Any:
        if request.path.endswith("/pods"):
            count = self.pods.pop(0) if len(self.pods) > 1 else self.pods[0]
            return (
                reply({"pods": [{"k8sPhase": "Running"}] * count})
                if isinstance(count, int)
                else count
            )
        if request.method == "DELETE":
            self.calls += "D"
            return self.deletions(self.calls.count("D"))
        if request.path.endswith("/workloads"):
            listed = self.calls.count("G") >= self.deleted_from
            return reply({"workloads": [item(name="b-g1")] if listed else []})
        if request.method == "POST":
            self.calls += "S"
            return reply({}, 202)
        self.calls += "G"
        return self.reads.pop(0) if len(self.reads) > 1 else self.reads[0]


ALIVE, GOING = reply(item()), reply(item(phase="Deleting"))


def test_a_workload_is_deleted_once_and_waited_for_until_it_is_listed_as_deleted() -> None:
    leaving = Leaving([ALIVE, GOING, GOING, NOT_THERE], deleted_from=4)
    Hand(answer=leaving).run(end_and_wait(BACKEND, RUNNING))
    assert leaving.calls == "GDGGG"


def test_a_404_alone_is_no_end() -> None:
    leaving = Leaving([NOT_THERE, NOT_THERE, ALIVE, GOING, NOT_THERE], deleted_from=5)
    Hand(answer=leaving).run(end_and_wait(BACKEND, RUNNING))
    assert leaving.calls == "GGGDGG"


def test_a_deletion_that_had_no_effect_is_repeated() -> None:
    leaving = Leaving(
        [ALIVE] * 9 + [NOT_THERE],
        deleted_from=10,
        deletions=lambda number: LOST if number == 1 else NOT_THERE,
    )
    hand = Hand(answer=leaving)
    hand.run(end_and_wait(BACKEND, RUNNING))
    assert leaving.calls.count("D") >= 2
    assert sum(hand.slept) >= REPEAT


def test_what_is_nowhere_counts_as_gone_after_ten_minutes() -> None:
    hand = Hand(answer=Leaving([NOT_THERE]))
    hand.run(end_and_wait(BACKEND, RUNNING))
    assert ABSENCE_SECONDS <= hand.now - NOON <= ABSENCE_SECONDS + 20


@pytest.mark.parametrize(
    "trouble", [LOST, html(404), html(200), reply({}, 503), reply({"message": "no"}, 401), REFUSED]
)
def test_trouble_while_it_leaves_is_not_taken_for_gone(trouble: Any) -> None:
    leaving = Leaving([ALIVE, trouble, GOING, NOT_THERE], deleted_from=4)
    Hand(answer=leaving).run(end_and_wait(BACKEND, RUNNING))
    assert leaving.calls == "GDGGG"


def test_what_somebody_already_deletes_is_only_waited_for() -> None:
    leaving = Leaving([GOING, GOING, NOT_THERE], deleted_from=3)
    Hand(answer=leaving).run(end_and_wait(BACKEND, RUNNING))
    assert leaving.calls == "GGG"


@pytest.mark.parametrize(
    "last", [item(phase="Completed"), item(phase="Failed"), item(deletedAt="x")]
)
def test_what_has_ended_on_the_way_holds_nothing_any_more(last: dict[str, Any]) -> None:
    Hand(answer=Leaving([ALIVE, reply(last)])).run(end_and_wait(BACKEND, RUNNING))


@pytest.mark.parametrize(("reads", "words"), [([GOING], ""), ([REFUSED], " .*no")])
def test_a_workload_that_does_not_leave_is_an_error_and_no_second_one_is_started(
    reads: list[Any], words: str
) -> None:
    hand = Hand(answer=Leaving(reads))
    with pytest.raises(Unreachable, match=f"b-g1 is not gone after 900 s{words}"):
        hand.run(end_and_wait(BACKEND, RUNNING))
    assert sum(hand.slept) >= MAX_TERMINATION_SECONDS
    told = hand.texts("retry")
    assert 10 <= len(told) <= MAX_TERMINATION_SECONDS / TELL_EVERY
    assert all(
        re.fullmatch(f"workload b-g1 is not gone{words}.*; waiting until .* UTC", one)
        for one in told
    )


def test_a_certificate_that_is_not_trusted_is_told_at_once() -> None:
    with pytest.raises(Untrusted):
        Hand(answer=Leaving([Untrusted("self-signed")])).run(end_and_wait(BACKEND, RUNNING))


def test_a_replacement_waits_until_no_pod_writes_any_more() -> None:
    hand = Hand(answer=Leaving([NOT_THERE], pods=[2, LOST, 1, 0]))
    hand.run(let_pods_end(BACKEND, RUNNING))
    assert len(hand.slept) == 3


@pytest.mark.parametrize(("phase", "seconds"), [("Running", GRACE), ("Failed", 0)])
def test_a_server_that_does_not_tell_pods_is_given_the_grace_period(
    phase: str, seconds: float
) -> None:
    hand = Hand(answer=Leaving([NOT_THERE], pods=[NOT_THERE]))
    hand.run(let_pods_end(BACKEND, Workload("w-1", "b-g1", phase)))
    assert sum(hand.slept) == seconds


def test_pods_that_never_end_are_an_error() -> None:
    with pytest.raises(Unreachable, match="b-g1 still has pods after 900 s"):
        Hand(answer=Leaving([NOT_THERE], pods=[1])).run(let_pods_end(BACKEND, RUNNING))


@pytest.mark.parametrize(
    ("action", "reads", "calls", "done"),
    [
        ("keep", [ALIVE], "", "is left alone"),
        ("stop", [ALIVE, GOING], "GDG", "was stopped and deleted"),
        ("stop", [reply(item(phase="Failed"))], "G", "is already Failed"),
        ("suspend", [ALIVE, ALIVE, reply(item(phase="Stopping"))], "GSGSG", "was suspended"),
        ("suspend", [reply(item(phase="Stopped"))], "G", "is already Stopped"),
        ("stop", [reply(item(phase="Stopped")), GOING], "GDG", "was stopped and deleted"),
        ("stop", [ALIVE], "GDGDGDGD", None),
        ("stop", [NOT_THERE], "GGGG", None),
    ],
)
def test_a_stop_says_what_came_of_it(
    action: str, reads: list[Any], calls: str, done: str | None
) -> None:
    leaving = Leaving(list(reads))
    words = Hand(answer=leaving).run(stop(BACKEND, RUNNING, action))
    assert leaving.calls == calls
    assert (done in words) if done and words else words is done


def test_a_stop_that_is_not_wanted_any_more_is_not_sent_again() -> None:
    leaving, wanted = Leaving([ALIVE]), iter((True, False))
    words = Hand(answer=leaving).run(stop(BACKEND, RUNNING, "stop", lambda: next(wanted)))
    assert leaving.calls == "GDG"
    assert words is not None
    assert "was cleared" in words


def test_a_stop_leaves_alone_what_has_changed_before_it() -> None:
    leaving = Leaving([ALIVE])
    words = Hand(answer=leaving).run(stop(BACKEND, RUNNING, "stop", unless=lambda current: True))
    assert (leaving.calls, words) == ("G", None)
