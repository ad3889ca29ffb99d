"""
One template: its format, and what is wrong with it by itself.

How several go together is in ``effective.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_runai.core.command_line.line import Line
from airflow_runai.core.fields import nearest, one_of, read, text, texts
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.templates.keys import path_of
from airflow_runai.core.templates.text import Document, Path
from airflow_runai.core.texts import cut
from airflow_runai.errors import SpecError

#: The template that lies beneath all others.
ADMIN = "admin"
#: What the task itself says is called so in the list of layers.
CALL = "call"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,62}")


@dataclass(frozen=True)
class Template:
    """
    A named part of a specification.

    Dotted keys may be joined by ``|``, which means any of them: ``compute.gpu_devices | compute.gpu_portion``.

    :param where: file, Variable or DAG file it came from, for messages.
    :param extends: name of the template beneath it.
    :param spec: keys of :class:`~airflow_runai.core.spec.WorkloadSpec`; need not be complete.
    :param required: dotted keys that must have a value in the end.
    :param locked: dotted keys that nobody above may change, set or not.
    :param replaceable: dotted keys whose value counts only if nobody above says anything there;
        lists would append.
    :param kind: ``training`` or ``distributed``, if it is good for one of them only.
    :param project: Run:ai project.
    :param warnings: what its author should know.
    :param line: the command line that it amounts to, if it is a ConfigMap of one; ``spec`` is then
        what that says by itself.
    :param default: it applied where no template was named.
    """

    name: str
    where: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    extends: str | None = None
    description: str = ""
    kind: str | None = None
    project: str | None = None
    required: tuple[str, ...] = ()
    locked: tuple[str, ...] = ()
    replaceable: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    line: Line | None = None
    default: bool = False


def parse_keys(key: str) -> list[Path]:
    """Return the paths of ``a | b``; raises ``ValueError`` with the nearest valid name."""
    return [path_of(part.strip()) for part in key.split("|")]


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(
            f"{cut(repr(value), 80)}; allowed: letters, digits, '_', '.' and '-', at most 63"
        )
    if value == CALL:
        raise ValueError(f"{value!r} stands for what the task says itself; take another name")
    return value


def _parent(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        raise ValueError("a list; allowed: the name of one template, which may extend another")
    if value == ADMIN:
        raise ValueError(f"{ADMIN!r} lies beneath every template anyway; leave it out")
    return _name(value)


def _spec(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(
            f"a {type(value).__name__}; allowed: a mapping of the keys of a specification"
        )
    return dict(value)


def _keys(value: Any) -> tuple[str, ...]:
    for key in texts(value):
        parse_keys(key)
    return texts(value)


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "name": _name,
    "extends": _parent,
    "description": text,
    "kind": one_of("training", "distributed"),
    "project": text,
    "spec": _spec,
    "required": _keys,
    "locked": _keys,
    "replaceable": _keys,
}


def from_document(document: Document) -> Template:
    """
    Make a template of what was read.

    :raises SpecError: with all mistakes, each with its place and line where there is one.
    """
    given = document.value
    if not isinstance(given, Mapping):
        kind = type(given).__name__
        raise SpecError([f"{document.where}: a {kind}; allowed: a mapping of {', '.join(_CHECKS)}"])
    problems = [
        f"{key}: unknown key; {nearest(str(key), _CHECKS)}" for key in given if key not in _CHECKS
    ]
    found = {
        key: _checked(key, given[key], problems) for key in _CHECKS if given.get(key) is not None
    }
    if "name" not in found:
        problems.append("name: missing; allowed: the name that tasks call it by")
    problems += _of_spec(found.get("spec") or {})
    if found.get("name") == ADMIN and "extends" in found:
        problems.append(
            f"extends: {ADMIN!r} lies beneath all others and extends none; leave it out"
        )
    if problems:
        raise SpecError([document.at(sentence) for sentence in problems])
    return Template(where=document.where, **found)


def _checked(key: str, value: Any, problems: list[str]) -> Any:
    try:
        return _CHECKS[key](value)
    except ValueError as error:
        problems.append(f"{key}: {error}")
        return None


def _of_spec(spec: Mapping[str, Any]) -> list[str]:
    """Check what can be checked of an incomplete specification."""
    problems: list[str] = []
    found = read(WorkloadSpec, spec, "spec", problems)
    if found.compute:
        problems += [f"spec.compute{sentence}" for sentence in found.compute.problems()]
    return problems
