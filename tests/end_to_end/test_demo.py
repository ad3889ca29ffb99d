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
    command = [sys.executable, "-m", "demo", "run", *database]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    for words in (
        "resumed from step",
        "GPUs reclaimed by project team-b",
        "invalid",
        "is the champion",
    ):
        assert words in done.stdout
    assert "NOT TRUE" not in done.stdout
