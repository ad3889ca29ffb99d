"""
Templates of the old command line: the ConfigMaps of 2020 and those from 2020-11 on.

Their keys are the flags of ``runai submit``, so they are read as flags, with the same results,
warnings and refusals. ``${VAR}``, which the command line filled in from its user's environment, is
kept as it stands, with a warning.

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
from airflow_runai.core.command_line.values import go_boolean
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.templates.configmap_keys import REPLACEABLE, flag_of, is_old
from airflow_runai.core.templates.template import ADMIN, Template, from_document
from airflow_runai.core.templates.text import Document, documents
from airflow_runai.errors import SpecError

_ADMIN_OBJECT = "template-admin"
_VARIABLE = re.compile(r"\$(?:\{[^}]*\}|[A-Za-z_]\w*)")
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
    data, metadata = _parts(mapping, where)
    values = _values(data["values"], f"{where}, data.values")
    reading = _Reading(values, old=is_old(values.value))
    reading.read()
    keys = {
        **reading.finished(),
        "name": _name(data, metadata),
        "description": data.get("description") or None,
    }
    template = from_document(Document(where, keys))
    annotations = metadata.get("annotations")
    default = isinstance(annotations, Mapping) and str(annotations.get("runai/default")) == "true"
    return replace(
        template,
        warnings=(*reading.warnings, *_warnings(template, data["values"], default)),
        line=reading.line,
        default=default,
    )


def _parts(mapping: JsonMapping, where: str) -> tuple[JsonMapping, JsonMapping]:
    """Return data and metadata of a ConfigMap."""
    data, metadata = mapping.get("data"), mapping.get("metadata") or {}
    if not isinstance(data, Mapping) or not isinstance(data.get("values"), str):
        raise SpecError([_not_a_template(data, where)])
    if not isinstance(metadata, Mapping):
        raise SpecError([_not_a_template(None, where)])
    return data, metadata


def _name(data: JsonMapping, metadata: JsonMapping) -> str:
    names = (data.get("name"), metadata.get("name"))
    return ADMIN if _ADMIN_OBJECT in names else str(names[0] or names[1] or "")


def _values(text: str, where: str) -> Document:
    # Flags are texts: YAML shall make no number of 1.10, and no boolean of yes.
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


def _not_a_template(data: object, where: str) -> str:
    if isinstance(data, Mapping) and "fields" in data:
        reason = "data.fields is the form of the web interface, write a template instead"
    else:
        reason = "found no text under data.values"
    return f"{where}: {reason}; allowed: a ConfigMap with data.name and data.values, as of the CLI"


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
            self.git(value)
            return
        flag = flag_of(key)
        if isinstance(value, Mapping):
            value = self.field(flag, value)
        if value is not None:
            self.set(key, flag, value)

    def set(self, key: str, flag: Flag, value: Any) -> None:
        if flag.name in _NAMING:
            self.warnings.append(
                f"{key}: left out; Airflow names workloads, see the operator's workload_name"
            )
            return
        if self.old and key in REPLACEABLE:
            self.replaceable_list(key)
        self.several = self.several or flag.name in ("processes", "workers")
        if flag.name in ("command", "args"):
            self.container(flag.name, value)
        else:
            self.add(key, flag, value)

    def replaceable_list(self, key: str) -> None:
        if f"{key}Default" in self.document.value:
            self.warnings.append(
                f"{key}: beside {key}Default both are added to; the CLI let its user replace {key}"
            )
        else:
            self.replaceable.append(REPLACEABLE[key])

    def field(self, flag: Flag, entry: JsonMapping) -> Any:
        """Read ``{value, required}``; an empty value is none, as in the command line."""
        unknown = [key for key in entry if key not in ("value", "required")]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: unknown; allowed: value, required")
        if _is_required(entry):
            self.require(flag)
        return entry.get("value") or None

    def require(self, flag: Flag) -> None:
        target = flag.target
        if target.disposition is Disposition.SPEC:
            self.required.append(" | ".join(path.split("[")[0] for path in target.places))
            return
        always_set = flag.name in _NAMING or target.disposition is Disposition.ARGUMENT
        reason = "the operator always has one" if always_set else target.where
        self.warnings.append(f"{flag.name}: 'required' is left out: {reason}")

    def container(self, name: str, value: Any) -> None:
        if name == "args":
            self.args += [value] if isinstance(value, str) else _texts(value)
        elif isinstance(value, str):
            self.is_command = go_boolean(value)
        else:
            self.command += _texts(value)

    def add(self, key: str, flag: Flag, value: Any) -> None:
        if isinstance(value, list) and flag.takes is not Takes.MANY:
            raise ValueError("a list; allowed: one value")
        # In 2020 a number of seconds; the flag takes a duration.
        unit = "s" if key == "ttlSecondsAfterFinished" else ""
        values = [value] if isinstance(value, str) else _texts(value)
        self.words += [f"--{flag.name}={text}{unit}" for text in values]

    def git(self, entries: JsonMapping) -> None:
        parts = []
        for key, entry in entries.items():
            value = entry
            if isinstance(entry, Mapping):
                value = entry.get("value")
                self.required += ["storage.git"] if _is_required(entry) else []
            if value:
                parts.append(f"{key}={value}")
        if parts:
            self.words.append(f"--git-sync={','.join(parts)}")

    def command_line(self) -> list[str]:
        """Return the command line; it names a template, so that it needs no image."""
        words = ["runai", "submit-mpi" if self.several else "submit", "--template=t", *self.words]
        # In 2020 --command took a value, and no line had a bare --.
        if self.old or self.command:
            words += [f"--command={word}" for word in self.command]
            return words + [f"--args={word}" for word in self.args]
        if self.is_command:
            words.append("--command=true")
        return [*words, "--", *self.args] if self.args else words

    def finished(self) -> JsonObject:
        """Return the keys of a template besides its name."""
        parsed = self.parsed()
        line = parsed.line
        self.warnings += parsed.warnings
        self.line = replace(line, words="command") if self.is_command else line
        return {
            "spec": completed(with_git(line.said, [line]), [line]),
            "project": parsed.project,
            "kind": "distributed" if parsed.kind == "distributed" else None,
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
