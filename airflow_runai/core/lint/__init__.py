"""
Lint with reasons: what will not survive a preemption, reported before a GPU is used.

:func:`lint` takes the known facts of a training (:class:`Subject`) and returns findings. It decides
nothing: no finding stops anything by itself. It reads no file and no server; the caller supplies
texts and numbers. Missing facts produce no finding, never a wrong one. So the same rules serve a
DAG that is being parsed (values are still templates) and a command that has read the script, the
manifests and the project.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_runai.core.lint import (
    rules_checkpoints,
    rules_grace,
    rules_platform,
    rules_progress,
    rules_script,
    rules_signals,
    rules_task,
)
from airflow_runai.core.lint.facts import Facts
from airflow_runai.core.lint.rule import SEVERITIES, LintFinding, Rule
from airflow_runai.core.lint.subject import Script, Subject
from airflow_runai.core.values import nearest
from airflow_runai.errors import SpecError

__all__ = ["RULES", "SEVERITIES", "LintFinding", "Rule", "Script", "Subject", "check_codes", "lint"]

_CATALOGUE = (
    rules_checkpoints,
    rules_grace,
    rules_script,
    rules_signals,
    rules_progress,
    rules_task,
    rules_platform,
)
#: Every rule by its code, in the order in which the modules declare them.
RULES: dict[str, Rule] = {
    rule.code: rule
    for module in _CATALOGUE
    for rule in vars(module).values()
    if isinstance(rule, Rule)
}


def lint(subject: Subject, ignored: Iterable[str] = ()) -> tuple[LintFinding, ...]:
    """
    Check a training before it is submitted.

    :param ignored: codes that are not reported.
    :return: findings, the gravest first.
    :raises SpecError: if an ignored code does not exist.
    """
    ignored = set(ignored)
    check_codes(ignored, "ignored")
    facts = Facts(subject)
    findings: list[LintFinding] = []
    for rule in RULES.values():
        if rule.code not in ignored:
            findings += _findings(rule, facts)
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def check_codes(codes: Iterable[str], where: str) -> None:
    """
    Refuse codes that do not exist.

    :param where: their place, for the message.
    :raises SpecError: naming each, with the nearest valid code.
    """
    problems = [
        f"{where}: {code!r} is not the code of a lint rule; {nearest(str(code), RULES)}"
        for code in codes
        if code not in RULES
    ]
    if problems:
        raise SpecError(problems)


def _findings(rule: Rule, facts: Facts) -> Iterator[LintFinding]:
    for where, message in rule.check(facts):
        yield LintFinding(rule.code, rule.severity, where, message, rule.section)
