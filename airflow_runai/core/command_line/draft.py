"""
What a command line has said so far: the plain mapping of a specification, and everything beside it.

Values are checked where they land, with the check of the specification's own field, so that an
error can name the flag. What several flags mean together is decided at the end, in ``rules.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_runai.core import storage
from airflow_runai.core.command_line.line import Line, Words
from airflow_runai.core.fields import declared
from airflow_runai.core.spec import Compute, Distributed, Security, WorkloadSpec

_PARTS = {
    "compute": Compute,
    "storage": storage.Storage,
    "security": Security,
    "distributed": Distributed,
}
_MASTER = "distributed.master."


def checked(path: str, value: Any) -> Any:
    """Return what the specification keeps for ``value`` at ``path``; ``raw`` takes everything."""
    path = path.removeprefix(_MASTER)
    if path.startswith("raw."):
        return value
    part, dot, name = path.partition(".")
    item = declared(_PARTS[part])[name] if dot else declared(WorkloadSpec)[part]
    return item.metadata["check"](value)


@dataclass
class Draft:
    """
    A specification in the making.

    :param spec: as :meth:`~airflow_runai.core.spec.WorkloadSpec.from_mapping` will get it.
    :param told: what is no part of a specification: ``name``, ``name_prefix``, ``project``,
        ``template``, and what the rules need, by the name of its flag.
    :param given: canonical names of the flags that were given.
    """

    spec: dict[str, Any] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    #: Placeholders in the line were named already.
    unfilled: bool = False
    #: What lies across templates, see :class:`~airflow_runai.core.command_line.line.Line`.
    git: dict[str, str] = field(default_factory=dict)
    fills: dict[str, Any] = field(default_factory=dict)
    words: Words | None = None
    launcher: bool = False
    #: The flag that is being read, as it was written; begins its warnings.
    at: str = ""

    def warn(self, sentence: str) -> None:
        """Say something about the flag that is being read."""
        self.warnings.append(f"{self.at}: {sentence}" if self.at else sentence)

    def put(self, path: str, value: Any) -> None:
        """Set one key; a dot leads into a part."""
        part, last = self._part(path)
        kept = checked(path, value)
        part[last] = list(kept) if isinstance(kept, tuple) else kept

    def add(self, path: str, *entries: Any) -> None:
        """Append to a list."""
        checked(path, entries)
        part, last = self._part(path)
        part.setdefault(last, []).extend(entries)

    def name(self, path: str, key: str, value: Any) -> None:
        """Set one name in a mapping such as the environment; of two values the last counts, as in the CLI."""
        kept = checked(path, {key: value})
        part, last = self._part(path)
        if key in part.setdefault(last, {}):
            self.warn(f"{key} is set twice; the last one counts")
        part[last].update(kept)

    def get(self, path: str, default: Any = None) -> Any:
        """Return what stands at ``path``, or ``default``."""
        found: Any = self.spec
        for key in path.split("."):
            found = found.get(key, {}) if isinstance(found, dict) else {}
        return default if found == {} else found

    def line(self) -> Line:
        """Return what was said, nothing filled in."""
        return Line(self.spec, self.git, self.fills, self.words, self.launcher)

    def _part(self, path: str) -> tuple[dict[str, Any], str]:
        *parts, last = path.split(".")
        found = self.spec
        for key in parts:
            found = found.setdefault(key, {})
        return found, last
