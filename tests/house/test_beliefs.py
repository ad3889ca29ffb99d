"""Each belief about the real Run:ai names places that exist, and a command that can be given."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from starlette.routing import Match, Route

from airflow_runai.cli.table import COMMANDS
from airflow_runai.emulator import Emulator
from airflow_runai.emulator.application import application
from docs.belief_table import Belief, beliefs

ROOT = Path(__file__).parents[2]
ALL = [one for listed in beliefs().values() for one in listed]
#: What the page tells to set up.
VARIABLES = {"CLIENT", "SECRET", "ID", "PROJECT", "START", "END"}


def short(one: Belief) -> str:
    return one.belief[:40]


@cache
def names_in(path: str) -> set[str]:
    """Return the names of a module, those in classes as ``CLASS.NAME``."""
    found: set[str] = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        found |= _names(node)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{name}" for inner in node.body for name in _names(inner)}
    return found


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, ast.AnnAssign):
        return {node.target.id} if isinstance(node.target, ast.Name) else set()
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return set()


def test_there_are_beliefs_and_each_is_said_once() -> None:
    assert len(ALL) >= 40
    assert len({one.belief for one in ALL}) == len(ALL)


@pytest.mark.parametrize("one", ALL, ids=short)
def test_the_places_that_rely_on_a_belief_exist(one: Belief) -> None:
    missing = [
        place
        for place in one.used
        for path, name in [place.split(":")]
        if not (ROOT / path).exists() or name not in names_in(path)
    ]
    assert one.used
    assert not missing


@pytest.mark.parametrize("one", ALL, ids=short)
def test_a_belief_can_be_checked_by_one_command(one: Belief, emulator: Emulator) -> None:
    words = shlex.split(one.check)
    assert set(re.findall(r"\$\{?(\w+)", one.check)) <= VARIABLES
    if words[:2] == ["airflow", "runai"]:
        (command,) = [command for command in COMMANDS if command.name == words[2]]
        options = {flag for option in command.options for flag in option.flags}
        assert {word for word in words if word.startswith("--")} <= options
        return
    program, method, path, *_ = words
    assert program == "api"
    scope = {"type": "http", "method": method, "path": path.split("?")[0]}
    routes = [one for one in application(emulator.plane).routes if isinstance(one, Route)]
    assert any(route.matches(scope)[0] is Match.FULL for route in routes)
