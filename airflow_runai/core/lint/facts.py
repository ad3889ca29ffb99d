"""
A subject made easy to ask: three answers to each question, *this*, *nothing*, *not known*.

Not known is what Airflow will still render, what a template beneath may set, and what is not of the
expected kind (the specification itself refuses that). Rules say nothing about it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict
from enum import Enum
from functools import cached_property
from typing import Any, Final, TypeVar

from airflow_runai.core.fields import declared, flag, whole
from airflow_runai.core.jinja import is_templated
from airflow_runai.core.lint.checkpoint_paths import (
    Place,
    of_mounts,
    of_script,
    of_variables,
    of_words,
)
from airflow_runai.core.lint.ending import Ending, Trap, ending, judged, trap_of
from airflow_runai.core.lint.places import Mounts, mounts_of
from airflow_runai.core.lint.shell import ShellScript, read_script
from airflow_runai.core.lint.subject import Subject
from airflow_runai.core.spec import WorkloadSpec

T = TypeVar("T")


class Unknown(Enum):
    """The answer *not known*; compares equal to nothing else."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
#: Init processes that pass signals on.
_FORWARDERS = re.compile(r"(.*/)?(tini|dumb-init)")
_ON_WIRE = {name: item.metadata["wire"] for name, item in declared(WorkloadSpec).items()}


class Facts:
    """What rules may ask."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @cached_property
    def spec(self) -> Mapping[str, Any] | None:
        """The specification as its author writes it; ``None`` if there is none that can be read."""
        given = self.subject.spec
        if isinstance(given, WorkloadSpec):
            given = asdict(given)
        return (
            {str(k): v for k, v in given.items() if v is not None}
            if isinstance(given, Mapping)
            else None
        )

    @cached_property
    def whole(self) -> bool:
        """Whether a key that is absent is absent: no template, here or of the control plane, lies beneath."""
        return self.spec is not None and self.subject.whole and "template_id" not in self.spec

    def value(self, name: str) -> Any:
        """Return a top-level field as it will be sent: its value, ``None`` if absent, or :data:`UNKNOWN`."""
        if self.spec is None:
            return UNKNOWN
        raw = self.spec.get("raw", {})
        on_wire = _ON_WIRE[name]
        if not isinstance(raw, Mapping) or isinstance(raw.get(on_wire), (Mapping, list, tuple)):
            return UNKNOWN
        found = raw.get(on_wire, self.spec.get(name))
        if found is None:
            return None if self.whole else UNKNOWN
        return UNKNOWN if isinstance(found, str) and is_templated(found) else found

    def text(self, name: str) -> str | Unknown | None:
        """Return a field that must be a text."""
        found = self.value(name)
        return found if found is None or isinstance(found, str) else UNKNOWN

    def number(self, name: str) -> int | Unknown | None:
        """Return a field that must be a whole number; Jinja's texts count."""
        return _checked(whole(0), self.value(name))

    def switch(self, name: str) -> bool | Unknown | None:
        """Return a field that must be a boolean."""
        return _checked(flag, self.value(name))

    def part(self, name: str) -> Mapping[str, Any] | Unknown | None:
        """Return a part of the specification that must be a mapping."""
        found = self.value(name)
        return found if found is None or isinstance(found, Mapping) else UNKNOWN

    @cached_property
    def environment(self) -> Mapping[str, Any] | Unknown | None:
        """The variables by name; values may be open, or sources such as secrets."""
        return self.part("environment")

    @cached_property
    def words(self) -> list[str] | Unknown:
        """The words of command and arguments, or of a launcher's if it alone has some; empty if there are none."""
        texts = [self.text("command"), self.text("args")]
        if texts == [None, None]:
            texts = [self.master.get(key) for key in ("command", "args")]
            if any(isinstance(text, str) and is_templated(text) for text in texts):
                return UNKNOWN
        if any(text is UNKNOWN for text in texts):
            return UNKNOWN
        try:
            return [word for text in texts if isinstance(text, str) for word in shlex.split(text)]
        except ValueError:
            return UNKNOWN

    @cached_property
    def master(self) -> Mapping[str, Any]:
        """What a distributed training's master has of its own; empty if nothing is known of it."""
        distributed = self.part("distributed")
        found = (
            distributed.get("master")
            if distributed and not isinstance(distributed, Unknown)
            else None
        )
        return found if isinstance(found, Mapping) else {}

    @cached_property
    def mounts(self) -> Mounts | Unknown:
        """What is mounted where."""
        found = self.part("storage")
        return UNKNOWN if isinstance(found, Unknown) else mounts_of(found or {})

    @cached_property
    def checkpoint_places(self) -> list[Place]:
        """Where checkpoints may go, as far as it is known."""
        found: list[Place] = []
        if self.environment and not isinstance(self.environment, Unknown):
            found += of_variables(self.environment)
        if not isinstance(self.words, Unknown):
            found += of_words(self.words)
        if not isinstance(self.mounts, Unknown):
            found += of_mounts(self.mounts)
        if self.shell:
            found += of_script(self.shell, self.at)
        return found

    @cached_property
    def preemptible(self) -> bool | Unknown:
        """Whether it may be stopped at any time; nothing said means yes."""
        found = self.text("preemptibility")
        return UNKNOWN if found is UNKNOWN else found != "non-preemptible"

    @cached_property
    def shell(self) -> ShellScript | None:
        """The start-up script, if it is one for a shell and can be read."""
        return read_script(self.subject.script.text) if self.subject.script else None

    @cached_property
    def judged(self) -> ShellScript | None:
        """The script whose shell gets signals and whose exit code counts: the start-up script, or one that it execs."""
        return judged(self.shell) if self.shell else None

    @cached_property
    def ending(self) -> Ending | None:
        """How it ends; ``None`` if that is not known, or if an init process stands between it and the platform."""
        forwarder = not isinstance(self.words, Unknown) and any(
            _FORWARDERS.fullmatch(word) for word in self.words
        )
        return ending(self.judged) if self.judged and not forwarder else None

    @cached_property
    def trap(self) -> Trap | None:
        """What it does at SIGTERM."""
        return trap_of(self.judged) if self.judged else None

    def at(self, line: int) -> str:
        """Name a line of the start-up script."""
        return f"{self.subject.script.name if self.subject.script else 'script'}:{line}"


def _checked(check: Callable[[Any], T], found: Any) -> T | Unknown | None:
    try:
        return found if found is None or isinstance(found, Unknown) else check(found)
    except ValueError:
        return UNKNOWN
