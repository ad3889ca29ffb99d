"""The README's first command tells its story to the end, and says so by its exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.standalone, pytest.mark.timeout(420)]


def test_the_demonstration_happens_as_told() -> None:
    done = subprocess.run([sys.executable, "-m", "demo", "run"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    for words in ("resumed from step", "GPUs reclaimed by project team-b", "invalid", "is the champion"):
        assert words in done.stdout
    assert "NOT TRUE" not in done.stdout
