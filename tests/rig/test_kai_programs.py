"""What runs the real KAI on the rig, with programs in its place that only listen where they are asked to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.rig.kai_programs import CONDITION, PROGRAMS
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
LISTENS = f"""#!{sys.executable} -IS
import json, os, re, socket, sys, time
with open(sys.argv[0] + ".log", "a") as log:
    print(json.dumps([os.getpid(), os.environ["KUBECONFIG"], sys.argv[1:]]), file=log)
if os.path.exists(sys.argv[0] + ".broken"):
    sys.exit("no licence")
port = int(re.search(r"=127\\.0\\.0\\.1:(\\d+)", " ".join(sys.argv)).group(1))
with socket.create_server(("127.0.0.1", port)):
    time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in PROGRAMS:
        (tmp_path / name).write_text(LISTENS)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def test_ready_is_said_when_all_listen_and_sigterm_ends_them_all(folder: Path) -> None:
    with started(folder, "--eviction-condition") as (process, said):
        assert next(said) == "ready"
        starts = {name: starts_of(folder, name) for name in PROGRAMS}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    for name, ((pid, kubeconfig, flags),) in starts.items():
        assert not psutil.pid_exists(pid)
        assert kubeconfig == "where-it-is"
        assert (CONDITION in flags) == (name == "scheduler")


def test_one_that_crashes_is_named_and_started_again(folder: Path) -> None:
    with started(folder) as (process, said):
        assert next(said) == "ready"
        ((pid, _, flags),) = starts_of(folder, "scheduler")
        os.kill(pid, signal.SIGKILL)
        assert next(said) == "scheduler has ended"
        wait_until(lambda: len(starts_of(folder, "scheduler")) == 2, "the scheduler's next start")
        again, _, same = starts_of(folder, "scheduler")[1]
        assert (again != pid, same) == (True, flags)
        assert process.poll() is None


def test_one_that_does_not_come_up_ends_the_others(folder: Path) -> None:
    (folder / "binder.broken").touch()
    with started(folder) as (process, said):
        assert list(said) == ["no licence", "binder has ended"]
        assert process.wait(30) == 1
    for name in PROGRAMS:
        assert not any(psutil.pid_exists(pid) for pid, *_ in starts_of(folder, name))


@contextmanager
def started(folder: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], Iterator[str]]]:
    """Run them, and give what is said meanwhile."""
    module = [sys.executable, "-m", "tests.rig.kai_programs", str(folder)]
    with subprocess.Popen(
        [*module, "--kubeconfig", "where-it-is", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, (line.rstrip() for line in process.stdout)
        finally:
            process.terminate()


def starts_of(folder: Path, name: str) -> list[Any]:
    """Tell the process, the kubeconfig and the flags of each start."""
    log = folder / f"{name}.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [json.loads(line) for line in lines]
