"""
The result of a command line while it is being read: a specification, and everything beside it.

Each value is checked by the specification's own field as soon as it is set, so that an error can
name the flag. What several flags mean together is decided at the end, in ``rules.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_runai.core import storage
from airflow_runai.core.command_line.line import Line, Words
from airflow_runai.core.fields import declared
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.pod_spec import Compute, Security
from airflow_runai.core.spec import Distributed, WorkloadSpec

_PARTS = {
    "compute": Compute,
    "storage": storage.Storage,
    "security": Security,
    "distributed": Distributed,
}
_MASTER = "distributed.master."


@dataclass
class Draft:
    """
    A specification in the making.

    :param spec: as :meth:`~airflow_runai.core.spec.WorkloadSpec.from_mapping` will get it.
    :param outside_spec: ``name``, ``name_prefix``, ``project``, ``template``, and what the rules
        need, by the name of its flag.
    :param flags: canonical names of the flags that were given.
    :param placeholders_named: each placeholder in the line has been reported already.
    :param git, fills, words, launcher: see :class:`~airflow_runai.core.command_line.line.Line`.
    :param flag: the flag being read, as it was written; begins its warnings.
    """

    spec: JsonObject = field(default_factory=dict)
    outside_spec: dict[str, str] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    placeholders_named: bool = False
    git: dict[str, str] = field(default_factory=dict)
    fills: JsonObject = field(default_factory=dict)
    words: Words | None = None
    launcher: bool = False
    flag: str = ""

    @property
    def has_template(self) -> bool:
        """Whether a template may supply what is missing."""
        return "template" in self.outside_spec

    def warn(self, sentence: str) -> None:
        """Add a warning about the flag being read."""
        self.warnings.append(f"{self.flag}: {sentence}" if self.flag else sentence)

    def put(self, path: str, value: Any) -> None:
        """Set one key; a dot leads into a part."""
        part, key = self._part(path)
        checked = _checked(path, value)
        # Plain data, as an author writes it; checks keep tuples.
        part[key] = list(checked) if isinstance(checked, tuple) else checked

    def add(self, path: str, *entries: Any) -> None:
        """Append to a list."""
        # Checked by themselves, so that an error is about the new ones only.
        _checked(path, entries)
        part, key = self._part(path)
        part.setdefault(key, []).extend(entries)

    def name(self, path: str, name: str, value: Any) -> None:
        """Set one name of a mapping; as in the command line, the last value counts."""
        checked = _checked(path, {name: value})
        part, key = self._part(path)
        if name in part.setdefault(key, {}):
            self.warn(f"{name} is set twice; the last one counts")
        part[key].update(checked)

    def get(self, path: str, default: Any = None) -> Any:
        """Return the value at ``path``, or ``default``."""
        value: Any = self.spec
        # Unset and empty are the same here: a part may have been made for a key that was refused.
        for key in path.split("."):
            value = value.get(key, {}) if isinstance(value, dict) else {}
        return default if value == {} else value

    def line(self) -> Line:
        """Return what the line says, nothing filled in."""
        return Line(self.spec, self.git, self.fills, self.words, self.launcher)

    def _part(self, path: str) -> tuple[JsonObject, str]:
        *parts, last = path.split(".")
        part = self.spec
        for key in parts:
            part = part.setdefault(key, {})
        return part, last


def _checked(path: str, value: Any) -> Any:
    """Return what the specification keeps for ``value`` at ``path``; ``raw`` takes everything."""
    path = path.removeprefix(_MASTER)
    if path.startswith("raw."):
        return value
    # The fields of a master are those of a specification.
    part, dot, name = path.partition(".")
    item = declared(_PARTS[part])[name] if dot else declared(WorkloadSpec)[part]
    return item.metadata["check"](value)
