"""The simulation itself: it plays the real code, always alike, and sees what was broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.history import Act, Cue, History, Platform, Task, Trouble
from tests.simulation.invariants import judge
from tests.simulation.random_history import history_of
from tests.simulation.shrinking import shrink
from tests.simulation.simulation import play
from tests.simulation.telling import happened

ROOT = Path(__file__).parents[2]


def test_a_calm_history_ends_well_with_one_workload() -> None:
    played = play(History())
    assert played.ti.state == "success"
    assert [w.phase for w in played.mine] == ["Completed"]
    assert judge(played) == []


@pytest.mark.parametrize("step", range(1, 14))
def test_a_worker_that_dies_at_any_step_costs_nothing_where_there_is_a_retry(step: int) -> None:
    played = play(History(task=Task(retries=1), troubles=(Trouble(2, step, "dies"),)))
    assert played.ti.state == "success"
    assert len(played.mine) == 1
    assert judge(played) == []


#: A create that arrives after all, when the task was cleared and its workload ended: nothing of
#: ours can stop that.
LATE = Trouble(2, 6, "delivered late 60.0")
CLEAR = Act(Cue("deferred", seconds=5.0), "clear")


def test_two_live_workloads_are_seen() -> None:
    broken = judge(play(History(acts=(CLEAR,), troubles=(LATE,))))
    assert "two alive: a create delivered late" in {violation.kind for violation in broken}


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_tells_the_same_story_in_every_process(hash_seed: str) -> None:
    here = list(happened(history_of(4)))
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "tests.simulation", "4"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-len(here) :] == here


@pytest.mark.slow
def test_a_failing_history_is_shrunk_to_what_matters() -> None:
    noise = (
        Act(Cue("Running", 2, 5.0), "take-over", 3.0),
        Act(Cue("Running", 2, 99.3), "take-over", 2.0),
    )
    history = History(
        platform=Platform(grace=77.0), acts=(noise[0], CLEAR, noise[1]), troubles=(LATE,)
    )
    short = shrink(history, "two alive: a create delivered late")
    assert [act.what for act in short.acts] == ["clear"]
    assert short.platform == Platform()
