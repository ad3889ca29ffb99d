"""
From a specification to the command line of CLI v2, through the same table that reads it.

The line is read back before it is handed out, so whatever is printed means the same. What CLI v2
cannot say is an error that names the key; the whole specification is always available as JSON for
the REST API (:meth:`~airflow_runai.core.spec.WorkloadSpec.to_wire`).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from airflow_runai.core.command_line import verbs
from airflow_runai.core.command_line.flags import Flag, Takes
from airflow_runai.core.command_line.parsing import parse_command
from airflow_runai.core.command_line.rows_v2 import V2
from airflow_runai.core.fields import declared, read
from airflow_runai.core.json_merge import canonical
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.storage import Pvc
from airflow_runai.errors import SpecError

_INSTEAD = "send it as JSON over REST instead (WorkloadSpec.to_wire)"
#: Said by the verb and by the words after ``--``.
_ELSEWHERE = {"distributed.framework", "command", "args"}
#: Said as well, because the reference pages write it so; it must agree with what follows.
_KINDS = {
    "--gpu-portion-request": ["--gpu-request-type", "portion"],
    "--gpu-memory-request": ["--gpu-request-type", "memory"],
}


def print_command(
    spec: WorkloadSpec | Mapping[str, Any],
    *,
    name: str | None = None,
    name_prefix: str | None = None,
    project: str | None = None,
) -> str:
    """
    Write a specification as one command line of CLI v2.

    ``command`` and ``args`` become one command, because the line has one place for both; ``false``
    where the API says that it is the default (claims' ``read_only`` and ``ephemeral``) is left out.
    Apart from that, reading the line gives the specification again.

    :param name: name of the workload; without one the line has none, and Run:ai makes one up.
    :param name_prefix: what the name begins with that it makes up.
    :raises SpecError: naming every key that the line cannot express.
    """
    checked = normal(spec if isinstance(spec, WorkloadSpec) else WorkloadSpec.from_mapping(spec))
    problems: list[str] = []
    words = [*_verb(checked, problems), *filter(None, [name])]
    for flag, value in (("--name-prefix", name_prefix), ("--project", project)):
        words += _spelled(flag, value) if value else []
    for path, kept in _leaves(checked):
        words += _words(path, kept, problems)
    words += _payload(checked, problems)
    if problems:
        raise SpecError(problems)
    _verify(checked, words)
    return shlex.join(words)


def normal(spec: WorkloadSpec) -> WorkloadSpec:
    """Return the specification as CLI v2 would have it: one command, and no ``false`` that is the default."""
    if spec.command and spec.args:
        spec = replace(spec, command=f"{spec.command} {spec.args}", args=None)
    if spec.storage and spec.storage.pvc:
        spec = replace(
            spec, storage=replace(spec.storage, pvc=tuple(map(_plain_claim, spec.storage.pvc)))
        )
    return spec


def _plain_claim(claim: Pvc) -> Pvc:
    return replace(claim, read_only=claim.read_only or None, ephemeral=claim.ephemeral or None)


def _verb(spec: WorkloadSpec, problems: list[str]) -> list[str]:
    try:
        return verbs.printed(
            str(spec.distributed.framework) if spec.distributed else "single"
        ).split()
    except ValueError as error:
        problems.append(f"spec.distributed.framework: {error}; {_INSTEAD}")
        return []


def _leaves(part: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key that is set, with its path; a master and ``raw`` are entered like parts."""
    for item in fields(part):
        value = getattr(part, item.name)
        where = f"{path}{item.name}"
        if value is None or item.name not in declared(type(part)):
            continue
        if where == "distributed.master":
            yield from _leaves(read(WorkloadSpec, value, where, []), f"{where}.")
        elif where == "raw":
            yield from ((f"raw.{key}", entry) for key, entry in value.items())
        elif is_dataclass(value):
            yield from _leaves(value, f"{where}.")
        else:
            yield where, value


def _words(path: str, value: Any, problems: list[str]) -> list[str]:
    if path in _ELSEWHERE:
        return []
    rows = [flag for flag in V2 if flag.landing.where == path and flag.landing.show]
    if not rows:
        problems.append(f"spec.{path}: no flag of the command line says it; {_INSTEAD}")
        return []
    found = []
    try:
        for item in rows[0].landing.each(value):
            found += _item(rows, _as_mapping(item))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        problems.append(f"spec.{path}: {error}; {_INSTEAD}")
    return found


def _as_mapping(item: Any) -> Any:
    if not is_dataclass(item):
        return item
    pairs = ((entry.name, getattr(item, entry.name)) for entry in fields(item))
    return {key: value for key, value in pairs if value is not None}


def _item(rows: list[Flag], item: Any) -> list[str]:
    for flag in rows:
        shown = flag.landing.show(item) if flag.landing.show else None
        if shown is not None:
            name = flag.spelled[0]
            return _KINDS.get(name, []) + _spelled(name, shown, alone=flag.takes is Takes.NOTHING)
    raise ValueError("no flag of the command line says it in this form")


def _spelled(name: str, value: str, *, alone: bool = False) -> list[str]:
    if alone:
        return [f"{name}{value}"]
    # A value that looks like a flag must hang on its own one.
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def _payload(spec: WorkloadSpec, problems: list[str]) -> list[str]:
    text = spec.command or spec.args
    if text is None:
        return []
    try:
        words = shlex.split(text)
    except ValueError as error:
        problems.append(f"spec.{'command' if spec.command else 'args'}: {error}; close the quotes")
        return []
    return ["--command", "--", *words] if spec.command else ["--", *words]


def _verify(spec: WorkloadSpec, words: list[str]) -> None:
    """Read the line again; a difference means that the specification has something that no flag can carry."""
    try:
        parsed = parse_command(words)
    except SpecError as error:
        raise SpecError([f"{problem}; or {_INSTEAD}" for problem in error.problems]) from None
    ours, theirs = _sent(spec), _sent(WorkloadSpec.from_mapping(parsed.spec))
    different = sorted(
        key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)
    )
    if different:
        raise SpecError([f"spec: the command line would change {', '.join(different)}; {_INSTEAD}"])


def _sent(spec: WorkloadSpec) -> dict[str, Any]:
    """Return what is sent, with the texts of command and arguments in one way of quoting."""
    body: dict[str, Any] = canonical(spec.to_wire())
    found = {**body.pop("spec"), **body}
    for key in ("command", "args"):
        if key in found:
            found[key] = shlex.split(found[key])
    return found
