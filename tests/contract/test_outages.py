"""Servers that do not answer, answer nonsense or begin anew; waits that begin anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.flow import now
from tests.contract.crowds import Seen
from tests.contract.rig import MakeRig, Rig, Script, name_of
from tests.contract.waits import least, look, off, outcome_of, outcomes_of, submit, submit_many


def test_unreachable_for_minutes_is_survived(rig: Rig) -> None:
    made = submit(rig)
    rig.after(20, lambda: rig.outage(300))
    outcome = outcome_of(rig, made)
    assert outcome.status == "succeeded"
    assert off(rig, outcome.clocks.running, 100, 3) == 0
    assert [told.text for told in rig.told if told.kind == "trouble"][-1].endswith("answers again")


@pytest.mark.needs("crowds")
def test_credentials_refused_renewed_once_for_all_waits(rig: Rig) -> None:
    made = submit_many(rig, 4)
    rig.expire_credentials()
    before = rig.logins
    assert {one.outcome.status for one in outcomes_of(rig, made)} == {"succeeded"}
    assert rig.logins == before + 1


def test_credentials_rotated_while_waiting(rig: Rig) -> None:
    made = submit(rig)
    rig.after(20, rig.expire_credentials)
    assert outcome_of(rig, made).status == "succeeded"


def test_asked_to_slow_down_is_obeyed(rig: Rig) -> None:
    made = submit(rig)
    rig.pass_time(20)
    rig.answer(429, times=2, retry_after=90)
    assert outcome_of(rig, made).status == "succeeded"
    assert rig.run(now()) - made.created_at >= least(
        rig, 200
    )  # it asked for two times 90 s of silence


@pytest.mark.parametrize(
    ("status", "html"), [(500, False), (503, False), (200, True), (404, True), (502, True)]
)
def test_html_and_5xx_are_no_failure(rig: Rig, status: int, html: bool) -> None:
    made = submit(rig)
    rig.after(20, lambda: rig.answer(status, 6, html=html))
    outcome = outcome_of(rig, made)
    assert outcome.status == "succeeded"
    assert off(rig, outcome.clocks.running, 100, 3) == 0


@pytest.mark.needs("crowds")
def test_dropped_stream_or_page_loses_nothing(rig: Rig) -> None:
    made = submit_many(rig, 4)
    rig.after(30, lambda: rig.reclaim(made[0].name))
    for seconds in (20, 31, 60, 95, 101):
        rig.after(seconds, rig.drop)
    check_all_was_seen(rig, outcomes_of(rig, made))


@pytest.mark.needs("crowds")
def test_history_too_old_lists_again(rig: Rig) -> None:
    """Weaker on R, which has no versions: there a list shows for a minute what was a minute ago."""
    made = submit_many(rig, 4)
    rig.after(30, lambda: rig.reclaim(made[0].name))
    rig.after(31, rig.forget)
    check_all_was_seen(rig, outcomes_of(rig, made))


@pytest.mark.needs("crowds", "unreadable objects")
def test_one_unreadable_object_hurts_one_wait(rig: Rig) -> None:
    made = submit_many(rig, 4)
    rig.after(30, lambda: rig.spoil(made[2].name))
    ends = [one.outcome.status for one in outcomes_of(rig, made, seconds=400)]
    assert ends == ["succeeded", "succeeded", "timed_out", "succeeded"]


def check_all_was_seen(rig: Rig, ends: Sequence[Seen]) -> None:
    """All have succeeded, the first was preempted once, and all was seen in time."""
    assert {one.outcome.status for one in ends} == {"succeeded"}
    first, *others = (one.outcome.clocks.preemptions for one in ends)
    assert first == 1
    assert set(others) <= {0, 1}  # whoever takes one may take more
    assert max(off(rig, one.outcome.clocks.running, 100, 3) for one in ends) == 0
    assert max(one.late for one in ends) <= 2 * rig.sight + 10


def test_triggerer_restart_keeps_clocks(rig: Rig) -> None:
    rig.play(Script(seconds=None))
    made = submit(rig)
    rig.after(40, lambda: rig.reclaim(name_of()))
    first = outcome_of(rig, made, WaitPolicy(15.0, deadline=made.created_at + 200))
    assert (first.status, first.clocks.preemptions) == ("timed_out", 1)
    outcome = outcome_of(rig, made, running=400.0)
    assert (outcome.status, outcome.clocks.preemptions) == ("timed_out", 1)
    assert off(rig, outcome.clocks.running, 400, 20) == 0


def test_preempted_and_finished_while_nobody_looked(rig: Rig) -> None:
    made = submit(rig)
    rig.after(40, lambda: rig.reclaim(name_of()))
    rig.pass_time(20)
    look(rig, made)
    rig.pass_time(1000)
    outcome = outcome_of(rig, made)
    assert (outcome.status, outcome.clocks.preemptions) == ("succeeded", 1)
    assert off(rig, outcome.clocks.running, 100, 3) == 0


def test_preempted_twice_while_nobody_looked_counts_at_least_one(rig: Rig) -> None:
    made = submit(rig)
    for seconds in (30, 70):
        rig.after(seconds, lambda: rig.reclaim(name_of()))
    rig.pass_time(20)
    look(rig, made)
    rig.pass_time(1000)
    outcome = outcome_of(rig, made)
    assert outcome.status == "succeeded"
    assert 1 <= outcome.clocks.preemptions <= 2


@pytest.mark.needs("durable")
def test_server_restart_keeps_everything(make_rig: MakeRig, tmp_path: Path) -> None:
    rig = make_rig(state=tmp_path)
    made = submit(rig)
    rig.pass_time(20)
    rig.restart()
    found = rig.run(rig.backend.reader(made).read(made.id))
    assert (found.id, found.created_at) == (made.id, made.created_at)
    assert outcome_of(rig, made).status == "succeeded"
    assert rig.names() == [name_of()]


@pytest.mark.needs("rights")
def test_blind_identity_degrades_and_says_so(rig: Rig) -> None:
    """Who may not see pods knows when it runs and how it ends, and is told once what is missing."""
    rig.hide()
    outcome = outcome_of(rig, submit(rig))
    assert outcome.status == "succeeded"
    assert "Running" in [moment.phase for moment in outcome.timeline]
    assert [told.kind for told in rig.told if "pods cannot be listed" in told.text] == ["trouble"]
