"""
Templates of the old command line: the ConfigMaps of 2020 and those from 2020-11 on.

Their keys are the flags of ``runai submit``, so they are read as flags, with the same results,
warnings and refusals. The keys show the shape (camelCase and plain values in 2020; kebab-case and
``{value, required}`` later). ``${VAR}``, which the command line filled in from its user's
environment, is kept as it stands, with a warning.

Sources: github.com/run-ai/runai-cli, ``pkg/templates`` and ``submitArgs``; run-ai/docs, "Configure
Command-Line Interface Templates". The shape of the web interface (``job-settings``, 2021) is not
read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_runai.core.command_line import ParsedCommand, parse_command
from airflow_runai.core.command_line.flags import Disposition, Flag, Takes
from airflow_runai.core.command_line.line import Line, completed, with_git
from airflow_runai.core.command_line.table_v1 import V1
from airflow_runai.core.command_line.values import go_boolean
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.templates.template import ADMIN, Template, from_document
from airflow_runai.core.templates.text import Document, documents
from airflow_runai.core.values import nearest
from airflow_runai.errors import SpecError

_ADMIN_OBJECT = "template-admin"
_VARIABLE = re.compile(r"\$(?:\{[^}]*\}|[A-Za-z_]\w*)")
_FLAGS: dict[str, Flag] = {name: flag for flag in V1 for name in flag.names if len(name) > 1}
#: Keys that are not the name of a flag, even with camelCase undone.
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
#: Lists of 2020 that the command line's own replaced; those with ``Default`` in the name were
#: joined. Value: the keys of a specification.
_REPLACEABLE = {
    "environment": "environment",
    "volume": "storage.host_path | storage.nfs",
    "ports": "raw.ports",
    "persistentVolumes": "storage.pvc",
}
_NEW_KEYS = {"environments", "volumes", "pvcs"}
_NAMING = ("name", "job-name-prefix")


def is_configmap(value: Any) -> bool:
    """Return whether it is a Kubernetes object, which a template of ours is not."""
    if not isinstance(value, Mapping):
        return False
    return "apiVersion" in value or value.get("kind") == "ConfigMap"


def import_configmap(mapping: JsonMapping, where: str = "ConfigMap") -> Template:
    """
    Turn a ConfigMap of the command line into a template.

    ``template-admin`` becomes :data:`~airflow_runai.core.templates.template.ADMIN`, without locks:
    in the command line, too, its user could override it.

    :param mapping: the object, with ``metadata`` and ``data``.
    :param where: for messages.
    :raises SpecError: naming every key that cannot be taken over.
    """
    data, name, default = _object(mapping, where)
    values = _values(data["values"], f"{where}, data.values")
    reading = _Reading(values, old=_is_old(values.value))
    reading.read()
    keys = {**reading.finished(), "name": name, "description": data.get("description") or None}
    stated = {key: value for key, value in keys.items() if value not in (None, [])}
    template = from_document(Document(where, stated))
    return replace(
        template,
        warnings=(*reading.warnings, *_warnings(template, data["values"], default)),
        line=reading.line,
        default=default,
    )


def _values(text: str, where: str) -> Document:
    held = documents(text, where, as_text=lambda path: True)
    if len(held) != 1 or not isinstance(held[0].value, Mapping):
        raise SpecError([f"{where}: no single mapping; allowed: names of flags and their values"])
    return held[0]


def _warnings(template: Template, values: str, default: bool) -> Iterator[str]:
    if template.name == ADMIN:
        yield (
            f"{_ADMIN_OBJECT}: lies beneath the template that a task names; in the command line "
            "its values beat that one's. Lock what must win: locked: [KEY, …]"
        )
    if default:
        yield "runai/default: it applied where no template was named; now each task names it"
    names = sorted(set(_VARIABLE.findall(values)))
    if names:
        yield (
            f"{', '.join(names)}: kept as it stands; the command line filled it in from its user's "
            "environment, which a worker is not. Write the value"
        )


def _object(mapping: JsonMapping, where: str) -> tuple[JsonMapping, str, bool]:
    """Return the data of a ConfigMap, the template's name, and whether it was the default."""
    data, metadata = mapping.get("data"), mapping.get("metadata") or {}
    if not isinstance(data, Mapping) or not isinstance(data.get("values"), str):
        raise SpecError([_not_a_template(data, where)])
    if not isinstance(metadata, Mapping):
        raise SpecError([_not_a_template(None, where)])
    names = (data.get("name"), metadata.get("name"))
    name = ADMIN if _ADMIN_OBJECT in names else str(names[0] or names[1] or "")
    return data, name, _is_default(metadata.get("annotations"))


def _is_default(annotations: object) -> bool:
    return isinstance(annotations, Mapping) and str(annotations.get("runai/default")) == "true"


def _not_a_template(data: object, where: str) -> str:
    if isinstance(data, Mapping) and "fields" in data:
        reason = "data.fields is the form of the web interface, write a template instead"
    else:
        reason = "found no text under data.values"
    return f"{where}: {reason}; allowed: a ConfigMap with data.name and data.values, as of the CLI"


def _is_old(values: JsonMapping) -> bool:
    later = any(isinstance(value, Mapping) for value in values.values())
    return not later and not any(key in _NEW_KEYS or "-" in key for key in values)


def flag_of(key: str) -> str:
    """Return the flag of a key of either shape; ``ValueError`` with the nearest one."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", key).replace("_", "-").lower()
    name = _RENAMED.get(name, name)
    allowed = [flag for flag in _FLAGS if flag != "template"]  # templates do not name templates
    if name not in allowed:
        raise ValueError(f"unknown key; {nearest(name, [*allowed, *_RENAMED])}")
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
    line: Line = field(default_factory=Line)

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
        if self.old and key in _REPLACEABLE:
            self.replaceable_list(key)
        self.several = self.several or flag in ("processes", "workers")
        if flag in ("command", "args"):
            return self.container(flag, value)
        return self.add(key, flag, value)

    def replaceable_list(self, key: str) -> None:
        if f"{key}Default" in self.document.value:
            self.warnings.append(
                f"{key}: beside {key}Default both are added to; the CLI let its user replace {key}"
            )
        else:
            self.replaceable.append(_REPLACEABLE[key])

    def field(self, flag: str, entry: JsonMapping) -> Any:
        """Read ``{value, required}``; an empty value is none, as in the command line."""
        unknown = [key for key in entry if key not in ("value", "required")]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: unknown; allowed: value, required")
        if _is_required(entry):
            self.require(flag)
        return entry.get("value") or None

    def require(self, flag: str) -> None:
        target = _FLAGS[flag].target
        if target.disposition is Disposition.SPEC:
            self.required.append(" | ".join(path.split("[")[0] for path in target.places))
            return
        always_set = flag in _NAMING or target.disposition is Disposition.ARGUMENT
        reason = "the operator always has one" if always_set else target.where
        self.warnings.append(f"{flag}: 'required' is left out: {reason}")

    def container(self, flag: str, value: Any) -> None:
        if flag == "args":
            self.args += [value] if isinstance(value, str) else _texts(value)
        elif isinstance(value, str):
            self.is_command = go_boolean(value)
        else:
            self.command += _texts(value)

    def add(self, key: str, flag: str, value: Any) -> None:
        if isinstance(value, list) and _FLAGS[flag].takes is not Takes.MANY:
            raise ValueError("a list; allowed: one value")
        unit = "s" if key == "ttlSecondsAfterFinished" else ""
        values = [value] if isinstance(value, str) else _texts(value)
        self.words += [f"--{flag}={text}{unit}" for text in values]

    def git(self, entries: JsonMapping) -> None:
        parts = []
        for key, value in entries.items():
            if isinstance(value, Mapping):
                if _is_required(value):
                    self.required.append("storage.git")
                value = value.get("value")
            if value:
                parts.append(f"{key}={value}")
        if parts:
            self.words.append(f"--git-sync={','.join(parts)}")

    def command_line(self) -> list[str]:
        """Return the command line; it names a template, so that it needs no image."""
        words = ["runai", "submit-mpi" if self.several else "submit", "--template=t", *self.words]
        if self.old or self.command:
            words += [f"--command={word}" for word in self.command]
            return words + [f"--args={word}" for word in self.args]
        if self.is_command:
            words.append("--command=true")
        return [*words, "--", *self.args] if self.args else words

    def finished(self) -> JsonObject:
        """Return the keys of a template besides its name."""
        parsed = self.parsed()
        self.warnings += parsed.warnings
        self.line = replace(parsed.line, words="command") if self.is_command else parsed.line
        return {
            "spec": completed(with_git(parsed.line.said, [parsed.line]), [parsed.line]),
            "project": parsed.project,
            "kind": parsed.kind if parsed.kind == "distributed" else None,
            "required": list(dict.fromkeys(self.required)),
            "replaceable": self.replaceable,
        }

    def parsed(self) -> ParsedCommand:
        where = f"{self.document.where}: as a flag"
        try:
            parsed = parse_command(self.command_line())
        except SpecError as error:
            self.problems += [f"{where}, {sentence}" for sentence in error.problems]
        if self.problems:
            raise SpecError(self.problems)
        if parsed.line.git and "repository" not in parsed.line.git:
            # The parser lets a template supply it, but this line is the template.
            raise SpecError([f"{where}, --git-sync: source missing; allowed: a template with it"])
        return parsed


def _is_required(entry: JsonMapping) -> bool:
    return go_boolean(entry.get("required") or "false")


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise ValueError("neither a value nor a list of values; allowed: those two")
    return list(value)
