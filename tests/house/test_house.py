"""The house keeps its own rules: sizes, no patching of our own names, contracts."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.package import ROOT, functions, package_files, relative

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40
#: Ceilings a little above today's figures: the code may only get lighter.
MAX_MEDIAN_TOKENS = 66
MAX_P90_TOKENS = 155
#: On purpose: these are copied into images, so they cannot be split.
COPIED_WHOLE = {
    "airflow_runai/training/preemptible.py": 640,
    "airflow_runai/training/ranks.py": 350,
}


def test_no_file_outgrows_its_one_idea() -> None:
    sizes = {relative(path): len(path.read_text().splitlines()) for path in package_files()}
    too_long = {
        file: size for file, size in sizes.items() if size > COPIED_WHOLE.get(file, MAX_FILE_LINES)
    }
    assert not too_long


@pytest.mark.slow
def test_no_function_outgrows_a_screen() -> None:
    too_long = [one for one in functions() if one.lines > MAX_FUNCTION_LINES]
    assert too_long == []
    assert statistics.median(one.lines for one in functions()) <= 10


@pytest.mark.slow
def test_functions_do_not_grow_denser() -> None:
    lines = sorted(one.lines for one in functions())
    tokens = sorted(one.tokens for one in functions())
    middle, tenth = len(tokens) // 2, int(len(tokens) * 0.9)
    figures = (
        f"median function: {lines[middle]} lines, {tokens[middle]} tokens; "
        f"p90: {lines[tenth]} lines, {tokens[tenth]} tokens"
    )
    print(figures)
    assert tokens[middle] <= MAX_MEDIAN_TOKENS, figures
    assert tokens[tenth] <= MAX_P90_TOKENS, figures


def test_no_test_patches_our_own_names() -> None:
    patching = re.compile(
        r"mock\.patch|import patch|@patch|monkeypatch\.setattr\([^)]*airflow_runai"
    )
    this = Path(__file__)
    guilty = [
        relative(p)
        for p in (ROOT / "tests").rglob("*.py")
        if p != this and patching.search(p.read_text())
    ]
    assert guilty == []


def test_the_import_contracts_hold() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
