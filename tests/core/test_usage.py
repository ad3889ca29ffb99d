"""GPU-seconds add up to the second, whatever happened, and nothing is guessed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.saves import Saved
from airflow_runai.core.timeline import TIMELINE_LIMIT, UNSEEN, Clocks, Moment, clocks
from airflow_runai.core.usage import (
    MIN_INTERRUPTIONS,
    Incarnation,
    best_interval,
    resumed_from,
    runs,
    usage,
)
from tests.core.stage import NOON


@dataclass
class Script:
    """A workload's life, told second by second; it knows what each second was worth."""

    now: float = NOON
    moments: list[Moment] = field(default_factory=list)
    waiting: int = 0
    held: int = 0
    before_first_run: int = 0
    #: Start of each incarnation, and seconds after it that were held.
    ran: list[Incarnation] = field(default_factory=list)

    def spend(self, phase: str, seconds: int) -> None:
        self.moments.append(Moment(self.now, phase))
        self.now += seconds

    def wait(self, seconds: int, *phases: str) -> None:
        for phase in phases:
            self.spend(phase, seconds)
            self.waiting += seconds

    def incarnation(self, starting: int, running: int, leaving: int) -> None:
        self.spend("Initializing", starting)
        start = self.now
        self.spend("Running", running)
        if leaving:
            self.spend("Terminating", leaving)
        self.held += starting + running + leaving
        self.before_first_run += 0 if self.ran else starting
        self.ran.append(Incarnation(start, self.now))


def scripted(lives: Sequence[tuple[int, int, int, int]], end: str) -> Script:
    script = Script()
    script.wait(3, "Creating")
    for queued, starting, running, leaving in lives:
        script.wait(queued, "Pending")
        script.incarnation(starting, running, leaving)
    script.spend(end, 0)
    return script


seconds = st.integers(1, 5000)
lives = st.lists(st.tuples(seconds, seconds, seconds, seconds), min_size=1, max_size=6)
gpus = st.sampled_from([0.0, 0.25, 1.0, 1.5, 8.0, 512.0])


@given(lives, gpus, st.data())
def test_every_second_is_accounted_for(
    told: list[tuple[int, int, int, int]], count: float, data: st.DataObject
) -> None:
    script = scripted(told, "Completed")
    used = [data.draw(st.integers(int(NOON) - 10, int(run.start))) for run in script.ran[1:]]
    seen = clocks(script.moments, script.now)
    found = usage(script.moments, seen, script.now, count, used, math.inf)
    assert found is not None
    assert found.waiting == script.waiting * count
    assert found.allocated == script.held * count
    assert found.waiting + found.allocated == (script.now - NOON) * count
    assert found.starting == script.before_first_run * count
    assert found.useful is not None
    assert found.lost is not None
    assert found.starting + found.useful + found.lost == found.allocated
    assert found.useful == _kept_second_by_second(script, used) * count
    assert found.lost >= 0


def _kept_second_by_second(script: Script, used: Sequence[int]) -> int:
    """Count the seconds of running that no later start from a checkpoint did again."""
    kept = 0
    for number, run in enumerate(script.ran):
        # What follows an incarnation can only cut its work further.
        until = min([run.end, *used[number:]])
        kept += max(0, int(until - run.start))
    return kept


STORY = [
    Moment(0.0, "Pending"),
    Moment(100.0, "Initializing"),
    Moment(110.0, "Running"),
    Moment(1110.0, "Terminating", "Preempted by team-b"),
    Moment(1120.0, "Pending"),
    Moment(2000.0, "Initializing"),
    Moment(2030.0, "Running"),
    Moment(3030.0, "Completed"),
]


def test_a_preempted_training_to_the_second() -> None:
    found = usage(STORY, clocks(STORY, 3030.0), 3030.0, 2.0, [1000.0], math.inf)
    assert found is not None
    assert found.to_dict() == {
        "gpus": 2.0,
        "waiting": 2 * (100 + 880),
        "allocated": 2 * (10 + 1000 + 10 + 30 + 1000),
        "starting": 2 * 10,
        "useful": 2 * (890 + 1000),
        "lost": 2 * (110 + 10 + 30),
    }


def test_a_checkpoint_within_the_grace_counts_until_then() -> None:
    found = usage(STORY, clocks(STORY, 3030.0), 3030.0, 1.0, [1115.0], math.inf)
    assert found is not None
    assert (found.useful, found.lost) == (1005 + 1000, 5 + 30)


@pytest.mark.parametrize(
    ("moments", "resumed_from", "kept_until"),
    [
        (STORY, None, math.inf),
        (STORY, [], math.inf),
        (STORY, [1.0, 2.0], math.inf),
        (STORY, [1000.0], None),
        ([*STORY] + [Moment(4000.0, "Completed")] * TIMELINE_LIMIT, [1000.0], math.inf),
    ],
    ids=["no times", "too few", "too many", "end not known", "a timeline that was cut"],
)
def test_what_is_not_known_is_not_guessed(
    moments: list[Moment], resumed_from: list[float] | None, kept_until: float | None
) -> None:
    found = usage(moments, clocks(STORY, 3030.0), 3030.0, 1.0, resumed_from, kept_until)
    assert found is not None
    assert found.allocated == 2050
    assert (found.starting, found.useful, found.lost) == (None, None, None)


def test_without_an_interruption_no_checkpoint_is_needed() -> None:
    moments = [Moment(0.0, "Initializing"), Moment(10.0, "Running"), Moment(70.0, "Completed")]
    found = usage(moments, clocks(moments, 70.0), 70.0, 4.0, None, math.inf)
    assert found is not None
    assert (found.starting, found.useful, found.lost, found.waiting) == (40, 240, 0, 0)


def test_a_rounding_is_no_loss() -> None:
    at = (1795818217.876, 1795818217.897, 1795818217.899, 1795818218.116, 1795818224.664)
    phases = ("Creating", "Pending", "Initializing", "Running", "Completed")
    moments = [Moment(when, phase) for when, phase in zip(at, phases, strict=True)]
    # As a trigger hands them on.
    rounded = replace(clocks(moments, at[-1]), total=6.788, holding=6.765)
    found = usage(moments, rounded, at[-1], 1.0, None, math.inf)
    assert found is not None
    assert str(found.to_dict()["lost"]) == "0.0"


def test_a_failure_keeps_what_its_last_checkpoint_kept() -> None:
    moments = [Moment(0.0, "Running"), Moment(100.0, "Failed")]
    found = usage(moments, clocks(moments, 100.0), 100.0, 1.0, None, 60.0)
    assert found is not None
    assert (found.useful, found.lost) == (60, 40)


@pytest.mark.parametrize(
    ("moments", "count"),
    [
        ([], 1.0),
        (STORY, None),
        ([Moment(0.0, UNSEEN), Moment(900.0, "Running")], 1.0),
    ],
    ids=["no timeline", "GPU memory", "unseen beginning"],
)
def test_without_gpus_or_a_beginning_there_are_no_figures(
    moments: list[Moment], count: float | None
) -> None:
    assert usage(moments, clocks(moments, 1000.0), 1000.0, count, None, math.inf) is None


@pytest.mark.parametrize(
    ("phases", "held"),
    [
        (["Pending", "Stopping", "Stopped"], 0),
        (["Running", "Stopping", "Stopped"], 20),
        (["Running", "Suspending", "Suspended", "Resuming"], 20),
        (["Running", "Terminating", "Pending"], 20),
        (["Pending", "Deleting", "Deleting"], 0),
        (["Running", "Deleting"], 20),
        (["Initializing", "Pending"], 10),
        (["Running", "Unknown", "Pending"], 20),
    ],
)
def test_pods_that_go_down_hold_what_they_have(phases: list[str], held: int) -> None:
    moments = [Moment(10.0 * i, phase) for i, phase in enumerate(phases)]
    assert clocks(moments, 10.0 * len(phases)).holding == held


def test_a_run_ends_when_its_gpus_are_free() -> None:
    assert runs(STORY, 3030.0) == (Incarnation(110.0, 1120.0), Incarnation(2030.0, 3030.0))
    saves = [Saved(step, at) for step, at in enumerate((50.0, 1000.0, 1119.0, 2500.0))]
    assert resumed_from(saves, runs(STORY, 3030.0)) == (1119.0,)
    assert resumed_from(saves[-1:], runs(STORY, 3030.0)) == (0.0,)


@given(st.floats(0.001, 1e5), st.floats(1.0, 1e7), st.integers(MIN_INTERRUPTIONS, 500))
def test_the_advised_interval_loses_least(save: float, running: float, times: int) -> None:
    seen = Clocks(running=running, interruptions=times)
    advised = best_interval(save, seen)
    assert advised is not None
    mean = running / times
    if save >= mean / 50:  # the model's terms are an expansion for saves that are short
        return

    def lost(interval: float) -> float:
        """Daly's exact expectation of wall clock for one second of work, without restart costs."""
        return mean / interval * (math.exp((interval + save) / mean) - 1)

    assert lost(advised) <= min(lost(advised * 0.7), lost(advised * 1.4))
    assert lost(advised) <= lost(math.sqrt(2 * save * mean)) * 1.001


@pytest.mark.parametrize(("save", "times"), [(None, 9), (0.0, 9), (5.0, MIN_INTERRUPTIONS - 1)])
def test_no_advice_without_data(save: float | None, times: int) -> None:
    assert best_interval(save, Clocks(running=1e5, interruptions=times)) is None
