"""
The adapters under the real libraries: real processes, real SIGTERM, and the end bit for bit as without it.

Where the libraries are not installed, test_adapter_logic.py drives the same code by hand, and
test_golden.py looks at what these programs wrote under them.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from airflow_runai.checkpoints import Verdict, check, select
from airflow_runai.training.preemptible import newest_valid
from tests.support.forks import Fork

HERE = Path(__file__).parents[2]
STEPS = 10
LIBRARY = {"huggingface": "transformers", "lightning": "lightning", "torch": "torch"}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("libraries")]


def train(program: str, *arguments: object) -> None:
    """Run one of the programs in this process."""
    importlib.import_module(f"tests.training.{program}_program").main(*arguments)


def start(program: str, root: Path, seconds: float, *more: bool, **environment: object) -> Fork:
    settings = {name: str(value) for name, value in environment.items()}
    return Fork(
        train,
        *(program, str(root), STEPS, seconds, *more),
        environment={**os.environ, "OMP_NUM_THREADS": "1", **settings},
        folder=HERE,
    )


def ranks(program: str, root: Path, seconds: float, world: int) -> list[Fork]:
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
    ended = [child.finish() for child in children]
    assert [code for _, code in ended] == [0] * world, ended
    digests = {line for text, _ in ended for line in text.splitlines() if line[:8] == "weights "}
    assert len(digests) == 1
    return digests.pop()


def preempt(program: str, root: Path, world: int) -> None:
    """Send SIGTERM to the last rank in the middle of the training; all must leave, saying that they were preempted."""
    children = ranks(program, root, 0.5, world)
    for line in children[-1].stdout:
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
    assert 4 < found.step < STEPS, "it went on to its end"
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
    child = start("lightning", tmp_path, 0.2, True)
    for line in child.stdout:
        if re.match("step 2", line):
            child.send_signal(signal.SIGTERM)
    assert child.wait() == 0
