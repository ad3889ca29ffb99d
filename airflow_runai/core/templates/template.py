"""
One template: its format, and its mistakes.

``effective.py`` merges several.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_runai.core.command_line.line import Line
from airflow_runai.core.fields import read
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.templates.keys import path_of
from airflow_runai.core.templates.text import Document, Path
from airflow_runai.core.texts import cut
from airflow_runai.core.values import nearest, one_of, text, texts
from airflow_runai.errors import SpecError

#: The template that lies beneath all others.
ADMIN = "admin"
#: The name of the task's own specification in the list of layers.
CALL = "call"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,62}")


@dataclass(frozen=True)
class Template:
    """
    A named part of a specification.

    Dotted keys may be joined by ``|``, which means any of them, as in
    ``compute.gpu_devices | compute.gpu_portion``.

    :param where: file, Variable or DAG file it came from, for messages.
    :param extends: name of the template beneath it.
    :param spec: keys of :class:`~airflow_runai.core.spec.WorkloadSpec`; need not be complete.
    :param required: dotted keys that must have a value in the end.
    :param locked: dotted keys that no layer above may change, set or not.
    :param replaceable: dotted keys whose value a layer above replaces as a whole; lists would
        append.
    :param kind: ``training`` or ``distributed``, if it suits only one of them.
    :param project: Run:ai project.
    :param warnings: notes for its author.
    :param line: the command line that it stands for, if it is a ConfigMap of one; ``spec`` is then
        the specification of that line alone.
    :param default: it applied where no template was named.
    """

    name: str
    where: str
    spec: JsonMapping = field(default_factory=dict)
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
        raise ValueError(f"{value!r} stands for the task's own keys; take another name")
    return value


def _parent(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        raise ValueError("a list; allowed: the name of one template, which may extend another")
    if value == ADMIN:
        raise ValueError(f"{ADMIN!r} lies beneath every template anyway; leave it out")
    return _name(value)


def _spec(value: Any) -> JsonObject:
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
    mapping = document.value
    if not isinstance(mapping, Mapping):
        kind = type(mapping).__name__
        raise SpecError([f"{document.where}: a {kind}; allowed: a mapping of {', '.join(_CHECKS)}"])
    problems = [
        f"{key}: unknown key; {nearest(str(key), _CHECKS)}" for key in mapping if key not in _CHECKS
    ]
    # Null says the same as an absent key.
    parts = {
        key: _checked(key, mapping[key], problems)
        for key in _CHECKS
        if mapping.get(key) is not None
    }
    problems += _problems_together(parts)
    if problems:
        raise SpecError([document.at(sentence) for sentence in problems])
    return Template(where=document.where, **parts)


def _problems_together(parts: JsonMapping) -> Iterator[str]:
    """Yield the problems that parts have only together, and those of the specification."""
    if "name" not in parts:
        yield "name: missing; allowed: the name that tasks use for it"
    yield from _problems_of_spec(parts.get("spec") or {})
    if parts.get("name") == ADMIN and "extends" in parts:
        yield f"extends: {ADMIN!r} lies beneath all others and extends none; leave it out"


def _checked(key: str, value: Any, problems: list[str]) -> Any:
    try:
        return _CHECKS[key](value)
    except ValueError as error:
        problems.append(f"{key}: {error}")
        return None


def _problems_of_spec(spec: JsonMapping) -> list[str]:
    """Check an incomplete specification, as far as that is possible."""
    problems: list[str] = []
    checked = read(WorkloadSpec, spec, "spec", problems)
    if checked.compute:
        problems += [f"spec.compute{sentence}" for sentence in checked.compute.problems()]
    return problems
