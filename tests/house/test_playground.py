"""`make up` and `make demo` if something is wrong: a port, a restart of the machine, a database."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from demo.embedded_runai import EmbeddedRunai
from demo.free_ports import free_port
from demo.platforms import NotReady
from demo.playground import Playground

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("whose", ["Airflow", "the embedded Run:ai"])
def test_a_port_in_use_is_named_before_anything_starts(tmp_path: Path, whose: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        root = tmp_path / "ground"
        ports = {"Airflow": free_port(), "the embedded Run:ai": free_port(), whose: taken}
        runai = EmbeddedRunai(root / "runai", ports["the embedded Run:ai"])
        ground = Playground(root, runai, ports["Airflow"])
        with pytest.raises(NotReady, match=f"port {taken} for {whose} is in use"):
            ground.start()
    assert ground.processes == {}
    assert not ground.root.exists()


def test_processes_of_before_a_restart_are_not_taken_for_living_ones(tmp_path: Path) -> None:
    runai = EmbeddedRunai(tmp_path)
    assert not Playground(tmp_path, runai, processes={"airflow": 2**22 + 1}).lives


@pytest.mark.parametrize("port", ["http", "0", "70000"])
def test_what_is_no_port_is_said_before_anything_starts(port: str) -> None:
    done = _demo("up", RUNAI_PORT=port)
    assert done.returncode == 1
    assert f"not started: RUNAI_PORT={port}: allowed: a port from 1 to 65535\n" in done.stderr


@pytest.mark.slow
def test_a_demonstration_that_fails_says_so_in_a_sentence_and_keeps_everything() -> None:
    done = _demo("run", "--database", "nonsense://nowhere")
    assert done.returncode == 1
    assert re.search(r"^The demonstration failed: airflow has ended", done.stderr, re.MULTILINE)
    kept = re.search(r"^Logs, checkpoints and Airflow's home are kept in (\S+)$", done.stdout, re.M)
    assert kept is not None
    assert (Path(kept[1]) / "airflow.log").exists()
    assert "NotReady" in (Path(kept[1]) / "failure.txt").read_text()
    shutil.rmtree(kept[1])


@pytest.mark.slow
def test_kubernetes_says_what_it_builds_and_what_that_takes(tmp_path: Path) -> None:
    nothing = {"RUNAI_RIG_CACHE": str(tmp_path), "PATH": str(tmp_path)}
    done = _demo("run", "--platform", "kubernetes", **nothing)
    assert done.returncode == 1
    assert "Go >= 1.26, 15 minutes on 2 cores and 6.5 GB, once." in done.stdout
    assert re.search(r"^The demonstration failed: .*\bGo\b", done.stderr, re.MULTILINE)
    kept = re.search(r"kept in (\S+)$", done.stdout, re.M)
    assert kept is not None
    shutil.rmtree(kept[1])


def _demo(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demo", *words]
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
