"""The usage in the result: figures of a preempted training, and silence where something is missing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_runai.core.outcome import Outcome
from airflow_runai.core.saves import Saved
from airflow_runai.core.timeline import Moment, clocks
from airflow_runai.emulator import Emulator
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.tasks.usage_report import Saves, usage_of

HOUR = 3600.0
STORY = (
    Moment(0.0, "Pending"),
    Moment(HOUR, "Running"),
    Moment(3 * HOUR, "Pending", "Preempted"),
    Moment(4 * HOUR, "Running"),
    Moment(5 * HOUR, "Pending", "Preempted"),
    Moment(6 * HOUR, "Running"),
    Moment(7 * HOUR, "Pending", "Preempted"),
    Moment(8 * HOUR, "Running"),
    Moment(9 * HOUR, "Completed"),
)


def _ended(status: str = "succeeded") -> Outcome:
    end = STORY[-1].at
    phase = STORY[-1].phase
    return Outcome(status, "w-1", "train-g1", phase, "", end, clocks(STORY, end), STORY)


@pytest.fixture
def hook(emulator: Emulator) -> RunaiHook:
    return RunaiHook()


def test_figures_and_advice_of_a_preempted_training(
    hook: RunaiHook, caplog: pytest.LogCaptureFixture
) -> None:
    times = (2.5 * HOUR, 5 * HOUR, 6.5 * HOUR)
    saves = Saves([Saved(step, at) for step, at in enumerate(times)], seconds=30.0)
    found = usage_of(hook, _ended(), 8, saves)
    assert found == {
        "gpus": 8.0,
        "waiting": 8 * 4 * HOUR,
        "allocated": 8 * 5 * HOUR,
        "starting": 0.0,
        "useful": 8 * 4 * HOUR,
        "lost": 8 * 1 * HOUR,
        "running_seconds": 5 * HOUR,
        "idle_share": None,
        "checkpoint_interval": 580.2,
    }
    said = [r.getMessage() for r in caplog.records if r.name.endswith("usage_report")]
    assert said[-1] == (
        "usage of train-g1: 8 GPUs, 32.0 GPU-hours waiting, 40.0 GPU-hours allocated "
        "(32.0 GPU-hours useful, 8.0 GPU-hours lost to interruptions); "
        "least is lost with a checkpoint every 580 s"
    )
    # The workload is not known to this server, which is no reason to fail.
    assert said[0].startswith("how busy the GPUs were is not known (")


@pytest.mark.parametrize("gpus", [None, "8", []])
def test_without_a_number_of_gpus_nothing_is_said(hook: RunaiHook, gpus: object) -> None:
    assert usage_of(hook, _ended(), gpus) is None


def test_a_failure_keeps_only_what_is_saved(hook: RunaiHook) -> None:
    unknown = usage_of(hook, _ended("failed"), 1)
    assert unknown is not None
    assert (unknown["useful"], unknown["allocated"]) == (None, 5 * HOUR)
    known = usage_of(hook, _ended("failed"), 1, Saves([Saved(1, 8.25 * HOUR)]))
    assert known is not None
    # Each incarnation before the last save began anew, for all that is known.
    assert known["useful"] == HOUR / 4


def test_a_control_plane_that_does_not_answer_costs_no_task(
    hook: RunaiHook, connect: Callable[..., None]
) -> None:
    connect("http://127.0.0.1:9")
    assert usage_of(RunaiHook(), _ended(), 2) is not None
