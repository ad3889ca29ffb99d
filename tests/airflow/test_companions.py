"""What goes on beside a wait hears everything, in order, and hurts nobody."""

from __future__ import annotations

import asyncio
import threading

import pytest

from airflow_runai.core.flow import Notice
from airflow_runai.tasks.companions import Company, beside_a_worker


class Recorder:
    """Writes down what it hears, once its loop has a turn."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.is_closed = False
        self.threads: set[str] = set()

    def hear(self, notice: Notice) -> None:
        self.threads.add(threading.current_thread().name)
        asyncio.get_running_loop().create_task(self._write(notice.text))

    async def _write(self, text: str) -> None:
        self.heard.append(text)

    def close(self) -> None:
        self.is_closed = True


class Broken:
    def hear(self, notice: Notice) -> None:
        raise ZeroDivisionError(notice.text)

    def close(self) -> None:
        raise ZeroDivisionError("at the end")


def test_beside_a_worker_all_is_heard_in_a_thread_and_brought_to_its_end() -> None:
    recorder = Recorder()
    noted: list[str] = []
    with beside_a_worker(Company([recorder]), lambda notice: noted.append(notice.text)) as hear:
        for number in range(100):
            hear(Notice("timeline", str(number)))
    assert recorder.heard == noted
    assert recorder.heard == [str(number) for number in range(100)]
    assert recorder.threads == {"companions"}
    assert recorder.is_closed


def test_a_bug_in_a_companion_hurts_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    with beside_a_worker(Company([Broken(), recorder]), lambda _: None) as hear:
        hear(Notice("timeline", "news"))
    assert (recorder.heard, recorder.is_closed) == (["news"], True)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "Broken: ZeroDivisionError: news; the wait goes on",
        "Broken: ZeroDivisionError: at the end; the wait goes on",
    ]


def test_a_failing_wait_ends_its_companions() -> None:
    recorder = Recorder()
    with pytest.raises(KeyError), beside_a_worker(Company([recorder]), lambda _: None):
        raise KeyError("the wait")
    assert recorder.is_closed
