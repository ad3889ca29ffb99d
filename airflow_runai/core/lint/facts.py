"""
Answers about a subject, of three kinds: a value, ``None`` for nothing, *not known*.

Not known is a value that Airflow will still render, that a template beneath may set, or that is not
of the expected type (the specification itself refuses that). Rules do not report it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict
from enum import Enum
from functools import cached_property
from typing import Any, Final, TypeVar

from airflow_runai.core.fields import declared
from airflow_runai.core.jinja import is_templated
from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.lint.checkpoint_paths import (
    CheckpointPlace,
    of_mounts,
    of_script,
    of_variables,
    of_words,
)
from airflow_runai.core.lint.ending import Ending, ending, judged
from airflow_runai.core.lint.places import Mounts, mounts_of
from airflow_runai.core.lint.shell import ShellScript, read_script
from airflow_runai.core.lint.subject import Subject
from airflow_runai.core.lint.traps import Trap, trap_of
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.values import flag, whole

T = TypeVar("T")


class Unknown(Enum):
    """The answer *not known*; compares equal to nothing else."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
#: Init processes that pass signals on.
_FORWARDERS = re.compile(r"(.*/)?(tini|dumb-init)")
_MERGED = (Mapping, list, tuple)
_ON_WIRE = {name: item.metadata["wire"] for name, item in declared(WorkloadSpec).items()}


class Facts:
    """The answers that rules need."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @cached_property
    def spec(self) -> JsonMapping | None:
        """The specification as its author writes it; ``None`` if there is no readable one."""
        spec = self.subject.spec
        if isinstance(spec, WorkloadSpec):
            spec = asdict(spec)
        if not isinstance(spec, Mapping):
            return None
        return {str(key): value for key, value in spec.items() if value is not None}

    @cached_property
    def whole(self) -> bool:
        """Whether an absent key stays absent: no template, ours or the server's, lies beneath."""
        return self.spec is not None and self.subject.whole and "template_id" not in self.spec

    def value(self, name: str) -> Any:
        """Return a top-level field as it will be sent."""
        if self.spec is None:
            return UNKNOWN
        raw = self.spec.get("raw", {})
        on_wire = _ON_WIRE[name]
        # A mapping or list in raw is merged into the field in a way that is not repeated here.
        if not isinstance(raw, Mapping) or isinstance(raw.get(on_wire), _MERGED):
            return UNKNOWN
        value = raw.get(on_wire, self.spec.get(name))
        if value is None:
            return None if self.whole else UNKNOWN
        return UNKNOWN if isinstance(value, str) and is_templated(value) else value

    def text(self, name: str) -> str | Unknown | None:
        """Return a field that must be a text."""
        value = self.value(name)
        return value if value is None or isinstance(value, str) else UNKNOWN

    def number(self, name: str) -> int | Unknown | None:
        """Return a field that must be a whole number; Jinja's texts count."""
        return _checked(whole(0), self.value(name))

    def switch(self, name: str) -> bool | Unknown | None:
        """Return a field that must be a boolean."""
        return _checked(flag, self.value(name))

    def part(self, name: str) -> JsonMapping | Unknown | None:
        """Return a part of the specification that must be a mapping."""
        value = self.value(name)
        return value if value is None or isinstance(value, Mapping) else UNKNOWN

    def known_part(self, name: str) -> JsonMapping:
        """Return a part of the specification; empty if it is absent or not known."""
        part = self.part(name)
        return part if isinstance(part, Mapping) else {}

    @cached_property
    def environment(self) -> JsonMapping | Unknown | None:
        """The variables by name; values may be open, or sources such as secrets."""
        return self.part("environment")

    @cached_property
    def words(self) -> list[str] | Unknown:
        """The words of command and arguments, or of a launcher's if only it has some."""
        texts = [self.text("command"), self.text("args")]
        # The launcher of an MPI job has the words, and the workers have none.
        if texts == [None, None]:
            texts = [_text_or_unknown(self.master.get(key)) for key in ("command", "args")]
        if UNKNOWN in texts:
            return UNKNOWN
        try:
            return [word for text in texts if isinstance(text, str) for word in shlex.split(text)]
        except ValueError:
            return UNKNOWN

    @property
    def known_words(self) -> list[str]:
        """The same words; empty if they are not known."""
        return [] if isinstance(self.words, Unknown) else self.words

    @cached_property
    def master(self) -> JsonMapping:
        """The master's own part of a distributed training; empty if it is absent or not known."""
        master = self.known_part("distributed").get("master")
        return master if isinstance(master, Mapping) else {}

    @cached_property
    def mounts(self) -> Mounts | Unknown:
        """The data sources and their places."""
        storage = self.part("storage")
        return UNKNOWN if isinstance(storage, Unknown) else mounts_of(storage or {})

    @cached_property
    def checkpoint_places(self) -> list[CheckpointPlace]:
        """The known places that checkpoints may go to."""
        places = [*of_variables(self.known_part("environment")), *of_words(self.known_words)]
        if not isinstance(self.mounts, Unknown):
            places += of_mounts(self.mounts)
        if self.shell:
            places += of_script(self.shell, self.at)
        return places

    @cached_property
    def preemptible(self) -> bool | Unknown:
        """Whether it may be stopped at any time, which is the default."""
        value = self.text("preemptibility")
        return UNKNOWN if value is UNKNOWN else value != "non-preemptible"

    @cached_property
    def shell(self) -> ShellScript | None:
        """The start-up script, if a shell runs it and it can be read."""
        return read_script(self.subject.script.text) if self.subject.script else None

    @cached_property
    def judged(self) -> ShellScript | None:
        """The script whose shell gets signals: the start-up script, or one that it execs."""
        return judged(self.shell) if self.shell else None

    @cached_property
    def ending(self) -> Ending | None:
        """How it ends; ``None`` if that is not known, or if an init process forwards signals."""
        if self.judged is None or any(map(_FORWARDERS.fullmatch, self.known_words)):
            return None
        return ending(self.judged)

    @cached_property
    def trap(self) -> Trap | None:
        """Its reaction to SIGTERM."""
        return trap_of(self.judged) if self.judged else None

    def at(self, line: int) -> str:
        """Name a line of the start-up script."""
        script = self.subject.script
        return f"{script.name if script else 'script'}:{line}"


def _text_or_unknown(value: Any) -> str | Unknown | None:
    if not isinstance(value, str):
        return None
    return UNKNOWN if is_templated(value) else value


def _checked(check: Callable[[Any], T], value: Any) -> T | Unknown | None:
    if value is None or isinstance(value, Unknown):
        return value
    try:
        return check(value)
    except ValueError:
        return UNKNOWN
