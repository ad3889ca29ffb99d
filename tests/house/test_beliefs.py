"""Each belief about a real cluster names places that exist, and a command that can be given."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from starlette.routing import Match, Route

from airflow_runai.backends.kubernetes.api import paths
from airflow_runai.cli.table import COMMANDS
from airflow_runai.emulator import Emulator
from airflow_runai.emulator.application import application
from docs.belief_table import Belief, beliefs

ROOT = Path(__file__).parents[2]
ALL = [one for listed in beliefs().values() for one in listed]
#: What the page tells to set up.
VARIABLES = {"CLIENT", "SECRET", "ID", "PROJECT", "PROJECT_NAME", "START", "END", "NAMESPACE"}
#: What kubectl may do here: whoever checks a belief changes nothing.
READING = {"get", "logs", "explain", "api-versions", "auth"}
KINDS = {
    f"{one.resource}.{one.group}" if one.group else one.resource
    for one in vars(paths).values()
    if isinstance(one, paths.ResourceKind)
}


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
    assert len(ALL) >= 70
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
    if words[0] == "kubectl":
        _check_kubectl(words[1], words[2:])
        return
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


def _check_kubectl(verb: str, rest: list[str]) -> None:
    assert verb in READING
    options = {word.partition("=")[0] for word in rest if word.startswith("-")}
    assert [
        one for one in options if not re.search(rf"(^|\s){one}[=,\s]", _kubectl_help(verb))
    ] == []
    if verb in {"get", "explain"} and "--raw" not in options:
        assert rest[0] in KINDS


@cache
def _kubectl_help(verb: str) -> str:
    kubectl = str(Path(sys.executable).with_name("kubectl"))
    command = [kubectl, verb, *(["can-i"] if verb == "auth" else []), "--help"]
    own = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return own + "\n-n, \n"  # the namespace is an option of every command
