"""How a rule is declared: its code, severity and meaning, and the function that checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from airflow_runai.core.lint.facts import Facts

#: From grave to mild: it will not survive, or not do what it should; it probably will not; worth
#: knowing.
SEVERITIES = ("error", "warning", "info")

#: (where, message) of each hit.
Hits = Iterator[tuple[str, str]]
Check = Callable[[Facts], Hits]


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
    check: Check

    @property
    def section(self) -> str:
        """The page and anchor that explain it."""
        return f"docs/lint.md#{self.code}"


@dataclass(frozen=True)
class LintFinding:
    """
    A hit of a rule.

    :param where: the place: ``spec.environment.CHECKPOINTS``, ``timeouts.queue``, ``startup.sh:7``.
    :param message: the value, its consequence and the remedy; no secrets.
    :param section: page and anchor that explain it.
    """

    code: str
    severity: str
    where: str
    message: str
    section: str


def rule(code: str, severity: str, meaning: str) -> Callable[[Check], Rule]:
    """Make a rule of a function."""
    return lambda check: Rule(code, severity, meaning, check)
