"""
``airflow runai lint``: what of a training will not survive a preemption.

Collects what can be known (task, line or specification, start-up script, how long saving took, the
project's GPUs) and prints what ``core/lint`` finds in it. Asks the control plane only if ``--conn``
says so.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_runai.backends import capacity
from airflow_runai.cli.connections import hook_of
from airflow_runai.cli.exit_codes import Misuse, command, complain
from airflow_runai.cli.files import regular
from airflow_runai.cli.output import show
from airflow_runai.cli.save_times import longest_save
from airflow_runai.cli.target import Told, of_task, told
from airflow_runai.cli.tasks import trainings
from airflow_runai.cli.templated_values import known_part
from airflow_runai.core.lint import Finding, Script, Subject, check_codes, lint
from airflow_runai.core.lint.facts import Facts
from airflow_runai.core.quota import Quota
from airflow_runai.errors import RunaiError, SpecError
from airflow_runai.tasks.parse_time_lint import ignored_codes

#: Larger ones are no start-up scripts. Bytes.
LARGEST_SCRIPT = 1024 * 1024


@command
def main(arguments: Namespace) -> int:
    """Print one row for each finding; exit code 1 if one is graver than ``info``, or if something is wrong at all."""
    _check_silenced(arguments.silence)
    beside = _beside(arguments)
    subjects, grave = _subjects(arguments)
    rows = []
    for about in subjects:
        grave = _mistaken(about) or grave
        _warn_of_another(about, beside.get("script"))
        subject = Subject(**{**_of(about), **beside, **_limits(arguments, about)})
        own = about.task.get("lint_ignore", ()) if about and about.task else ()
        for finding in lint(subject, {*arguments.silence, *ignored_codes(own)}):
            grave = grave or finding.severity != "info"
            rows.append(_row(about, finding))
    show(rows, arguments.output, "nothing found")
    return 1 if grave else 0


def _check_silenced(codes: list[str]) -> None:
    try:
        check_codes(codes, "--silence")
    except SpecError as error:
        raise Misuse("; ".join(error.problems)) from None


def _subjects(arguments: Namespace) -> tuple[Sequence[Told | None], bool]:
    """Return what to look at, and whether something is wrong already."""
    if (
        arguments.dag_id is not None
        and arguments.task_id is None
        and arguments.line is arguments.spec is None
    ):
        return _of_dag(arguments)
    if (
        arguments.script is not None
        and arguments.dag_id is arguments.line is arguments.spec is None
    ):
        return (None,), False
    return (told(arguments),), False


def _of_dag(arguments: Namespace) -> tuple[Sequence[Told], bool]:
    """Take all trainings of a DAG: one that cannot be looked at must not hide what is found in the others."""
    found, wrong = [], False
    for task in trainings(arguments):
        try:
            found.append(of_task(task))
        except Misuse as reason:
            print(f"warning: {reason}; not looked at", file=sys.stderr)
        except RunaiError as error:
            complain(error, f"task {task.task_id}: ")
            wrong = True
    return found, wrong


def _mistaken(about: Told | None) -> bool:
    """Say what is no finding but a mistake: rules read keys, and would pass over a misspelt one in silence."""
    if about is None:
        return False
    try:
        known_part(about.spec, about.task.expanded if about.task else ())
    except SpecError as error:
        complain(error, f"{about.what}: ")
        return True
    return False


def _warn_of_another(about: Told | None, script: Script | None) -> None:
    """Say that the container starts another script than the one that is looked at."""
    words = Facts(Subject(spec=about.spec)).words if about and script else []
    named = (
        [Path(word).name for word in words if word.endswith((".sh", ".bash"))]
        if isinstance(words, list)
        else []
    )
    if about and script and named and script.name not in named:
        print(
            f"warning: {about.what} starts {named[0]}, and --script is {script.name}",
            file=sys.stderr,
        )


def _of(about: Told | None) -> dict[str, Any]:
    if about is None:
        return {}
    found: dict[str, Any] = {"spec": about.spec, "warnings": about.instructions.warnings}
    task = about.task
    if task is None:
        return {**found, "whole": about.instructions.template is None}
    settings = {name: task.get(name) for name in ("retries", "timeouts", "deferrable", "on_kill")}
    return {**found, **settings, "whole": not task.expanded, "evaluates": task.kind.evaluates}


def _beside(arguments: Namespace) -> dict[str, Any]:
    """Return what lies in files: the start-up script, and how long saving took."""
    found: dict[str, Any] = {}
    if arguments.script is not None:
        found["script"] = _script(Path(arguments.script))
    if arguments.checkpoints is not None:
        found["save_seconds"] = longest_save(Path(arguments.checkpoints))
    return found


def _script(path: Path) -> Script:
    try:
        text = regular(path, LARGEST_SCRIPT, "--script").decode("utf-8", "replace")
        beside = sorted(
            entry for entry in path.absolute().parent.iterdir() if entry.name != path.name
        )
        return Script(
            path.name,
            text,
            os.stat(path).st_mode & 0o777,
            tuple(entry.name for entry in beside),
            _requirements(beside),
        )
    except OSError as error:
        raise Misuse(
            f"--script {path}: its folder cannot be read: {error.strerror or error}"
        ) from None


def _requirements(beside: Sequence[Path]) -> dict[str, str]:
    """Read the requirements files beside a script; one that is no small file is passed over."""
    named = [
        path for path in beside if path.name.startswith("requirements") and path.suffix == ".txt"
    ]
    small = [path for path in named if path.is_file() and path.stat().st_size <= LARGEST_SCRIPT]
    return {path.name: path.read_text("utf-8", "replace") for path in small}


def _limits(arguments: Namespace, about: Told | None) -> dict[str, Any]:
    if arguments.conn is None:
        return {}
    hook = hook_of(arguments.conn)
    named = arguments.project or (about.project if about else None) or hook.settings.project
    quota = Quota.from_wire(hook.run(capacity.project_record(hook.project(named))))
    return {"gpu_limit": quota.limit, "gpu_quota": quota.deserved}


def _row(about: Told | None, finding: Finding) -> dict[str, Any]:
    task = {"task": about.task.task_id} if about and about.task else {}
    return {
        **task,
        "code": finding.code,
        "severity": finding.severity,
        "where": finding.where,
        "message": finding.message,
        "section": finding.section,
    }
