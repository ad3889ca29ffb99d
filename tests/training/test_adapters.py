"""
The adapters under the real libraries: real processes, real SIGTERM, and the end bit for bit as without it.

Where the libraries are not installed, test_adapter_logic.py drives the same code by hand, and
test_golden.py looks at what these programs wrote under them.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_runai.checkpoints import Verdict, check, select
from airflow_runai.training.preemptible import newest_valid

HERE = Path(__file__).parents[2]
STEPS = "10"
LIBRARY = {"huggingface": "transformers", "lightning": "lightning", "torch": "torch"}

pytestmark = pytest.mark.slow  # each process imports PyTorch


def start(program: str, root: Path, seconds: float, **environment: object) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        f"tests.training.{program}_program",
        str(root),
        STEPS,
        str(seconds),
    ]
    settings = {name: str(value) for name, value in environment.items()}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=HERE,
        env={**os.environ, "OMP_NUM_THREADS": "1", **settings},
    )


def ranks(program: str, root: Path, seconds: float, world: int) -> list[subprocess.Popen[str]]:
    if world == 1 and program != "torch":
        return [start(program, root, seconds)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where: dict[str, object] = {
        "WORLD_SIZE": world,
        "LOCAL_WORLD_SIZE": world,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    where["TORCHELASTIC_RUN_ID"] = "tests"  # by which Lightning knows torchrun
    return [
        start(program, root, seconds, RANK=rank, LOCAL_RANK=rank, **where) for rank in range(world)
    ]


def finish(program: str, root: Path, world: int) -> str:
    """Run to the end, and return the digest of the weights."""
    children = ranks(program, root, 0.0, world)
    said = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0] * world, said
    digests = {line for text in said for line in text.splitlines() if line.startswith("weights ")}
    assert len(digests) == 1
    return digests.pop()


def preempt(program: str, root: Path, world: int) -> None:
    """Send SIGTERM to the last rank in the middle of the training; all must leave, saying that they were preempted."""
    children = ranks(program, root, 0.5, world)
    said = children[-1].stdout
    assert said is not None
    for line in said:
        if line.startswith("step 4"):
            children[-1].send_signal(signal.SIGTERM)
    assert [child.wait() for child in children] == [143] * world


@pytest.mark.parametrize(
    ("program", "world"),
    [("huggingface", 1), ("lightning", 1), ("torch", 1), ("torch", 2), ("huggingface", 2)],
)
def test_preempted_and_resumed_training_ends_bit_for_bit_like_an_undisturbed_one(
    tmp_path: Path, program: str, world: int
) -> None:
    pytest.importorskip(LIBRARY[program])
    preempt(program, tmp_path / "cut", world)
    found, chosen = newest_valid(tmp_path / "cut"), select(tmp_path / "cut").chosen
    assert found is not None
    assert chosen is not None
    assert (found.step, chosen.verdict) == (chosen.step, Verdict.VALID)
    assert 4 < found.step < int(STEPS), "it went on to its end"
    assert finish(program, tmp_path / "cut", world) == finish(program, tmp_path / "whole", world)


def test_both_ranks_of_lightning_leave_when_one_is_preempted(tmp_path: Path) -> None:
    """Resuming is not exact here: Lightning keeps one state for all ranks, so their random generators are not in it."""
    pytest.importorskip("lightning")
    preempt("lightning", tmp_path, 2)
    found = newest_valid(tmp_path)
    assert found is not None
    assert found.path.name.startswith("preempted-step=")
    assert finish("lightning", tmp_path, 2).startswith("weights ")


@pytest.mark.parametrize("program", ["huggingface", "lightning"])
def test_training_killed_at_any_moment_resumes_from_what_proves_itself(
    tmp_path: Path, program: str
) -> None:
    pytest.importorskip(LIBRARY[program])
    for line in ("step 3", "step 4", "step 7"):
        child = start(program, tmp_path, 0.05)
        assert child.stdout is not None
        for said in child.stdout:
            if said.startswith(line):
                child.kill()
        child.wait()
        found = newest_valid(tmp_path)
        assert found is None or check(found.path).verdict is Verdict.VALID
    assert finish(program, tmp_path, 1).startswith("weights ")


def test_lightning_left_to_itself_says_finished_when_it_was_preempted(tmp_path: Path) -> None:
    """The reason for our callback; if this fails, Lightning has learnt it."""
    pytest.importorskip("lightning")
    command = [
        sys.executable,
        "-m",
        "tests.training.lightning_program",
        str(tmp_path),
        STEPS,
        "0.2",
        "plain",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if re.match("step 2", line):
                child.send_signal(signal.SIGTERM)
        assert child.wait() == 0
