"""
State survives the emulator's restart, however it ended; no workload is lost and no process is left.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from airflow_runai.emulator import EmulatorSettings, SteppedClock, serve
from tests.support.waiting import wait_until

from .conftest import Client
from .test_processes import is_alive

RESTARTED = "The control plane restarted; the workload is queued again"


@dataclass
class Running:
    """An emulator in a process of its own, as the test's client sees it."""

    url: str
    process: subprocess.Popen[str]
    client_id: str = "airflow"
    client_secret: str = "airflow-local"


@contextmanager
def command(state: Path) -> Iterator[Running]:
    line = [sys.executable, "-m", "airflow_runai.emulator", "--port", "0", "--state", str(state)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = re.search(r"http://\S+", process.stdout.readline())
        assert url is not None
        yield Running(url[0], process)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_sigkill_loses_no_workload_and_leaves_no_process(tmp_path: Path) -> None:
    with command(tmp_path) as emulator:
        client = Client(emulator)  # type: ignore[arg-type]  # it needs no more than url and credentials
        running = client.create("running", command="bash -c 'echo $$; sleep 100'")
        waiting = client.create("waiting", gpus=9)
        stopped = client.create("stopped", gpus=0)
        done = client.create("done", gpus=0, command="true")
        client.post(f"/api/v1/workloads/trainings/{stopped}/suspend")
        client.wait_for(stopped, "Stopped")
        client.wait_for(done, "Completed")
        client.wait_for(running, "Running")
        log = tmp_path / "logs" / "running" / "1.log"
        pid = int(wait_until(lambda: log.read_text() if log.exists() else ""))
        before = client.phases(running)
        emulator.process.send_signal(signal.SIGKILL)
        emulator.process.wait()
        wait_until(lambda: not is_alive(pid))
    with command(tmp_path) as emulator:
        client = Client(emulator)  # type: ignore[arg-type]  # see above
        client.wait_for(running, "Running")
        history = client.history(running)
        assert [phase for phase, _ in history[: len(before)]] == before
        assert history[len(before)] == ("Terminating", RESTARTED)
        assert [phase for phase, _ in history[len(before) + 1 :]] == [
            "Pending",
            "Initializing",
            "Running",
        ]
        assert client.phase(waiting) == "Pending"
        assert client.phase(stopped) == "Stopped"
        assert client.phase(done) == "Completed"
        assert client.get("/api/v1/workloads/count") == {"count": 4}


@pytest.mark.slow
def test_sigterm_ends_processes_orderly_and_queues_them_again(tmp_path: Path) -> None:
    with command(tmp_path) as emulator:
        client = Client(emulator)  # type: ignore[arg-type]  # see above
        saver = "bash -c 'trap \"echo saved; exit 1\" TERM; echo ready; sleep 100 & wait'"
        created = client.create("saver", command=saver)
        log = tmp_path / "logs" / "saver" / "1.log"
        wait_until(lambda: log.read_text() if log.exists() else "")
        emulator.process.terminate()
        assert emulator.process.wait() == 0
        assert log.read_text() == "ready\nsaved\n"
    with command(tmp_path) as emulator:
        client = Client(emulator)  # type: ignore[arg-type]  # see above
        client.wait_for(created, "Running")
        assert client.phases(created).count("Running") == 2


@pytest.mark.slow
def test_restart_in_place_keeps_port_and_refuses_old_tokens(tmp_path: Path) -> None:
    with serve(EmulatorSettings(state=tmp_path)) as emulator:
        client = Client(emulator)
        created = client.create("stays")
        client.wait_for(created, "Running")
        url = emulator.url
        emulator.restart()
        assert emulator.url == url
        fresh = httpx.get(
            f"{url}/api/v1/clusters",
            headers={"Authorization": client.http.headers["Authorization"]},
        )
        assert fresh.status_code == 401
        client.log_in()
        client.wait_for(created, "Running")
        assert client.phases(created).count("Running") == 2


def test_deletion_that_was_asked_for_is_finished_after_a_restart(tmp_path: Path) -> None:
    with serve(EmulatorSettings(state=tmp_path, clock=SteppedClock())) as emulator:
        client = Client(emulator)
        created = client.create("leaves")
        client.http.delete(f"/api/v1/workloads/trainings/{created}")
    with serve(EmulatorSettings(state=tmp_path, clock=SteppedClock())) as emulator:
        emulator.advance(1)
        assert Client(emulator).http.get(f"/api/v1/workloads/{created}").status_code == 404


def test_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "workloads").mkdir()
    (tmp_path / "workloads" / "x.json").write_text("{")
    with (
        pytest.raises(ValueError, match=r"x\.json: not a workload .* remove the file"),
        serve(EmulatorSettings(state=tmp_path)),
    ):
        pass


def test_state_holds_no_secret(tmp_path: Path) -> None:
    with serve(EmulatorSettings(state=tmp_path, client_secret="very-secret")) as emulator:
        Client(emulator).create("one")
        assert "very-secret" not in repr(emulator.settings)
    texts = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert texts
    assert not any(b"very-secret" in text for text in texts)
    assert os.listdir(tmp_path / "run") == []
