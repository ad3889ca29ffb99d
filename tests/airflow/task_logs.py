"""What a person sees of a task that failed: its log, and the exception behind it."""

from __future__ import annotations

import re
import traceback

import pytest

from tests.airflow.running import Run

#: How the console begins a line of a log; Airflow's own loggers say much around a task.
_ERROR = re.compile(
    r"^\S+Z \[error +\] (.*?) +\[airflow\.task\.operators\.airflow_runai", re.M | re.S
)
_LIBRARIES = ("httpx", "httpcore", "airflow_runai/backends", "During handling", "direct cause")


def errors_in(log: str) -> list[str]:
    """Return what the operators of this package have logged as errors."""
    return _ERROR.findall(re.sub(r"\x1b\[[0-9;]*m", "", log))


def assert_without_history(done: Run) -> None:
    """Assert that no try that failed shows what has led to it."""
    for error in done.errors:
        assert (error.__cause__, error.__context__) == (None, None)
        frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        assert sum("/airflow_runai/" in name for name in frames) == 1
        assert "/airflow_runai/" in frames[-1]


def assert_readable(done: Run, capfd: pytest.CaptureFixture[str]) -> str:
    """
    Assert that each try that failed said so in one error, and left no history behind.

    :return: what the last one said.
    """
    seen = capfd.readouterr()
    told = errors_in(seen.out + seen.err)
    assert len(told) == len(done.errors) > 0, seen.out
    assert told == [str(error) for error in done.errors], told
    assert_without_history(done)
    page = seen.out[seen.out.rindex(told[-1]) :]
    assert [library for library in _LIBRARIES if library in page] == []
    return told[-1]
