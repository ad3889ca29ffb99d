"""
How checkpoints come to be, and whom a signal would reach: watched on real files and processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_runai.drill.changes import Polling
from airflow_runai.drill.directory_watcher import DirectoryWatcher
from airflow_runai.drill.facts import Write
from airflow_runai.drill.signals import sigterm_handler
from airflow_runai.drill.single_run import CurrentStart

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs inotify and /proc")


@contextmanager
def watching(root: Path) -> Iterator[tuple[list[Write], list[str]]]:
    growing: list[str] = []
    with DirectoryWatcher(root, lambda: 1.0, growing.append) as watch:
        yield watch.writes, growing


def renamed(root: Path, name: str) -> None:
    (root / ".tmp-x").write_bytes(b"whole")
    (root / ".tmp-x").rename(root / name)


@on_linux
def test_renamed_checkpoints_are_no_writes_in_place(tmp_path: Path) -> None:
    with watching(tmp_path) as (writes, growing):
        renamed(tmp_path, "step-7.pt")
        (tmp_path / ".tmp-step-8").mkdir()
        (tmp_path / ".tmp-step-8").rename(tmp_path / "step-8")
    assert writes == [Write(1.0, "step-7.pt", 7), Write(1.0, "step-8", 8)]
    assert growing == []


@on_linux
def test_what_is_filled_under_its_final_name_is_seen_however_quick_it_is(tmp_path: Path) -> None:
    with watching(tmp_path) as (writes, growing):
        (tmp_path / "step-7.pt").write_bytes(b"once")
        (tmp_path / "step-7.pt").write_bytes(b"again")
        (tmp_path / "step-8").mkdir()
    assert writes == [
        Write(1.0, name, step, True)
        for name, step in (("step-7.pt", 7), ("step-7.pt", 7), ("step-8", 8))
    ]
    assert growing == ["step-7.pt", "step-7.pt", "step-8"]


@on_linux
def test_files_that_are_no_checkpoints_do_not_count(tmp_path: Path) -> None:
    with watching(tmp_path) as (writes, growing):
        for name in ("latest", "metrics.json", ".hidden.pt", "step-9.pt.tmp"):
            (tmp_path / name).write_text("x")
        (tmp_path / "logs").mkdir()
    assert (writes, growing) == ([], [])


@on_linux
def test_a_checkpoint_that_is_gone_at_once_was_seen(tmp_path: Path) -> None:
    with watching(tmp_path) as (writes, _):
        (tmp_path / ".tmp-x").mkdir()
        (tmp_path / ".tmp-x").rename(tmp_path / "step-3")
        (tmp_path / "step-3").rmdir()
    assert writes == [Write(1.0, "step-3", 3)]


def test_without_inotify_the_directory_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "old.pt").write_bytes(b"old")
    changes = Polling(tmp_path)
    renamed(tmp_path, "step-7.pt")
    assert [(change.name, change.kind) for change in changes.wait()] == [("step-7.pt", "arrived")]
    with (tmp_path / "old.pt").open("ab") as file:
        file.write(b"er")
    assert [(change.name, change.kind) for change in changes.wait()] == [("old.pt", "filled")]
    assert [(change.name, change.kind) for change in changes.wait()] == [("old.pt", "closed")]
    assert list(changes.wait()) == []


HANDLES = "import signal, time; signal.signal(15, lambda *_: exit(143)); print(1, flush=True); time.sleep(60)"
IGNORES = HANDLES.replace("lambda *_: exit(143)", "signal.SIG_IGN")
NEITHER = "import time; print(1, flush=True); time.sleep(60)"


@on_linux
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ([sys.executable, "-c", HANDLES], "first"),
        ([sys.executable, "-c", IGNORES], "ignored"),
        ([sys.executable, "-c", NEITHER], "nobody"),
        (["sh", "-c", 'exec "$0" -c "$1"', sys.executable, HANDLES], "first"),
        (["sh", "-c", '"$0" -c "$1"; true', sys.executable, HANDLES], "child"),
        (
            ["sh", "-c", 'trap "kill $!" TERM; "$0" -c "$1" & wait', sys.executable, HANDLES],
            "first",
        ),
    ],
)
def test_the_first_process_that_keeps_a_signal_is_found_out(
    command: list[str], expected: str
) -> None:
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            assert sigterm_handler(child.pid)[0] == expected
        finally:
            os.killpg(child.pid, 9)


@on_linux
def test_of_a_process_that_has_ended_nothing_is_known() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert sigterm_handler(child.pid) == ("unknown", "")  # its parent has yet to ask
        child.wait()
    assert sigterm_handler(child.pid) == ("unknown", "")


def test_what_was_seen_of_a_start_holds_when_it_has_ended() -> None:
    start = CurrentStart(1, began=0.0)
    start.see("nobody", "sh", 1.0)
    start.see("unknown", "", 2.0)
    assert (start.reach, start.first_process, start.ready_at) == ("nobody", "sh", None)
    start.see("child", "sh", 3.0)
    assert (start.reach, start.first_process, start.ready_at) == ("child", "sh", 3.0)
