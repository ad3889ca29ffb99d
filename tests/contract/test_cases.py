"""The suite holds the cases that it names, and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.contract.cases import CASES, OPEN

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def played() -> list[str]:
    """The names of all tests in the files of cases."""
    files = [path for path in HERE.glob("test_*.py") if path != Path(__file__)]
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text())))
    tests = (node.name for node in nodes if isinstance(node, ast.FunctionDef))
    return [name.removeprefix("test_") for name in tests if name.startswith("test_")]


def test_each_case_is_played_once_or_is_open_with_a_reason() -> None:
    assert len(CASES) == len(set(CASES)) == 86
    assert sorted([*played(), *OPEN]) == sorted(CASES)


def test_where_an_open_case_is_shown_there_is_a_test() -> None:
    named = {path for why in OPEN.values() for path in re.findall(r"tests/\S+\.py", why)}
    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []
