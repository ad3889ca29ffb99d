"""Which looks the news of a workload ask for: at what leaves at once, and whose it was later."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from airflow_runai.core.outcome import news
from airflow_runai.core.timeline import Moment, clocks
from airflow_runai.tasks.log_agenda import LogAgenda
from airflow_runai.tasks.log_looks import LogLook


def history(*phases: str) -> Any:
    timeline = tuple(Moment(100.0 * at, phase) for at, phase in enumerate(phases, start=1))
    return news(timeline, clocks(timeline, 9999.0), phases[-1])


def departed(agenda: LogAgenda, phase: str = "Terminating") -> LogLook:
    (look,) = agenda.depart({"phase": phase, "since": 200.0})
    assert look.is_last
    assert not look.is_told
    return look


@pytest.mark.parametrize(
    ("phases", "number", "until"),
    [
        (("Pending", "Running", "Terminating"), 1, inf),
        (("Pending", "Running", "Pending"), 1, inf),
        (("Pending", "Running", "Deleting"), 1, inf),
        (("Pending", "Running", "Pending", "Running", "Pending"), 2, inf),
        (("Pending", "Running", "Completed"), 1, inf),
        (("Pending", "Running", "Terminating", "Running"), 1, inf),
        (("Pending", "Running", "Terminating", "Pending", "Running"), 1, 500.0),
        (("Pending", "Running", "Pending", "Running", "Pending", "Running"), 2, 600.0),
    ],
)
def test_of_what_leaves_the_history_tells_which_incarnation_it_was(
    phases: tuple[str, ...], number: int, until: float
) -> None:
    agenda = LogAgenda(is_followed=False)
    look = departed(agenda)
    assert agenda.untold is look
    assert list(agenda.learn(history(*phases))) == [], "it is looked at already"
    assert (look.number, look.moment, look.until) == (number, 200.0, until)
    assert (look.news is not None) == (phases[-1] not in ("Running", "Completed"))


def test_what_leaves_is_looked_at_once_however_often_its_history_cannot_be_read() -> None:
    agenda = LogAgenda(is_followed=False)
    look = departed(agenda)
    assert list(agenda.depart({"phase": "Pending", "since": 200.0})) == []
    assert agenda.untold is look
    assert not agenda.still_leaves(look), "its pod is gone"


def test_what_could_not_be_read_early_is_asked_for_when_it_is_told() -> None:
    agenda = LogAgenda(is_followed=False)
    assert agenda.forget(departed(agenda))
    (again,) = agenda.learn(history("Pending", "Running", "Terminating"))
    assert (again.number, again.is_told, again.is_late) == (1, True, False)
    assert not agenda.forget(again)


def test_the_next_one_that_leaves_is_looked_at_anew() -> None:
    agenda = LogAgenda(is_followed=False)
    first = departed(agenda)
    back = ("Pending", "Running", "Terminating", "Pending", "Running")
    list(agenda.learn(history(*back[:3])))
    first.is_told = True
    assert agenda.still_leaves(first)
    list(agenda.learn(history(*back)))
    assert not agenda.still_leaves(first)
    second = departed(agenda)
    assert second is not first
    list(agenda.learn(history(*back, "Terminating")))
    assert (first.number, second.number) == (1, 2)


def test_what_runs_on_is_shown_as_what_runs() -> None:
    agenda = LogAgenda(is_followed=False)
    list(agenda.learn(history("Pending", "Running")))
    look = departed(agenda)
    assert list(agenda.learn(history("Pending", "Running"))) == []
    assert look.number == 1
