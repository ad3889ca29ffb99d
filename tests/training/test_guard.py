"""SIGTERM becomes a flag with a deadline; tried with real signals on real processes."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_runai.training import preemptible
from airflow_runai.training.preemptible import PreemptionGuard, newest_valid

TRAINING = """
import sys, time
from preemptible import PreemptionGuard, save_checkpoint

with PreemptionGuard() as guard:
    print("ready", flush=True)
    step = 0
    while True:
        step += 1
        time.sleep(0.001)
        if guard.should_stop:
            with save_checkpoint(sys.argv[1], step) as folder:
                (folder / "model.bin").write_text(str(guard.deadline))
            guard.exit()
"""


def test_terminated_training_saves_and_leaves_with_143(tmp_path: Path) -> None:
    environment = {
        "PYTHONPATH": str(Path(preemptible.__file__).parent),
        "RUNAI_GRACE_SECONDS": "12.5",
    }
    command = [sys.executable, "-c", TRAINING, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        before = time.monotonic()  # the clock of all processes of this machine
        child.send_signal(signal.SIGTERM)
        assert child.wait() == 143
    found = newest_valid(tmp_path)
    assert found is not None
    assert before + 12.5 <= float((found.path / "model.bin").read_text()) <= time.monotonic() + 12.5


def test_signal_sets_only_a_flag_and_a_deadline() -> None:
    with PreemptionGuard(grace_seconds=500, signals=[signal.SIGUSR1]) as guard:
        assert (guard.should_stop, guard.deadline, guard.remaining()) == (False, None, math.inf)
        before = time.monotonic()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert guard.should_stop
        assert guard.deadline is not None
        assert before + 500 <= guard.deadline <= time.monotonic() + 500
        first = guard.deadline
        os.kill(os.getpid(), signal.SIGUSR1)
        assert guard.deadline == first
        assert 0 < guard.remaining() <= 500


def test_time_that_ran_out_is_zero_and_not_negative() -> None:
    with PreemptionGuard(grace_seconds=0) as guard:
        signal.raise_signal(signal.SIGTERM)
        assert guard.remaining() == 0


def test_old_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with PreemptionGuard() as guard:
        assert signal.getsignal(signal.SIGTERM) not in (before, None)
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    guard.restore()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, 30.0),
        ({"RUNAI_GRACE_SECONDS": "7"}, 7.0),
        ({"RUNAI_GRACE_SECONDS": "7", "TERMINATION_GRACE_PERIOD_SECONDS": "120"}, 120.0),
        ({"TERMINATION_GRACE_PERIOD_SECONDS": ""}, 30.0),
    ],
)
def test_grace_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: float
) -> None:
    for name in ("RUNAI_GRACE_SECONDS", "TERMINATION_GRACE_PERIOD_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with PreemptionGuard() as guard:
        assert guard.grace_seconds == expected


def test_grace_that_is_no_number_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERMINATION_GRACE_PERIOD_SECONDS", "soon")
    with pytest.raises(ValueError, match="TERMINATION_GRACE_PERIOD_SECONDS='soon'"):
        PreemptionGuard()


def test_exit_code_is_chosen_but_never_zero() -> None:
    with PreemptionGuard(exit_code=75) as guard, pytest.raises(SystemExit) as left:
        guard.exit()
    assert left.value.code == 75
    with pytest.raises(ValueError, match="0 would mean finished"):
        PreemptionGuard(exit_code=0)


def test_all_ranks_stop_at_the_poll_in_which_one_was_signalled() -> None:
    signalled: list[bool] = []
    answers = iter([False, True])

    def agree(mine: bool) -> bool:
        signalled.append(mine)
        return next(answers)

    with PreemptionGuard(grace_seconds=5, agree=agree) as guard:
        polls = [(guard.should_stop, guard.remaining() <= 5) for _ in range(3)]
    # False, then another rank's signal, which starts our grace, too; agreed once, nobody is asked
    # again
    assert polls == [(False, False), (True, True), (True, True)]
    assert signalled == [False, False]


def test_own_signal_is_no_reason_to_leave_before_the_others_agree() -> None:
    signalled: list[bool] = []

    def agree(mine: bool) -> bool:
        signalled.append(mine)
        return False

    with PreemptionGuard(grace_seconds=5, agree=agree) as guard:
        signal.raise_signal(signal.SIGTERM)
        assert not guard.should_stop
        assert guard.remaining() <= 5
    assert signalled == [True]


def test_signal_is_taken_again_from_who_took_it_in_between() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with PreemptionGuard() as guard:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        guard.listen()
        signal.raise_signal(signal.SIGTERM)
        assert guard.should_stop
    assert signal.getsignal(signal.SIGTERM) == before
