from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.timeline import UNSEEN, Moment
from airflow_runai.core.timeouts import Timeouts
from airflow_runai.core.waiting import (
    MAX_HISTORY_ATTEMPTS,
    MAX_PAUSE,
    appearance,
    take_snapshot,
    wait,
)
from airflow_runai.core.workload import Workload
from airflow_runai.errors import (
    Forbidden,
    NotFound,
    Refused,
    Throttled,
    Unauthorized,
    Unreachable,
    Unreadable,
    Untrusted,
)
from tests.core.stage import NOON, Hand, Script, acts

STORY = acts(
    (0, "Creating"),
    (2, "Pending"),
    (62, "Running"),
    (300, "Pending", "Preempted"),
    (400, "Running"),
)
TRAINING = (*STORY, Moment(NOON + 1000, "Completed"))
POLICY = WaitPolicy(poll_interval=30)

TROUBLES = {
    "lost reply": Unreachable("reset by peer"),
    "certificate": Untrusted("self-signed"),
    "401": Unauthorized("wrong secret", 401),
    "403": Forbidden("no scope", 403),
    "429": Throttled("slow down", 7.0),
    "5xx": Unreachable("503"),
    "HTML": Unreadable("a page"),
    "unreadable": Unreadable("no id"),
    "400": Refused("what?", 400),
}


def play(
    script: Script, policy: WaitPolicy = POLICY, hand: Hand | None = None
) -> tuple[Outcome, Hand]:
    hand = hand or Hand()
    return hand.run(wait(policy, script.reader(), script.start)), hand


def test_a_training_is_followed_through_its_preemption_to_the_end() -> None:
    outcome, hand = play(Script(TRAINING))
    assert (outcome.status, outcome.ended_at, outcome.timeline) == (
        "succeeded",
        NOON + 1000,
        TRAINING,
    )
    assert (outcome.clocks.queue, outcome.clocks.interrupted_total, outcome.clocks.running) == (
        62,
        100,
        838,
    )
    assert (outcome.clocks.interruptions, outcome.clocks.preemptions) == (1, 1)
    assert len(hand.texts("timeline")) == 6
    assert not hand.texts("trouble")


@pytest.mark.parametrize("keeps_history", [True, False])
@pytest.mark.parametrize("says_when", [True, False])
def test_servers_that_tell_less_give_the_same_outcome(keeps_history: bool, says_when: bool) -> None:
    outcome, _ = play(
        Script(TRAINING, keeps_history=keeps_history, says_when=says_when),
        WaitPolicy(poll_interval=1),
    )
    assert outcome.status == "succeeded"
    assert outcome.clocks.interruptions == 1
    assert outcome.clocks.running == pytest.approx(838, abs=3)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_never_ends_a_wait_and_is_told_once(trouble: str) -> None:
    script = Script(TRAINING, troubles=[(NOON + 100, NOON + 700, TROUBLES[trouble])])
    outcome, hand = play(script)
    assert (outcome.status, outcome.timeline) == ("succeeded", TRAINING)
    told = hand.texts("trouble")
    assert len(told) == 2
    assert "its state is unknown" in told[0]
    assert told[1] == "the platform answers again"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_from_the_very_first_look_is_survived(trouble: str) -> None:
    script = Script(TRAINING, troubles=[(NOON, NOON + 5000, TROUBLES[trouble])])
    outcome, _ = play(script)
    assert (outcome.status, outcome.ended_at, outcome.clocks.queue) == (
        "succeeded",
        NOON + 1000,
        62,
    )


def test_changing_troubles_are_told_once_per_kind() -> None:
    flips: list[tuple[float, float, Exception]] = [
        (NOON + i * 40, NOON + i * 40 + 40, TROUBLES["429"] if i % 2 else TROUBLES["401"])
        for i in range(20)
    ]
    _, hand = play(Script(TRAINING, troubles=flips))
    assert len(hand.texts("trouble")) == 3


def test_a_throttled_wait_waits_as_long_as_it_is_asked_to() -> None:
    script = Script(TRAINING, troubles=[(NOON, NOON + 20, Throttled("slow down", 33.0))])
    _, hand = play(script)
    assert hand.slept[0] == 33.0


def test_pauses_in_an_outage_grow_and_are_bounded() -> None:
    script = Script(TRAINING, troubles=[(NOON, NOON + 86_400, Unreachable("down"))])
    _, hand = play(script)
    assert hand.slept[:4] == [30, 60, 120, 240]
    assert max(hand.slept) == MAX_PAUSE
    assert script.looks < 86_400 / MAX_PAUSE + 10


def test_a_limit_that_is_reached_in_an_outage_ends_the_wait_when_the_control_plane_answers_again() -> (
    None
):
    script = Script(STORY, troubles=[(NOON + 100, NOON + 9000, Unreachable("down"))])
    outcome, hand = play(script, WaitPolicy(30, Timeouts(total=5000)))
    assert (outcome.status, outcome.phase) == ("timed_out", "Running")
    assert "total" in outcome.reason
    assert NOON + 9000 <= hand.now <= NOON + 9000 + 1.3 * MAX_PAUSE


def test_an_unseen_preemption_between_two_looks_is_found_in_the_history() -> None:
    quick = acts(
        (0, "Creating"),
        (5, "Running"),
        (31, "Pending", "preempted"),
        (33, "Running"),
        (100, "Failed"),
    )
    outcome, _ = play(Script(quick))
    assert (outcome.status, outcome.clocks.preemptions, outcome.clocks.running) == ("failed", 1, 93)


def test_that_an_incarnation_leaves_is_told_before_its_history_is_read() -> None:
    script = Script(STORY, history_troubles=[(NOON + 300, NOON + 500, Unreachable("busy"))])
    hand = Hand()
    hand.run_until(wait(POLICY, script.reader(), script.start), NOON + 390)
    first, *others = (tell.data for tell in hand.told if tell.kind == "departure")
    assert first == {"phase": "Pending", "since": NOON + 62}
    assert all(other == first for other in others)
    timelines = [tell.data["phase"] for tell in hand.told if tell.kind == "timeline"]
    assert timelines[-1] == "Running"


def test_what_never_ran_does_not_leave() -> None:
    script = Script(acts((0, "Creating"), (2, "Pending"), (62, "Deleting")))
    hand = Hand()
    hand.run_until(wait(POLICY, script.reader(), script.start), NOON + 390)
    assert hand.texts("departure") == []


def test_a_fresh_workload_that_answers_404_for_a_moment_is_waited_for() -> None:
    script = Script(TRAINING, troubles=[(NOON, NOON + 45, NotFound("not yet", 404))])
    outcome, hand = play(script)
    assert outcome.status == "succeeded"
    # The deleted list answered 404 as well: that is no answer.
    assert len(hand.texts("trouble")) == 2


def test_404_and_then_found_again_begins_anew() -> None:
    class Blinking(Script):
        def workload(self, moment: float) -> Workload:
            if NOON + 100 <= moment < NOON + 150 or NOON + 200 <= moment < NOON + 250:
                raise NotFound("hidden", 404)
            return super().workload(moment)

        def _find_deleted(self, workload_id: str) -> Any:
            return None
            yield

    outcome, _ = play(Blinking(TRAINING))
    assert (outcome.status, outcome.timeline) == ("succeeded", TRAINING)


def test_what_is_nowhere_for_ten_minutes_is_gone() -> None:
    outcome, hand = play(Script(STORY, vanishes_at=NOON + 500))
    assert (outcome.status, outcome.phase, outcome.absent) == ("gone", "Running", True)
    assert 1100 <= hand.now - NOON <= 1160


def test_an_outage_after_a_404_does_not_make_it_gone() -> None:
    class Hidden(Script):
        def workload(self, moment: float) -> Workload:
            if NOON + 100 <= moment < NOON + 125:
                raise NotFound("hidden", 404)
            return super().workload(moment)

        def _find_deleted(self, workload_id: str) -> Any:
            return None
            yield

    script = Hidden(TRAINING, troubles=[(NOON + 125, NOON + 5000, Unreachable("down"))])
    assert play(script)[0].status == "succeeded"


@pytest.mark.parametrize(
    ("story", "status"),
    [
        ((*STORY, Moment(NOON + 450, "Completed")), "succeeded"),
        ((*STORY, Moment(NOON + 450, "Failed")), "failed"),
        (STORY, "gone"),
        ((*STORY, Moment(NOON + 450, "Completed"), Moment(NOON + 455, "Deleting")), "succeeded"),
    ],
)
def test_the_deleted_list_tells_how_it_ended(story: Sequence[Moment], status: str) -> None:
    outcome, _ = play(Script(story, deleted_at=NOON + 460))
    assert outcome.status == status
    assert outcome.clocks.interruptions == 1


def test_a_history_that_cannot_be_read_never_hides_the_end_for_ever() -> None:
    script = Script(TRAINING, history_troubles=[(NOON + 500, float("inf"), Unreachable("500"))])
    outcome, hand = play(script)
    assert (outcome.status, outcome.clocks.interruptions) == ("succeeded", 1)
    assert hand.slept.count(30) >= MAX_HISTORY_ATTEMPTS


def test_without_history_no_clock_that_may_be_wrong_ends_a_wait() -> None:
    script = Script(TRAINING, history_troubles=[(NOON, NOON + 900, Unreachable("500"))])
    late = Hand(now=NOON + 350)
    outcome, _ = play(script, WaitPolicy(30, Timeouts(queue=100)), late)
    assert (outcome.status, outcome.clocks.queue) == ("succeeded", 62)


class KeepsNewest(Script):
    def _history(self, workload_id: str) -> Any:
        return (yield from super()._history(workload_id))[-1:]


#: Ran 1000 s, then waits again: who comes late and sees no history must not take all of that for
#: queueing.
PREEMPTED = acts(
    (0, "Creating"),
    (10, "Running"),
    (1010, "Pending", "Preempted"),
    (1400, "Running"),
    (2000, "Completed"),
)
BLIND_TO_THE_PAST = [
    Script(PREEMPTED, keeps_history=False),
    Script(PREEMPTED, keeps_history=False, says_when=False),
    KeepsNewest(PREEMPTED),
]


@pytest.mark.parametrize("script", BLIND_TO_THE_PAST)
@pytest.mark.parametrize("clock", ["queue", "interruption", "interrupted_total"])
def test_what_nobody_saw_counts_as_total_only(script: Script, clock: str) -> None:
    outcome, _ = play(script, WaitPolicy(30, Timeouts(**{clock: 300})), Hand(now=NOON + 1100))
    assert (outcome.status, outcome.timeline[0].phase, outcome.clocks.queue) == (
        "succeeded",
        UNSEEN,
        0,
    )
    assert outcome.clocks.total == pytest.approx(2000, abs=40)
    outcome, hand = play(script, WaitPolicy(30, Timeouts(total=1200)), Hand(now=NOON + 1100))
    assert outcome.status == "timed_out"
    assert hand.now == pytest.approx(NOON + 1200, abs=2)


@pytest.mark.parametrize("script", BLIND_TO_THE_PAST)
def test_a_wait_takes_up_the_timeline_that_was_shown(script: Script) -> None:
    hand = Hand(now=NOON + 1100)
    policy = WaitPolicy(30, Timeouts(interruption=300))
    shown = PREEMPTED[:3]
    outcome = hand.run(wait(policy, script.reader(), script.start, shown))
    assert (outcome.status, outcome.timeline) == ("timed_out", shown)
    assert outcome.clocks.queue == 10
    assert hand.now == pytest.approx(NOON + 1310, abs=2)


def test_records_that_the_server_cuts_off_are_remembered() -> None:
    class Forgetful(Script):
        def _history(self, workload_id: str) -> Any:
            return (yield from super()._history(workload_id))[-2:]

    outcome, _ = play(Forgetful(TRAINING))
    assert outcome.clocks.queue == 62
    assert outcome.clocks.total == 1000


@pytest.mark.slow
def test_a_week_with_three_hundred_preemptions_is_followed_to_its_end() -> None:
    hours = [
        (i * 2000.0, "Running" if i % 2 else "Pending", "" if i % 2 else "Preempted")
        for i in range(602)
    ]
    week = acts(*hours, (602 * 2000.0, "Completed"))
    script = Script(week)
    outcome, hand = play(script, WaitPolicy(poll_interval=900))
    assert (outcome.status, outcome.clocks.interruptions, outcome.clocks.preemptions) == (
        "succeeded",
        300,
        300,
    )
    assert outcome.clocks.running == 301 * 2000
    assert hand.now - NOON == pytest.approx(602 * 2000, abs=900)
    published = [tell.data["timeline"] for tell in hand.told if tell.kind == "timeline"]
    assert all(len(timeline) <= 200 for timeline in published)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1, 1300), max_size=4), st.integers(15, 90))
def test_a_wait_that_is_restarted_in_the_middle_ends_alike(
    stops: list[float], interval: int
) -> None:
    timeouts = Timeouts(queue=100, interruption=150, total=3000)
    policy, script = WaitPolicy(interval, timeouts), Script(TRAINING)
    undisturbed, _ = play(script, policy)
    hand = Hand()
    for stop in sorted(stops):
        ended = hand.run_until(
            wait(policy, script.reader(), script.workload(hand.now)), NOON + stop
        )
        if ended:
            break
    outcome, _ = play(script, policy, hand)
    assert outcome == undisturbed


@pytest.mark.parametrize(
    ("timeouts", "status", "around"),
    [
        (Timeouts(queue=40), "timed_out", 40),
        (Timeouts(interruption=50), "timed_out", 350),
        (Timeouts(running=500), "timed_out", 662),
        (Timeouts(total=700), "timed_out", 700),
        (Timeouts(queue=63, interruption=101), "succeeded", 1000),
    ],
)
def test_limits_end_a_wait_at_their_moment_in_spite_of_the_pace(
    timeouts: Timeouts, status: str, around: float
) -> None:
    outcome, hand = play(Script(TRAINING), WaitPolicy(45, timeouts))
    assert outcome.status == status
    assert around <= hand.now - NOON <= around + (45 if status == "succeeded" else 2)


def test_a_single_look_knows_the_history() -> None:
    seen = Hand(now=NOON + 350).run(
        take_snapshot(Script(TRAINING).reader(), Script(TRAINING).start)
    )
    assert [m.phase for m in seen.timeline] == ["Creating", "Pending", "Running", "Pending"]
    assert seen.clocks.interruption == 50


def test_a_reading_that_lags_behind_the_records_adds_nothing() -> None:
    class Lagging(Script):
        def workload(self, moment: float) -> Workload:
            return super().workload(max(NOON, moment - 200))

    outcome, _ = play(Lagging(TRAINING))
    assert (outcome.status, outcome.timeline) == ("succeeded", TRAINING)


def test_a_workload_that_is_not_there_yet_is_looked_for_until_the_deadline() -> None:
    wanted = replace(Script(TRAINING).start, id="")

    def nobody() -> Any:
        return None
        yield

    outcome = Hand().run(appearance(WaitPolicy(30, deadline=NOON + 100), nobody, wanted))
    assert isinstance(outcome, Outcome)
    assert (outcome.status, outcome.name) == ("timed_out", wanted.name)


def test_a_workload_that_appears_is_found_in_spite_of_trouble() -> None:
    script = Script(TRAINING, troubles=[(NOON, NOON + 200, Unreachable("down"))])
    hand = Hand()
    found = hand.run(appearance(POLICY, lambda: script.reader().read("w-1"), script.start))
    assert isinstance(found, Workload)
    assert found.id == "w-1"
    assert len(hand.texts("trouble")) == 1


class Counting(Script):
    """Counts what is asked for besides the reading."""

    histories = published = 0

    def _history(self, workload_id: str) -> Any:
        self.histories += 1
        return (yield from super()._history(workload_id))


LONG_RUN = acts((0, "Creating"), (10, "Pending"), (60, "Running"), (9000, "Completed"))


def test_what_has_not_changed_for_long_is_not_told_and_its_past_not_asked_for() -> None:
    script, hand = Counting(LONG_RUN), Hand(now=NOON + 5000)
    hand.run_until(wait(POLICY, script.reader(), script.start), NOON + 8000)
    assert script.histories == 0
    assert hand.texts("timeline") == []
    outcome = hand.run(wait(POLICY, script.reader(), script.start))
    assert (script.histories, outcome.timeline) == (1, LONG_RUN)
    assert len(hand.texts("timeline")) == 1


def test_what_changed_just_before_a_wait_began_again_is_told() -> None:
    script, hand = Counting(LONG_RUN), Hand(now=NOON + 100)
    hand.run_until(wait(POLICY, script.reader(), script.start), NOON + 300)
    assert (script.histories, len(hand.texts("timeline"))) == (1, 1)


@pytest.mark.parametrize(
    ("timeouts", "status", "around"),
    [
        (Timeouts(running=8000), "timed_out", 8060),
        (Timeouts(running=3000), "timed_out", 5000),
        (Timeouts(queue=55, interruption=20), "succeeded", 9000),
    ],
)
def test_the_past_is_read_before_a_clock_can_end_a_wait(
    timeouts: Timeouts, status: str, around: float
) -> None:
    script, hand = Counting(LONG_RUN), Hand(now=NOON + 5000)
    outcome = hand.run(wait(WaitPolicy(30, timeouts), script.reader(), script.start))
    assert (outcome.status, outcome.clocks.queue) == (status, 60)
    assert around <= hand.now - NOON <= around + 31
    assert script.histories <= 2


def test_changes_that_a_history_has_shown_already_need_no_other() -> None:
    quick = acts(
        (0, "Creating"),
        (2, "Pending"),
        (1000, "Running"),
        (1004, "Pending"),
        (1008, "Running"),
        (5000, "Failed"),
    )

    class Behind(Counting):
        """Readings come late, histories do not."""

        def workload(self, moment: float) -> Workload:
            return super().workload(max(NOON, moment - 8.5))

    script, hand = Behind(quick), Hand(now=NOON + 900)
    hand.run_until(wait(WaitPolicy(2), script.reader(), script.start), NOON + 1100)
    assert script.histories == 1


class Guaranteed(Script):
    """A workload that is not preempted in its first 100 s of running."""

    def workload(self, moment: float) -> Workload:
        seen = super().workload(moment)
        runs = seen.phase == "Running"
        return replace(seen, guaranteed_until=(seen.phase_updated_at or 0) + 100 if runs else None)


def test_until_when_a_run_is_guaranteed_is_said_once_a_run() -> None:
    _, hand = play(Guaranteed(TRAINING))
    said = [text for text in hand.texts("timeline") if "not preempted before" in text]
    assert said == [
        "train-0123456789-g1: Running; not preempted before 2026-01-01 00:02 UTC",
        "train-0123456789-g1: Running; not preempted before 2026-01-01 00:08 UTC",
    ]
    told = [tell.data.get("guaranteed_until") for tell in hand.told if tell.kind == "timeline"]
    assert {*told} == {None, NOON + 162, NOON + 500}
