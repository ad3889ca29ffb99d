"""The README's first command tells its story to the end, under `airflow standalone`, and says so by its exit code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.database import postgres

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.standalone]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    if request.param == "sqlite":
        yield []
        return
    with postgres() as server:
        yield ["--database", f"postgresql+psycopg2://{server.address}"]


def test_the_demonstration_happens_as_told(database: list[str]) -> None:
    tells("GPUs reclaimed by project team-b", *database)


@pytest.mark.rig
@pytest.mark.qualify
def test_kubernetes_tells_the_same_story() -> None:
    tells("was preempted by workload team-b/", "--platform", "kubernetes")


def tells(preemption: str, *options: str) -> None:
    command = [sys.executable, "-m", "demo", "run", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    for words in (preemption, "resumed from step", "invalid", "is the champion"):
        assert words in done.stdout
    assert "NOT TRUE" not in done.stdout
