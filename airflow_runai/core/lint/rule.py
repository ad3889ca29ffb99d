"""How a rule is declared: its code, how grave it is, what it means, and the function that looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from airflow_runai.core.lint.facts import Facts

#: From grave to mild: will not survive or not do what was asked; probably will not; worth knowing.
SEVERITIES = ("error", "warning", "info")

#: Yields (where, message) for each hit.
Look = Callable[[Facts], Iterator[tuple[str, str]]]


@dataclass(frozen=True)
class Rule:
    """
    A kind of finding.

    :param code: stable name, for silencing.
    :param severity: one of :data:`SEVERITIES`.
    :param meaning: one sentence for the catalogue.
    """

    code: str
    severity: str
    meaning: str
    look: Look

    @property
    def section(self) -> str:
        """Where it is explained."""
        return f"docs/lint.md#{self.code}"


@dataclass(frozen=True)
class Finding:
    """
    A hit of a rule.

    :param where: the place: ``spec.environment.CHECKPOINTS``, ``timeouts.queue``, ``startup.sh:7``.
    :param message: what was found there, what follows from it, what to do; no secrets.
    :param section: page and anchor that explain it.
    """

    code: str
    severity: str
    where: str
    message: str
    section: str


def rule(code: str, severity: str, meaning: str) -> Callable[[Look], Rule]:
    """Make a rule of a function that looks."""
    return lambda look: Rule(code, severity, meaning, look)
