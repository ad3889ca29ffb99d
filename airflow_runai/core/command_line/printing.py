"""
From a specification to the command line of CLI v2, through the same table that reads it.

Each line is read back before it is returned, so that it means the same. A key that CLI v2 cannot
express is an error; the whole specification is always available as JSON for the REST API
(:meth:`~airflow_runai.core.spec.WorkloadSpec.to_wire`).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from airflow_runai.core.command_line import verbs
from airflow_runai.core.command_line.flags import Flag, Takes
from airflow_runai.core.command_line.parsing import parse_command
from airflow_runai.core.command_line.table_v2 import V2
from airflow_runai.core.fields import declared, read
from airflow_runai.core.json_merge import JsonMapping, JsonObject, canonical
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.storage import Pvc
from airflow_runai.errors import SpecError

_INSTEAD = "send it as JSON over REST instead (WorkloadSpec.to_wire)"
#: Written by the verb and by the words after ``--``.
_WITHOUT_FLAG = {"distributed.framework", "command", "args"}
#: Written in front of a flag, as the reference pages do.
_REQUEST_TYPES = {
    "--gpu-portion-request": ["--gpu-request-type", "portion"],
    "--gpu-memory-request": ["--gpu-request-type", "memory"],
}


def print_command(
    spec: WorkloadSpec | JsonMapping,
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
    :param name_prefix: beginning of the name that Run:ai makes up.
    :raises SpecError: naming every key that the line cannot express.
    """
    spec = normal(spec if isinstance(spec, WorkloadSpec) else WorkloadSpec.from_mapping(spec))
    problems: list[str] = []
    words = _verb(spec, problems)
    words += [name] if name else []
    words += _argument("--name-prefix", name_prefix) if name_prefix else []
    words += _argument("--project", project) if project else []
    for path, value in _leaves(spec):
        words += _words(path, value, problems)
    words += _payload(spec, problems)
    if problems:
        raise SpecError(problems)
    _verify(spec, words)
    return shlex.join(words)


def normal(spec: WorkloadSpec) -> WorkloadSpec:
    """Return the specification as CLI v2 would have it: one command, no ``false`` as a default."""
    if spec.command and spec.args:
        spec = replace(spec, command=f"{spec.command} {spec.args}", args=None)
    if spec.storage and spec.storage.pvc:
        # The API documents false as the default of both.
        claims = tuple(_without_false(claim) for claim in spec.storage.pvc)
        spec = replace(spec, storage=replace(spec.storage, pvc=claims))
    return spec


def _without_false(claim: Pvc) -> Pvc:
    return replace(claim, read_only=claim.read_only or None, ephemeral=claim.ephemeral or None)


def _verb(spec: WorkloadSpec, problems: list[str]) -> list[str]:
    launcher = str(spec.distributed.framework) if spec.distributed else "single"
    try:
        return verbs.verb_for(launcher).split()
    except ValueError as error:
        problems.append(f"spec.distributed.framework: {error}; {_INSTEAD}")
        return []


def _leaves(part: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key that is set, with its path; a master and ``raw`` are entered like parts."""
    for name in declared(type(part)):
        value, where = getattr(part, name), f"{path}{name}"
        if value is None:
            continue
        # A master is kept as the mapping that its author wrote.
        if where == "distributed.master":
            yield from _leaves(read(WorkloadSpec, value, where, []), f"{where}.")
        elif where == "raw":
            yield from ((f"raw.{key}", entry) for key, entry in value.items())
        elif is_dataclass(value):
            yield from _leaves(value, f"{where}.")
        else:
            yield where, value


def _words(path: str, value: Any, problems: list[str]) -> list[str]:
    if path in _WITHOUT_FLAG:
        return []
    flags = [flag for flag in V2 if flag.target.where == path and flag.target.show]
    if not flags:
        problems.append(f"spec.{path}: no flag of the command line says it; {_INSTEAD}")
        return []
    try:
        items = list(map(_as_mapping, flags[0].target.each(value)))
        return [word for item in items for word in _flag_words(flags, item)]
    # Values in raw may have any shape, which a flag's writer does not expect.
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        problems.append(f"spec.{path}: {error}; {_INSTEAD}")
        return []


def _argument(name: str, value: str) -> list[str]:
    # A value that looks like a flag must be attached to its own one.
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def _as_mapping(item: Any) -> Any:
    if not is_dataclass(item):
        return item
    pairs = ((entry.name, getattr(item, entry.name)) for entry in fields(item))
    return {key: value for key, value in pairs if value is not None}


def _flag_words(flags: list[Flag], item: Any) -> list[str]:
    for flag in flags:
        # A flag returns None for an item that one of the others writes.
        value = flag.target.show(item) if flag.target.show else None
        if value is None:
            continue
        name = flag.spelled[0]
        if flag.takes is Takes.NOTHING:
            return [f"{name}{value}"]
        return [*_REQUEST_TYPES.get(name, []), *_argument(name, value)]
    raise ValueError("no flag of the command line says it in this form")


def _payload(spec: WorkloadSpec, problems: list[str]) -> list[str]:
    text = spec.command or spec.args
    if text is None:
        return []
    try:
        words = shlex.split(text)
    except ValueError as error:
        problems.append(f"spec.{'command' if spec.command else 'args'}: {error}; close the quotes")
        return []
    # Only with --command are the words behind -- the command; else they are its arguments.
    return ["--command", "--", *words] if spec.command else ["--", *words]


def _verify(spec: WorkloadSpec, words: list[str]) -> None:
    """Read the line again; a difference means that no flag can carry something in ``spec``."""
    try:
        parsed = parse_command(words)
    except SpecError as error:
        raise SpecError([f"{problem}; or {_INSTEAD}" for problem in error.problems]) from None
    expected, actual = _sent(spec), _sent(WorkloadSpec.from_mapping(parsed.spec))
    keys = sorted(expected.keys() | actual.keys())
    different = ", ".join(key for key in keys if expected.get(key) != actual.get(key))
    if different:
        raise SpecError([f"spec: the command line would change {different}; {_INSTEAD}"])


def _sent(spec: WorkloadSpec) -> JsonObject:
    """Return the request body, flat, with command and arguments split into words."""
    body: JsonObject = canonical(spec.to_wire())
    sent = {**body.pop("spec"), **body}
    for key in ("command", "args"):
        if key in sent:
            # Quotes may differ, words may not.
            sent[key] = shlex.split(sent[key])
    return sent
