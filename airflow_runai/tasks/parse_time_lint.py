"""
Lint of a constructor's arguments while the DAG is parsed. A finding never stops the parse.

A worker that parses the file to run one of its tasks logs nothing. Findings that need the script, a
manifest or the control plane, and mere hints, are left to ``airflow runai lint``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from airflow.sdk import get_parsing_context

from airflow_runai.core.json_merge import JsonMapping, deep_merge
from airflow_runai.deployment import configuration
from airflow_runai.errors import SpecError

if TYPE_CHECKING:
    from airflow_runai.core.command_line import ParsedCommand
    from airflow_runai.core.lint import Subject

log = logging.getLogger(__name__)

_LOGGED_SEVERITIES = ("error", "warning")


class LintedTask(Protocol):
    """The attributes of a training operator that lint reads."""

    task_id: str
    spec: Any
    template: Any
    templates: Any
    evaluates: bool
    retries: int | None
    timeouts: Any
    deferrable: bool | None
    kill_action: str
    lint_ignore: Sequence[str]


def lint_at_parse(task: LintedTask, parsed: ParsedCommand | None) -> None:
    """
    Log one line for each finding, unless a worker parses the file to run a task.

    :param parsed: the task's command line.
    :raises SpecError: if the task or the configuration ignores a code that does not exist.
    """
    # Imported here: DAGs without a training need not pay for the rules.
    from airflow_runai.core.lint import lint

    ignored = ignored_codes(task.lint_ignore)
    # Airflow sets it only in a worker that is about to run one task of the file.
    if get_parsing_context().dag_id is not None:
        return
    for finding in lint(subject_of(task, parsed), ignored):
        if finding.severity in _LOGGED_SEVERITIES:
            log.warning(
                "task %s: %s %s: %s: %s (%s)",
                task.task_id,
                finding.severity,
                finding.code,
                finding.where,
                finding.message,
                finding.section,
            )


def ignored_codes(own: Iterable[str]) -> set[str]:
    """
    Return the codes that a task and the configuration ignore.

    :raises SpecError: for a code that does not exist.
    """
    from airflow_runai.core.lint import check_codes

    if isinstance(own, str) or not all(isinstance(code, str) for code in own):
        raise SpecError(
            [f"lint_ignore: {own!r}; allowed: a list of codes, such as ['grace-tight']"]
        )
    everywhere = [
        code.strip() for code in configuration.option("lint_ignore").split(",") if code.strip()
    ]
    check_codes(own, "lint_ignore")
    check_codes(everywhere, "[runai] lint_ignore")
    return {*own, *everywhere}


def subject_of(task: LintedTask, parsed: ParsedCommand | None) -> Subject:
    """Return what lint can know from a task's arguments; templates beneath are not resolved."""
    from airflow_runai.core.lint import Subject

    # The folder may hold an admin's template, which lies beneath every task.
    layered = (
        task.template is not None
        or task.templates is not None
        or configuration.option("template_folder")
    )
    return Subject(
        spec=_merged_spec(task.spec, parsed),
        whole=not layered and (parsed is None or parsed.template is None),
        evaluates=task.evaluates,
        warnings=parsed.warnings if parsed else (),
        retries=task.retries,
        timeouts=task.timeouts,
        deferrable=task.deferrable,
        on_kill=task.kill_action,
    )


def _merged_spec(spec: Any, parsed: ParsedCommand | None) -> JsonMapping | None:
    """Merge mapping and line as ``execute`` does; ``None`` if the mapping itself is a template."""
    if spec is not None and not isinstance(spec, Mapping):
        return None
    return deep_merge(parsed.spec if parsed else {}, spec or {})
