"""A line for each change of phase, those between two looks included, each once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.phase_news import MAX_LINES
from airflow_runai.core.timeline import Moment
from airflow_runai.core.waiting import wait
from tests.core.stage import NOON, Hand, Script, acts

NAME = "train-0123456789-g1"


def told(script: Script, seconds: float, begin: float = 0.0) -> list[str]:
    hand = Hand(now=NOON + begin)
    hand.run(wait(WaitPolicy(seconds), script.reader(), script.start))
    assert [tell.kind for tell in hand.told if tell.text].count("trouble") == 0
    return [tell.text.removeprefix(f"{NAME}: ") for tell in hand.told if tell.text]


def test_a_preemption_and_its_end_between_two_looks_are_told() -> None:
    quick = acts(
        (0, "Creating"),
        (1, "Pending", "Waiting in the queue"),
        (2, "Running", "Running on node-1"),
        (40, "Terminating", "Preempted: reclaimed by project team-b"),
        (40, "Pending", "Waiting in the queue"),
        (41, "Running", "Running on node-2"),
        (200, "Completed", "Completed"),
    )
    lines = [
        "Pending: Waiting in the queue",
        "Running on node-1",
        "Terminating: Preempted: reclaimed by project team-b",
        "Pending: Waiting in the queue",
        "Running on node-2",
        "Completed",
    ]
    assert told(Script(quick), 30) == ["Creating", *lines]
    assert told(Script(quick), 1000, begin=20) == ["Creating", *lines]


def test_after_hundreds_of_changes_only_the_newest_are_told() -> None:
    storm = [(i * 0.4, "Running" if i % 2 else "Pending") for i in range(1, 601)]
    script = Script(acts((0, "Creating"), *storm, (1000, "Failed", "Failed with exit code 1")))
    lines = told(script, 5000, begin=250)
    assert lines[0] == f"{601 - MAX_LINES} earlier changes of its phase: see the timeline"
    assert len(lines) == 1 + MAX_LINES + 1
    assert lines[-1] == "Failed with exit code 1"


@pytest.mark.parametrize(
    ("phase", "message", "line"),
    [
        ("Running", "", "Running"),
        ("Running", "Running on node-1", "Running on node-1"),
        ("Completed", "Completed.", "Completed."),
        ("Failed", "failed: exit code 1", "failed: exit code 1"),
        ("Pending", "Preempted", "Pending: Preempted"),
        ("Running", "Runningly", "Running: Runningly"),
    ],
)
def test_no_word_is_said_twice(phase: str, message: str, line: str) -> None:
    script = Script(acts((0, "Creating"), (1, phase, message), (2, "Completed")))
    assert told(script, 30, begin=10)[1] == line


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    pauses=st.lists(st.integers(0, 9) | st.integers(0, 90), min_size=2, max_size=12),
    seconds=st.integers(1, 200),
)
def test_each_change_is_told_once_whenever_one_looks(pauses: list[int], seconds: int) -> None:
    at, history = NOON, [Moment(NOON, "Creating")]
    for number, pause in enumerate(pauses):
        at += pause
        history.append(Moment(at, "Pending" if number % 2 else "Running", f"message {number}"))
    history.append(Moment(at + 50, "Completed"))
    lines = told(Script(history), seconds)
    assert lines == [
        f"{moment.phase}{': ' if moment.message else ''}{moment.message}" for moment in history
    ]
