"""The house keeps its own rules: sizes, no patching of our own names, contracts, and a wheel that is complete."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_FILE = 300
LONGEST_FUNCTION = 40
#: One file on purpose: it is copied into images, so it cannot be split.
COPIED_WHOLE = {"airflow_runai/training/preemptible.py": 560}


def package_files() -> list[Path]:
    return sorted((ROOT / "airflow_runai").rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            documented = ast.get_docstring(node) is not None
            first = node.body[1].lineno if documented and len(node.body) > 1 else node.lineno
            yield f"{name(path)}:{node.name}", (node.end_lineno or first) - first + 1


def test_no_file_outgrows_its_one_idea() -> None:
    sizes = {name(path): len(path.read_text().splitlines()) for path in package_files()}
    too_long = {
        file: size for file, size in sizes.items() if size > COPIED_WHOLE.get(file, LONGEST_FILE)
    }
    assert not too_long


def test_no_function_outgrows_a_screen() -> None:
    found = dict(pair for path in package_files() for pair in functions(path))
    assert {function: lines for function, lines in found.items() if lines > LONGEST_FUNCTION} == {}
    assert sorted(found.values())[len(found) // 2] <= 10, (
        "the median function has more than ten lines"
    )


def test_no_test_patches_our_own_names() -> None:
    patching = re.compile(
        r"mock\.patch|import patch|@patch|monkeypatch\.setattr\([^)]*airflow_runai"
    )
    this = Path(__file__)
    guilty = [
        name(p)
        for p in (ROOT / "tests").rglob("*.py")
        if p != this and patching.search(p.read_text())
    ]
    assert guilty == []


def test_the_import_contracts_hold() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.slow
def test_the_wheel_holds_all_that_is_needed_and_nothing_else(tmp_path: Path) -> None:
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = archive.namelist()
        entry_points = archive.read(
            next(n for n in held if n.endswith("entry_points.txt"))
        ).decode()
    on_disk = {
        name(p)
        for p in (ROOT / "airflow_runai").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert on_disk <= set(held)
    assert {n.split("/")[0] for n in held} == {
        "airflow_runai",
        next(n for n in held if "dist-info" in n).split("/")[0],
    }
    assert "[apache_airflow_provider]" in entry_points
    assert "[airflow.plugins]" in entry_points
    assert "airflow_runai/py.typed" in held
