"""
Lint with reasons: what will not survive a preemption, said before a GPU is spent.

:func:`lint` takes what is known of a training (:class:`Subject`) and returns findings. It decides
    nothing: no finding stops anything by itself. It reads no file and asks no server; whoever calls
    it brings texts and numbers. What is not known leads to no finding, never to a wrong one, so
    that the same rules serve a DAG that is being parsed (values are still templates) and a command
    that has seen script, manifests and project.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_runai.core.fields import nearest
from airflow_runai.core.lint import (
    rules_checkpoints,
    rules_platform,
    rules_progress,
    rules_script,
    rules_signals,
    rules_task,
)
from airflow_runai.core.lint.facts import Facts
from airflow_runai.core.lint.rule import SEVERITIES, Finding, Rule
from airflow_runai.core.lint.subject import Script, Subject
from airflow_runai.errors import SpecError

__all__ = ["RULES", "SEVERITIES", "Finding", "Rule", "Script", "Subject", "check_codes", "lint"]

_ALL = (
    *rules_checkpoints.RULES,
    *rules_script.RULES,
    *rules_signals.RULES,
    *rules_progress.RULES,
    *rules_task.RULES,
    *rules_platform.RULES,
)
#: Every rule by its code, in the order of the catalogue.
RULES: dict[str, Rule] = {rule.code: rule for rule in _ALL}


def lint(subject: Subject, silenced: Iterable[str] = ()) -> tuple[Finding, ...]:
    """
    Look at a training before it is submitted.

    :param silenced: codes that are not reported.
    :return: findings, the gravest first.
    :raises SpecError: if a silenced code does not exist.
    """
    quiet = set(silenced)
    check_codes(quiet, "silenced")
    facts = Facts(subject)
    found = [
        finding
        for rule in RULES.values()
        if rule.code not in quiet
        for finding in _look(rule, facts)
    ]
    return tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)))


def check_codes(codes: Iterable[str], where: str) -> None:
    """
    Refuse codes that do not exist.

    :param where: where they were written, for the message.
    :raises SpecError: naming each, with the nearest that exists.
    """
    unknown = [code for code in codes if code not in RULES]
    if unknown:
        raise SpecError(
            [
                f"{where}: {code!r} is no code of a lint rule; {nearest(str(code), RULES)}"
                for code in unknown
            ]
        )


def _look(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for where, message in rule.look(facts):
        yield Finding(rule.code, rule.severity, where, message, rule.section)
