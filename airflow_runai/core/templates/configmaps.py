"""
Templates of the old command line: the ConfigMaps of 2020 and those from 2020-11 on.

Their keys are the flags of ``runai submit``, so they are read as flags: what a flag becomes, a key
becomes, with the same warnings and refusals. Both shapes are told apart by their keys (camelCase
and plain values in 2020; kebab-case and ``{value, required}`` later). ``${VAR}``, which the command
line filled in from its user's environment, is kept as it stands, with a warning.

Sources: github.com/run-ai/runai-cli, ``pkg/templates`` and ``submitArgs``; run-ai/docs, "Configure
Command-Line Interface Templates". The shape of the web interface (``job-settings``, 2021) is not
read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_runai.core.command_line import parse_command
from airflow_runai.core.command_line.flags import Disposition, Flag, Takes
from airflow_runai.core.command_line.line import Line, completed, with_git
from airflow_runai.core.command_line.table_v1 import V1
from airflow_runai.core.command_line.values import go_boolean
from airflow_runai.core.fields import nearest
from airflow_runai.core.templates.template import ADMIN, Template, from_document
from airflow_runai.core.templates.text import Document, documents
from airflow_runai.errors import SpecError

_ADMIN_OBJECT = "template-admin"
_VARIABLE = re.compile(r"\$(?:\{[^}]*\}|[A-Za-z_]\w*)")
_FLAGS: dict[str, Flag] = {name: flag for flag in V1 for name in flag.names if len(name) > 1}
#: Keys that are no flag's name, even with camelCase undone.
_RENAMED = {
    "environments": "environment",
    "environment-default": "environment",
    "volume-default": "volume",
    "ports": "port",
    "ports-default": "port",
    "pvcs": "pvc",
    "persistent-volumes": "pvc",
    "backofflimit": "backoff-limit",
    "shm": "large-shm",
    "gpu-int": "gpu",
    "gpu-fraction": "gpu",
    "create-user-dir": "create-home-dir",
    "ttl-seconds-after-finished": "ttl-after-finish",
    "extra-args": "args",
}
#: Lists of 2020 that gave way to those of the command line; with ``Default`` in the name they were
#: joined.
_GAVE_WAY = {
    "environment": "environment",
    "volume": "storage.host_path | storage.nfs",
    "ports": "raw.ports",
    "persistentVolumes": "storage.pvc",
}
_NEW_KEYS = {"environments", "volumes", "pvcs"}
_NAMING = ("name", "job-name-prefix")


def is_configmap(value: Any) -> bool:
    """Whether it is a Kubernetes object, which a template of ours is not."""
    return isinstance(value, Mapping) and (
        "apiVersion" in value or value.get("kind") == "ConfigMap"
    )


def import_configmap(mapping: Mapping[str, Any], where: str = "ConfigMap") -> Template:
    """
    Turn a ConfigMap of the command line into a template.

    ``template-admin`` becomes :data:`~airflow_runai.core.templates.template.ADMIN`, without locks:
    in the command line, too, its user could override it.

    :param mapping: the object, with ``metadata`` and ``data``.
    :param where: for messages.
    :raises SpecError: naming every key that cannot be taken over.
    """
    data, name, default = _object(mapping, where)
    inside = f"{where}, data.values"
    held = documents(data["values"], inside, as_text=lambda path: True)
    if len(held) != 1 or not isinstance(held[0].value, Mapping):
        raise SpecError([f"{inside}: no single mapping; allowed: names of flags and their values"])
    reading = _Reading(held[0], old=_is_old(held[0].value))
    reading.read()
    document = {**reading.finished(), "name": name, "description": data.get("description") or None}
    if document["name"] == ADMIN:
        reading.warnings.append(
            f"{_ADMIN_OBJECT}: lies beneath the template that a task names; in the command line "
            "its values beat that one's. Lock what must win: locked: [KEY, …]"
        )
    made = from_document(
        Document(where, {key: value for key, value in document.items() if value not in (None, [])})
    )
    if default:
        reading.warnings.append(
            "runai/default: it applied where no template was named; now each task names it"
        )
    unfilled = sorted(set(_VARIABLE.findall(str(data["values"]))))
    if unfilled:
        reading.warnings.append(
            f"{', '.join(unfilled)}: kept as it stands; the command line filled it in from its "
            "user's environment, which a worker is not. Write the value"
        )
    told = {"warnings": tuple(reading.warnings), "line": reading.amounts_to, "default": default}
    return Template(**{**vars(made), **told})


def _object(mapping: Mapping[str, Any], where: str) -> tuple[Mapping[str, Any], str, bool]:
    data, meta = mapping.get("data"), mapping.get("metadata") or {}
    if (
        not isinstance(data, Mapping)
        or not isinstance(meta, Mapping)
        or not isinstance(data.get("values"), str)
    ):
        told = (
            "data.fields is the form of the web interface, write a template instead"
            if _is_form(data)
            else ("found no text under data.values")
        )
        raise SpecError(
            [f"{where}: {told}; allowed: a ConfigMap with data.name and data.values, as of the CLI"]
        )
    marks = meta.get("annotations") or {}
    default = isinstance(marks, Mapping) and str(marks.get("runai/default")) == "true"
    admin = _ADMIN_OBJECT in (meta.get("name"), data.get("name"))
    return data, ADMIN if admin else str(data.get("name") or meta.get("name") or ""), default


def _is_form(data: Any) -> bool:
    return isinstance(data, Mapping) and "fields" in data


def _is_old(values: Mapping[str, Any]) -> bool:
    later = any(isinstance(value, Mapping) for value in values.values())
    return not later and not any(key in _NEW_KEYS or "-" in key for key in values)


def flag_of(key: str) -> str:
    """Return the flag that a key of either shape stands for; raises ``ValueError`` with the nearest one."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", key).replace("_", "-").lower()
    name = _RENAMED.get(name, name)
    known = [flag for flag in _FLAGS if flag != "template"]  # templates do not name templates
    if name not in known:
        raise ValueError(f"unknown key; {nearest(name, [*known, *_RENAMED])}")
    return _FLAGS[name].name


@dataclass
class _Reading:
    """The values of one ConfigMap, on their way to a command line."""

    document: Document
    old: bool
    words: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    args: list[str] = field(default_factory=list)
    required: list[str] = field(default_factory=list)
    replaceable: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    is_command: bool = False
    several: bool = False
    amounts_to: Line = field(default_factory=Line)

    def read(self) -> None:
        for key, value in self.document.value.items():
            try:
                self.take(key, value)
            except ValueError as error:
                self.problems.append(self.document.at(f"{key}: {error}"))

    def take(self, key: str, value: Any) -> None:
        if key == "git-sync" and isinstance(value, Mapping):
            return self.git(value)
        flag = flag_of(key)
        if isinstance(value, Mapping):
            value = self.field(flag, value)
        if value is None:
            return None
        if flag in _NAMING:
            self.warnings.append(
                f"{key}: left out; Airflow names workloads, see the operator's workload_name"
            )
            return None
        if self.old and key in _GAVE_WAY:
            self.gives_way(key)
        self.several = self.several or flag in ("processes", "workers")
        if flag in ("command", "args"):
            return self.container(flag, value)
        return self.add(key, flag, value)

    def gives_way(self, key: str) -> None:
        if f"{key}Default" in self.document.value:
            self.warnings.append(
                f"{key}: beside {key}Default both are added to; the CLI let its user replace {key}"
            )
        else:
            self.replaceable.append(_GAVE_WAY[key])

    def field(self, flag: str, given: Mapping[str, Any]) -> Any:
        """Read ``{value, required}``; an empty value is none, as in the command line."""
        unknown = [key for key in given if key not in ("value", "required")]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: unknown; allowed: value, required")
        if go_boolean(given.get("required") or "false"):
            self.demand(flag)
        return given.get("value") or None

    def demand(self, flag: str) -> None:
        target = _FLAGS[flag].target
        if target.disposition is Disposition.SPEC:
            self.required.append(" | ".join(path.split("[")[0] for path in target.places))
            return
        always_set = flag in _NAMING or target.disposition is Disposition.ARGUMENT
        reason = "the operator always has one" if always_set else target.where
        self.warnings.append(f"{flag}: 'required' is left out: {reason}")

    def container(self, flag: str, value: Any) -> None:
        words = [value] if isinstance(value, str) else _texts(value)
        if flag == "args":
            self.args += words
        elif isinstance(value, str):
            self.is_command = go_boolean(value)
        else:
            self.command += words

    def add(self, key: str, flag: str, value: Any) -> None:
        many = _FLAGS[flag].takes is Takes.MANY
        if isinstance(value, list) and not many:
            raise ValueError("a list; allowed: one value")
        unit = "s" if key == "ttlSecondsAfterFinished" else ""
        self.words += [
            f"--{flag}={entry}{unit}"
            for entry in ([value] if isinstance(value, str) else _texts(value))
        ]

    def git(self, given: Mapping[str, Any]) -> None:
        parts = []
        for key, value in given.items():
            text = value.get("value") if isinstance(value, Mapping) else value
            if isinstance(value, Mapping) and go_boolean(value.get("required") or "false"):
                self.required.append("storage.git")
            parts += [f"{key}={text}"] if text else []
        self.words += [f"--git-sync={','.join(parts)}"] if parts else []

    def line(self) -> list[str]:
        """Return the command line; a template without an image is none of its mistakes, so it names one."""
        words = ["runai", "submit-mpi" if self.several else "submit", "--template=t", *self.words]
        if self.old or self.command:
            return [
                *words,
                *(f"--command={word}" for word in self.command),
                *(f"--args={word}" for word in self.args),
            ]
        command = ["--command=true"] if self.is_command else []
        return [*words, *command, "--", *self.args] if self.args else words

    def finished(self) -> dict[str, Any]:
        """Return what a template says besides its name."""
        try:
            found = parse_command(self.line())
        except SpecError as error:
            self.problems += [
                f"{self.document.where}: as a flag, {sentence}" for sentence in error.problems
            ]
        if self.problems:
            raise SpecError(self.problems)
        if found.line.git and "repository" not in found.line.git:
            raise SpecError(
                [
                    f"{self.document.where}: as a flag, --git-sync: source missing; allowed: a "
                    "template with it"
                ]
            )
        self.warnings += found.warnings
        self.amounts_to = replace(found.line, words="command") if self.is_command else found.line
        return {
            "spec": completed(with_git(found.line.said, [found.line]), [found.line]),
            "project": found.project,
            "kind": found.kind if found.kind == "distributed" else None,
            "required": list(dict.fromkeys(self.required)),
            "replaceable": self.replaceable,
        }


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise ValueError("neither a value nor a list of values; allowed: those two")
    return list(value)
