"""
Lint while the DAG is parsed: what the constructor's arguments alone can tell. Never stops anything.

Only a parse speaks, not each try: a worker that parses the file to run one of its tasks stays
silent. What needs the script, a manifest or the control plane, and what is merely worth knowing, is
for ``airflow runai lint``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from airflow.sdk import get_parsing_context

from airflow_runai.core.json_merge import deep_merge
from airflow_runai.deployment import configuration
from airflow_runai.errors import SpecError

if TYPE_CHECKING:
    from airflow_runai.core.command_line import ParsedCommand
    from airflow_runai.core.lint import Subject

log = logging.getLogger(__name__)

_TOLD_AT_PARSE = ("error", "warning")


class LintedTask(Protocol):
    """What lint reads of a training operator."""

    task_id: str
    spec: Any
    template: Any
    templates: Any
    evaluates: bool
    retries: int | None
    limits: Any
    deferrable: bool
    kill_action: str
    lint_silence: Sequence[str]


def lint_at_parse(task: LintedTask, parsed: ParsedCommand | None) -> None:
    """
    Log one line for each finding, unless a worker parses the file to run a task.

    :param parsed: what the task's command line says.
    :raises SpecError: if the task or the configuration silences a code that does not exist.
    """
    # Imported here: DAGs without a training need not pay for the rules.
    from airflow_runai.core.lint import lint

    silenced = silenced_for(task.lint_silence)
    if get_parsing_context().dag_id is not None:
        return
    for found in lint(subject_of(task, parsed), silenced):
        if found.severity in _TOLD_AT_PARSE:
            words = (
                task.task_id,
                found.severity,
                found.code,
                found.where,
                found.message,
                found.section,
            )
            log.warning("task %s: %s %s: %s: %s (%s)", *words)


def silenced_for(own: Iterable[str]) -> set[str]:
    """Return the codes that a task and the configuration silence; :class:`SpecError` if there is no such code."""
    from airflow_runai.core.lint import check_codes

    if isinstance(own, str) or not all(isinstance(code, str) for code in own):
        raise SpecError(
            [f"lint_silence: {own!r}; allowed: a list of codes, such as ['grace-tight']"]
        )
    everywhere = [
        code.strip() for code in configuration.option("lint_silence").split(",") if code.strip()
    ]
    check_codes(own, "lint_silence")
    check_codes(everywhere, "[runai] lint_silence")
    return {*own, *everywhere}


def subject_of(task: LintedTask, parsed: ParsedCommand | None) -> Subject:
    """Return what a task's arguments tell; templates beneath are not resolved."""
    from airflow_runai.core.lint import Subject

    layered = (
        task.template is not None
        or task.templates is not None
        or configuration.option("template_folder")
    )
    return Subject(
        spec=_united(task.spec, parsed),
        whole=not layered and (parsed is None or parsed.template is None),
        evaluates=task.evaluates,
        warnings=parsed.warnings if parsed else (),
        retries=task.retries,
        limits=task.limits,
        deferrable=task.deferrable,
        on_kill=task.kill_action,
    )


def _united(spec: Any, parsed: ParsedCommand | None) -> Mapping[str, Any] | None:
    """Lay the mapping over the line, as ``execute`` does; ``None`` while Airflow has yet to render the whole of it."""
    if spec is not None and not isinstance(spec, Mapping):
        return None
    return deep_merge(parsed.spec if parsed else {}, spec or {})
