"""Skips and marks of tests, tried on small test files in a pytest of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each starts several Pythons

ROOT = Path(__file__).parents[2]
LACKS = "import pytest\ndef test_lacks(): pytest.importorskip('not_there')\ndef test_other(): pytest.skip('no IPv6 here')\n"
LACKS_ALL = "import pytest\npytest.importorskip('not_there')\ndef test_it(): ...\n"
LONG = "import pytest\n@pytest.mark.qualify\ndef test_long(): ...\n@pytest.mark.slow\ndef test_short(): ...\n"


def run(
    tmp_path: Path, text: str, *words: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    qualify\n    slow\n")
    (tmp_path / "test_it.py").write_text(text)
    plugins = ["-p", "no:cacheprovider", "-p", "xdist", "-p", "tests.support.skips"]
    command = [sys.executable, "-m", "pytest", "-ra", *plugins, *words]
    # Without the other plugins a Python that tests two lines starts three times as fast.
    ours = {
        "RUNAI_REQUIRE_ORACLES": "0",
        "RUNAI_SKIPPED": "",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        **settings,
    }
    environment = {**os.environ, **ours, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("text", [LACKS, LACKS_ALL], ids=["one test", "a whole file"])
def test_lack_of_a_library_is_a_skip_or_where_required_a_failure(tmp_path: Path, text: str) -> None:
    done = run(tmp_path, text)
    assert done.returncode in (0, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "could not import 'not_there'" in done.stdout
    done = run(tmp_path, text, RUNAI_REQUIRE_ORACLES="1")
    assert done.returncode in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)
    assert (
        "could not import 'not_there': No module named 'not_there'; RUNAI_REQUIRE_ORACLES=1"
        in done.stdout
    )


@pytest.mark.parametrize("workers", ["0", "2"])
def test_every_skip_of_every_run_is_recorded_with_its_reason(tmp_path: Path, workers: str) -> None:
    for text in (LACKS, LACKS_ALL):
        run(tmp_path, text, "--numprocesses", workers, RUNAI_SKIPPED=str(tmp_path / "skipped"))
    recorded = (tmp_path / "skipped").read_text().splitlines()
    assert sorted(recorded) == [
        "test_it.py: could not import 'not_there': No module named 'not_there'",
        "test_it.py::test_lacks: could not import 'not_there': No module named 'not_there'",
        "test_it.py::test_other: no IPv6 here",
    ]


@pytest.mark.parametrize(
    ("words", "ran"),
    [
        ((), "test_short"),
        (("-m", "slow"), "test_short"),
        (("-m", "not slow"), ""),
        (("-m", "qualify"), "test_long"),
    ],
)
def test_what_takes_very_long_runs_only_where_its_mark_is_named(
    tmp_path: Path, words: tuple[str, ...], ran: str
) -> None:
    done = run(tmp_path, LONG, "-v", *words)
    assert [name for name in ("test_long", "test_short") if f"{name} PASSED" in done.stdout] == [
        ran
    ][: bool(ran)]
