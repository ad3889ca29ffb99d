"""`make demo`, lint and the fast tests from the unpacked sdist, with an environment of its own; a quarter of an hour."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.packaging.conftest import Distributions


@pytest.mark.qualify
@pytest.mark.timeout(3600)
def test_demo_and_fast_tests_run_from_the_unpacked_sdist(
    distributions: Distributions, tmp_path: Path
) -> None:
    with tarfile.open(distributions.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for target in ("demo", "lint", "quick"):
        done = make(source, target)
        assert done.returncode == 0, f"{target}: {done.stdout[-6000:]}\n{done.stderr[-2000:]}"


def make(folder: Path, target: str) -> subprocess.CompletedProcess[str]:
    """Run make as somebody does who knows nothing of this checkout."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "PYTHON", "RUNAI", "MAKE", "PYTEST"))
    }
    command = ["make", "--no-print-directory", target]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
