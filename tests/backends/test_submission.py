from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.backends.control_plane import create
from airflow_runai.backends.submission import (
    LONGEST_GOODBYE,
    LONGEST_PAUSE,
    LOOKS,
    MOST_CREATES,
    create_or_adopt,
    end_and_wait,
    generations,
    patiently,
    verify,
)
from airflow_runai.core.flow import Flow, Reply, Request
from airflow_runai.core.workload import Workload
from airflow_runai.errors import (
    Conflict,
    Forbidden,
    ForeignWorkload,
    Refused,
    Throttled,
    Unauthorized,
    Unreachable,
    Unreadable,
    Untrusted,
)
from tests.backends.rest import PROJECT, Answers, SmallPlane, html, item, order, reply
from tests.core.stage import Hand

LOST = Unreachable("the connection was reset")


def test_a_create_that_is_answered_is_the_only_call() -> None:
    plane = SmallPlane()
    made = plane.hand().run(create_or_adopt(PROJECT, order()))
    assert (made.name, plane.creates, plane.lists) == ("train-0123456789-g1", 1, 0)
    assert made.fingerprint == order().fingerprint
    assert made.try_number == 1


@pytest.mark.parametrize("shows_variables", [True, False])
@pytest.mark.parametrize("lag", [0, 2])
def test_a_lost_reply_after_success_is_adopted_with_one_create(shows_variables: bool, lag: int) -> None:
    plane = SmallPlane(lose_reply_of=(1,), lag=lag, shows_variables=shows_variables)
    found = plane.hand().run(create_or_adopt(PROJECT, order()))
    assert (found.id, plane.creates, len(plane.workloads)) == ("id-1", 1, 1)


@pytest.mark.parametrize("answer", [LOST, html(200), html(502), reply({}, 503), reply({}, 500), reply({"a": 1}, 202)])
def test_a_create_that_never_arrived_is_sent_again_once_looked_up(answer: Any) -> None:
    def once(number: int) -> Any:
        return answer if number == 1 else None

    plane = SmallPlane(on_create=once)
    found = plane.hand().run(create_or_adopt(PROJECT, order()))
    assert (found.id, plane.creates, len(plane.workloads)) == ("id-2", 2, 1)
    assert plane.lists >= 3


def test_a_list_that_lags_longer_than_our_patience_still_leads_to_one_workload() -> None:
    plane = SmallPlane(lose_reply_of=(1,), lag=4)
    found = plane.hand().run(create_or_adopt(PROJECT, order()))
    assert (found.id, plane.creates, len(plane.workloads)) == ("id-1", 2, 1)


@pytest.mark.parametrize(
    "duplicate",
    [
        reply({"message": "name taken"}, 409),
        reply({"message": "a workload with this name already exists"}, 400),
        reply({"message": "name is not unique"}, 400),
        reply({"message": "internal"}, 503),
    ],
)
def test_a_name_that_is_taken_by_ourselves_is_adopted(duplicate: Reply) -> None:
    plane = SmallPlane(duplicate=duplicate)
    plane.hand().run(create(PROJECT, "trainings", order().name, order().body()))
    found = plane.hand().run(create_or_adopt(PROJECT, order()))
    assert (found.id, len(plane.workloads)) == ("id-1", 1)


def test_a_name_that_is_taken_by_another_specification_is_refused_with_the_difference() -> None:
    plane = SmallPlane()
    theirs = order(command="./old.sh", environment={"TOKEN": "hunter1"})
    plane.hand().run(create_or_adopt(PROJECT, theirs))
    with pytest.raises(ForeignWorkload) as caught:
        plane.hand().run(create_or_adopt(PROJECT, order(command="./new.sh", environment={"TOKEN": "hunter2"})))
    text = str(caught.value)
    assert "spec.command: running with './old.sh', now './new.sh'" in text
    assert "spec.environmentVariables[TOKEN]: another value (not shown)" in text
    assert "on_clear='restart'" in text
    assert "hunter" not in text
    assert len(plane.workloads) == 1


def test_a_workload_of_somebody_else_is_never_adopted() -> None:
    foreign = Workload("w-9", order().name, "Running", fingerprint=None)
    hand = Answers.hand(reply({"spec": {"image": "a:1", "preemptibility": "preemptible"}}))
    with pytest.raises(ForeignWorkload, match="was made from another specification"):
        hand.run(verify(foreign, order()))


def test_the_same_specification_from_another_try_is_ours() -> None:
    again = order()
    assert Hand().run(verify(Workload("w", again.name, "Running", fingerprint=again.fingerprint), again)) is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (reply({"message": "no scope"}, 403), Forbidden),
        (reply({"message": "no such project"}, 404), Refused),
        (reply({"message": "bad field", "complianceIssues": [{"field": "spec.x", "details": "max 1"}]}, 400), Refused),
        (reply({"message": "taken"}, 409), Conflict),
        (reply({"message": "expired"}, 401), Unauthorized),
    ],
)
def test_a_refusal_is_told_and_not_repeated(answer: Reply, error: type[Exception]) -> None:
    plane = SmallPlane(on_create=lambda number: answer)
    with pytest.raises(error):
        plane.hand().run(create_or_adopt(PROJECT, order()))
    assert (plane.creates, len(plane.workloads)) == (1, 0)


def test_an_untrusted_certificate_is_not_tried_again() -> None:
    plane = SmallPlane(on_create=lambda number: Untrusted("self-signed"))
    with pytest.raises(Untrusted):
        plane.hand().run(create_or_adopt(PROJECT, order()))
    assert (plane.creates, plane.lists) == (1, 0)


def test_a_control_plane_that_stays_away_ends_in_unreachable_after_a_bounded_number_of_creates() -> None:
    plane = SmallPlane(on_create=lambda number: LOST)
    with pytest.raises(Unreachable, match="reset"):
        plane.hand().run(create_or_adopt(PROJECT, order()))
    assert plane.creates == MOST_CREATES


def test_without_an_answer_to_the_lookup_nothing_is_created_again() -> None:
    plane = SmallPlane(lose_reply_of=(1,), list_answers=dict.fromkeys(range(1, 99), LOST))
    with pytest.raises(Unreachable):
        plane.hand().run(create_or_adopt(PROJECT, order()))
    assert (plane.creates, len(plane.workloads)) == (1, 1)


@pytest.mark.parametrize("empty", [reply(None), html(200), html(404)])
def test_silence_of_the_list_is_not_taken_for_nothing_there(empty: Reply) -> None:
    plane = SmallPlane(lose_reply_of=(1,), list_answers=dict.fromkeys(range(1, 99), empty))
    with pytest.raises(Unreadable):
        plane.hand().run(create_or_adopt(PROJECT, order()))
    assert plane.creates == 1


def test_the_last_look_decides_even_if_earlier_ones_failed() -> None:
    plane = SmallPlane(lose_reply_of=(1,), list_answers={1: LOST, 2: LOST})
    assert plane.hand().run(create_or_adopt(PROJECT, order())).id == "id-1"
    assert plane.creates == 1


def test_a_throttled_create_waits_as_asked_within_reason() -> None:
    answers = {1: Throttled("slow down", 20.0), 2: Throttled("slow down", 86_400.0)}
    plane = SmallPlane(on_create=answers.get)
    hand = plane.hand()
    hand.run(create_or_adopt(PROJECT, order()))
    assert hand.slept[0] == 20.0
    assert max(hand.slept) == LONGEST_PAUSE


def test_generations_come_from_both_lists_and_each_once() -> None:
    alive = reply({"workloads": [item("w-2", name="b-g2"), item("w-3", name="b-g3")]})
    gone = reply({"workloads": [item("w-1", name="b-g1"), item("w-2", name="b-g2")]})
    hand = Answers.hand(alive, gone)
    found = hand.run(generations(PROJECT, "b"))
    assert [(w.id, w.deleted) for w in found] == [("w-2", False), ("w-3", False), ("w-1", True)]


def test_generations_that_cannot_be_listed_stop_the_submission() -> None:
    hand = Answers.hand(Unreachable("down"))
    with pytest.raises(Unreachable):
        hand.run(generations(PROJECT, "b"))
    assert len(hand.asked) == len(LOOKS) + 1


RUNNING = Workload("w-1", "b-g1", "Running", kind="Training")
NOT_THERE = reply({"message": "not found"}, 404)


class Leaving:
    """Answers a delete, then shows the workload for so many reads."""

    def __init__(self, reads: int, *last: Reply | Exception) -> None:
        self.reads, self.last, self.methods = reads, last or (NOT_THERE,), ""

    def __call__(self, request: Request) -> Reply:
        self.methods += request.method[0]
        if request.method == "DELETE":
            return reply({}, 202)
        self.reads -= 1
        answer = (
            reply(item(phase="Deleting")) if self.reads >= 0 else self.last[min(-1 - self.reads, len(self.last) - 1)]
        )
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_workload_is_deleted_once_and_waited_for_until_it_is_gone() -> None:
    leaving = Leaving(3)
    Hand(answer=leaving).run(end_and_wait(RUNNING))
    assert leaving.methods == "DGGGG"


@pytest.mark.parametrize("trouble", [LOST, html(404), html(200), reply({}, 503)])
def test_trouble_while_it_leaves_is_not_taken_for_gone(trouble: Any) -> None:
    leaving = Leaving(1, trouble, reply(item(phase="Deleting")), NOT_THERE)
    Hand(answer=leaving).run(end_and_wait(RUNNING))
    assert leaving.methods == "DGGGG"


def test_what_somebody_already_deletes_is_only_waited_for() -> None:
    leaving = Leaving(2)
    Hand(answer=leaving).run(end_and_wait(Workload("w-1", "b-g1", "Deleting")))
    assert leaving.methods == "GGG"


@pytest.mark.parametrize(
    "last", [reply(item(phase="Completed")), reply(item(phase="Failed")), reply(item(deletedAt="x"))]
)
def test_what_has_ended_on_the_way_holds_nothing_any_more(last: Reply) -> None:
    Hand(answer=Leaving(0, last)).run(end_and_wait(RUNNING))


def test_a_workload_that_does_not_leave_is_an_error_and_no_second_one_is_started() -> None:
    hand = Hand(answer=Leaving(10**6))
    with pytest.raises(Unreachable, match="b-g1 is still Deleting 900 s after its deletion"):
        hand.run(end_and_wait(RUNNING))
    assert sum(hand.slept) >= LONGEST_GOODBYE


def test_patience_ends_and_the_last_error_is_told() -> None:
    def failing() -> Flow[None]:
        yield from ()
        raise Unreachable("still down")

    hand = Hand()
    with pytest.raises(Unreachable, match="still down"):
        hand.run(patiently(failing))
    assert hand.slept == list(LOOKS)
