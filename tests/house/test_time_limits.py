"""A limit for the time of a test: tried with small tests in a pytest of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support import patience

ROOT = Path(__file__).parents[2]
#: Works a third of the time, as on a machine that others keep busy; longer than the limit in all.
SLOW = """
import time

def test_it():
    for _ in range(16):
        began = time.process_time()
        while time.process_time() < began + 0.04:
            pass
        time.sleep(0.11)
"""
IDLE = "import time\n\ndef test_it():\n    time.sleep(600)\n"
BUSY = "def test_it():\n    while True:\n        pass\n"
#: What hangs when it is ended hangs no longer than the limit, either.
IDLE_TWICE = """
import time

def test_it():
    try:
        time.sleep(600)
    finally:
        time.sleep(600)
"""
#: What Airflow does around each DAG file and each task that has a time-out.
ALARM_TAKEN = """
import signal, time

def test_it():
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0)
    time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "passed"),
    [(SLOW, True), (IDLE, False), (BUSY, False), (IDLE_TWICE, False), (ALARM_TAKEN, False)],
)
def test_a_test_may_take_its_time_but_not_stand_still_or_work_for_ever(
    tmp_path: Path, text: str, passed: bool
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\ntimeout = 1\n")
    (tmp_path / "test_it.py").write_text(text)
    plugins = ["-p", "no:cacheprovider", "-p", "pytest_timeout", "-p", "tests.support.time_limits"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", *plugins]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode == 0) is passed, done.stdout
    assert ("Timeout" in done.stdout) is not passed


def test_a_machine_that_stands_still_is_no_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 0.0
    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=lambda: moment))
    asked = patience.Patience(240.0)

    def over(after: float) -> bool:
        nonlocal moment
        moment += after
        return asked.is_over()

    assert [over(10.0) for _ in range(20)] == [False] * 20
    assert not over(500.0)
    assert True in [over(10.0) for _ in range(30)], "from then on it is one"
