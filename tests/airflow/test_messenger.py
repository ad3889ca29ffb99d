"""Whatever is called, and however it fails: one sentence, and all else goes on."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from airflow_runai.tasks.messenger import AT_A_TIME, MAX_HANGING, MAX_OPEN, Messenger
from tests.airflow import heard
from tests.benchmarks import virtual_loop

pytestmark = pytest.mark.usefixtures("nothing_heard")

#: Seconds after which a call is given up. On a busy machine, one that is well may need nearly so many.
SHORT = 2.0


def _said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name.endswith("messenger")]


def _posted(*names: str) -> Messenger:
    """Let each be called in turn, and a day pass."""

    async def play() -> Messenger:
        sender = Messenger()
        for name in names:
            path = name if "." in name else f"tests.airflow.heard.{name}"
            sender.post({"path": path, "kwargs": {}}, {})
            await asyncio.sleep(100)
        await asyncio.sleep(86400)
        heard.RELEASED.set()
        await asyncio.sleep(2000)
        return sender

    sent: Messenger = virtual_loop.run(lambda loop: play(), counts_work=False)
    return sent


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("leaving", "SystemExit: 3"),
        ("aleaving", "KeyboardInterrupt"),
        ("exhausted", "StopIteration"),
        ("cancelling", "it cancelled itself"),
        ("decorated_badly", "KeyboardInterrupt"),
        ("failing_mutely", "Mute"),
    ],
)
def test_what_would_end_an_event_loop_is_one_sentence(
    name: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    _posted(name, "anote")
    assert _said(caplog) == [f"tests.airflow.heard.{name} failed ({words}); the wait goes on"]
    assert [who for who, _, _ in heard.CALLS] == ["anote"]


def test_a_notifier_that_ends_its_process_does_not(caplog: pytest.LogCaptureFixture) -> None:
    heard.RELEASED.set()
    _posted("LeavingPager")
    said = "tests.airflow.heard.LeavingPager failed (SystemExit: 4); the wait goes on"
    assert _said(caplog) == [said]


def test_a_script_without_a_main_guard_does_not_end_the_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "runai_script.py").write_text("import sys\nsys.exit('usage: script')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    _posted("runai_script.alert", "note")
    said = "runai_script.alert failed (SystemExit: usage: script); the wait goes on"
    assert _said(caplog) == [said]
    assert [who for who, _, _ in heard.CALLS] == ["note"]


def test_a_function_that_returns_a_coroutine_is_awaited(caplog: pytest.LogCaptureFixture) -> None:
    _posted("decorated")
    assert [who for who, _, _ in heard.CALLS] == ["anote"]
    assert _said(caplog) == []


async def _all_done(seconds: float, *paths: str) -> None:
    sender = Messenger(seconds)
    for path in paths:
        sender.post({"path": path, "kwargs": {}}, {})
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


@pytest.mark.slow
def test_hanging_functions_keep_no_coroutine_waiting() -> None:
    others = ["tests.airflow.heard.hanging"] * (AT_A_TIME + 2)
    asyncio.run(_all_done(SHORT / 10, *others, "tests.airflow.heard.anote"))
    assert [who for who, _, _ in heard.CALLS] == ["anote"]


@pytest.mark.slow
def test_an_import_that_hangs_keeps_only_its_own_module_from_being_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hanging = "from tests.airflow import heard\nheard.RELEASED.wait()\n"
    (tmp_path / "runai_slow.py").write_text(hanging)
    healthy = "from tests.airflow.heard import anote as alert\n"
    (tmp_path / "runai_quick.py").write_text(healthy)
    monkeypatch.syspath_prepend(str(tmp_path))
    others = ["runai_slow.alert"] * (MAX_HANGING + 1)
    asyncio.run(_all_done(SHORT, *others, "tests.airflow.heard.note", "runai_quick.alert"))
    assert [who for who, _, _ in heard.CALLS] == ["note", "anote"]
    refused = "runai_slow.alert failed (an earlier import of runai_slow hangs); the wait goes on"
    assert _said(caplog).count(refused) == MAX_HANGING
    heard.RELEASED.set()
    for thread in threading.enumerate():
        if thread.name == "runai_slow":
            thread.join()


def test_coroutines_that_catch_their_cancellation_are_left_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sender = _posted(*["stubborn"] * (AT_A_TIME + 1), "anote")
    assert [who for who, _, _ in heard.CALLS] == ["anote"]
    said = "tests.airflow.heard.stubborn was given up after 30 s; the wait goes on"
    assert _said(caplog) == [said] * (AT_A_TIME + 1)
    assert sender._open == set()


@pytest.mark.slow
def test_threads_that_hang_are_left_behind_and_bounded(caplog: pytest.LogCaptureFixture) -> None:
    async def post() -> None:
        sender = Messenger(SHORT / 10)
        for _ in range(MAX_HANGING + 2):
            sender.post({"path": "tests.airflow.heard.hanging", "kwargs": {}}, {})
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)

    asyncio.run(post())
    hanging = [t for t in threading.enumerate() if t.name == "runai-callbacks"]
    assert len(hanging) == MAX_HANGING
    assert all(thread.daemon for thread in hanging)
    said = _said(caplog)
    assert sum("was given up" in words for words in said) == MAX_HANGING
    assert sum(f"{MAX_HANGING} earlier calls hang" in words for words in said) == 2
    heard.RELEASED.set()
    for thread in hanging:
        thread.join()


@pytest.mark.slow
def test_a_crowd_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    async def post() -> None:
        sender = Messenger()
        for _ in range(MAX_OPEN + 5):
            sender.post({"path": "tests.airflow.heard.anote", "kwargs": {}}, {})
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)

    virtual_loop.run(lambda loop: post(), counts_work=False)
    assert len(heard.CALLS) == MAX_OPEN
    said = _said(caplog)
    assert said == [f"tests.airflow.heard.anote is not called: {MAX_OPEN} calls wait already"] * 5


@pytest.mark.slow
def test_a_crowd_at_the_thread_is_bounded_and_keeps_no_coroutine_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def play() -> None:
        sender = Messenger()
        for name in ["hanging", *["note"] * (MAX_OPEN - 1)]:
            sender.post({"path": f"tests.airflow.heard.{name}", "kwargs": {}}, {})
        await asyncio.sleep(0)
        for name in ("anote", "note"):
            sender.post({"path": f"tests.airflow.heard.{name}", "kwargs": {}}, {})
        for _ in range(20):  # turns of the loop; no thread is needed
            await asyncio.sleep(0)
        heard.RELEASED.set()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)

    asyncio.run(play())
    assert [name for name, _, _ in heard.CALLS] == ["anote", *["note"] * (MAX_OPEN - 1)]
    words = f"tests.airflow.heard.note failed ({MAX_OPEN} calls wait already); the wait goes on"
    assert _said(caplog) == [words]
