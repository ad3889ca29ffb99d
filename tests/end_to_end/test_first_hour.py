"""The tutorial of the first hour, word for word: its commands in one shell, in a copy of the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.free_ports import free_port

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = re.compile(r"^```bash run\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = [pytest.mark.qualify, pytest.mark.slow, pytest.mark.standalone]


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A copy of the repository that shares the installation, which takes minutes."""
    copy = tmp_path / "clone"
    ignored = shutil.ignore_patterns(".venv", ".demo", ".git", ".*_cache", "__pycache__", "site")
    shutil.copytree(ROOT, copy, ignore=ignored)
    (copy / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name != ".installed":
            (copy / ".venv" / part.name).symlink_to(part)
    (copy / ".venv" / ".installed").touch()  # newer than what `make` compares it with
    yield copy
    subprocess.run(["make", "down"], cwd=copy, env=surroundings(copy), check=False)


def surroundings(clone: Path) -> dict[str, str]:
    ports = {"PORT": str(free_port()), "RUNAI_PORT": str(free_port())}
    return {**os.environ, **ports, "PYTHONPATH": str(clone)}


def test_the_first_hour_happens_as_told(clone: Path) -> None:
    blocks = COMMANDS.findall((ROOT / "docs" / "first-hour.md").read_text())
    log = clone / "shell.log"
    with log.open("w") as output:
        done = subprocess.run(
            ["bash", "-e", "-c", "".join(blocks)],
            cwd=clone,
            env=surroundings(clone),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    said = log.read_text()
    assert done.returncode == 0, said
    _check(clone, said)


def _check(clone: Path, said: str) -> None:
    assert "Will start.sh survive? yes" in said
    starts = [int(step) for step in re.findall(r"begins at step (\d+)", said)]
    stops = [int(step) for step in re.findall(r"stops at step (\d+)", said)]
    assert starts == [0, *stops]
    assert len(stops) >= 1
    assert '"verdict": "valid"' in said
    assert "step-00000375" in said
    champion = json.loads((clone / ".demo/shared/mine/champion.json").read_text())
    assert champion["step"] == 400
    assert champion["metrics"]["accuracy"] >= 0.9
