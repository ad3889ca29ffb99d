"""
``airflow runai lint``: what of a training would not survive a preemption.

Collects what is known (task, line or specification, start-up script, how long saves took, the
project's GPUs) and prints what ``core/lint`` finds in it. Contacts the control plane only with
``--conn``.
"""

from __future__ import annotations

import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from airflow_runai.checkpoints.choosing.roots import RootProblem
from airflow_runai.checkpoints.choosing.save_times import longest_save
from airflow_runai.cli.connections import hook_for
from airflow_runai.cli.exit_codes import UsageError, command, print_error
from airflow_runai.cli.files import read_small_file
from airflow_runai.cli.output import Row, print_rows
from airflow_runai.cli.target import Target, target_from, target_of_task
from airflow_runai.cli.tasks import find_trainings
from airflow_runai.cli.templated_values import known_part
from airflow_runai.core.lint import LintFinding, Script, Subject, check_codes, lint
from airflow_runai.core.lint.facts import Facts
from airflow_runai.core.quota import Quota
from airflow_runai.core.texts import cut
from airflow_runai.deployment import configuration
from airflow_runai.errors import RunaiError, SpecError
from airflow_runai.tasks.parse_time_lint import ignored_codes

#: Larger files are not start-up scripts.
MAX_SCRIPT_BYTES = 1024 * 1024


@command
def main(arguments: Namespace) -> int:
    """Print one row for each finding; exit code 1 if any is above ``info``, or for a mistake."""
    _check_ignored(arguments.ignore)
    from_files = _from_files(arguments)
    targets, failed = _targets(arguments)
    rows = []
    for target in targets:
        if target is not None:
            # In this order, so that the mistakes of every target are printed.
            failed = _report_mistakes(target) or failed
            _warn_of_other_script(target, from_files.script)
        for finding in _findings(arguments, target, from_files):
            failed = failed or finding.severity != "info"
            rows.append(_row(target, finding))
    print_rows(rows, arguments.output, "nothing found")
    return 1 if failed else 0


def _check_ignored(codes: list[str]) -> None:
    try:
        check_codes(codes, "--ignore")
    except SpecError as error:
        raise UsageError("; ".join(error.problems)) from None


def _targets(arguments: Namespace) -> tuple[Sequence[Target | None], bool]:
    """Return what to check (``None``: a script alone), and whether a part of it failed already."""
    names = ("dag_id", "task_id", "line", "spec", "script")
    given = {name for name in names if getattr(arguments, name) is not None}
    if given == {"script"}:
        return (None,), False
    # A script may be checked together with any of the others.
    if given - {"script"} == {"dag_id"}:
        return _targets_of_dag(arguments)
    return (target_from(arguments),), False


def _targets_of_dag(arguments: Namespace) -> tuple[Sequence[Target], bool]:
    """Return all trainings of a DAG; one that fails must not hide the findings in the others."""
    targets, failed = [], False
    for task in find_trainings(arguments):
        try:
            targets.append(target_of_task(task))
        except UsageError as reason:
            print(f"warning: {reason}; not looked at", file=sys.stderr)
        except RunaiError as error:
            print_error(error, f"task {task.task_id}: ")
            failed = True
    return targets, failed


def _report_mistakes(target: Target) -> bool:
    """Print mistakes that are not findings: the rules would silently skip a misspelt key."""
    try:
        known_part(target.spec, target.expanded)
    except SpecError as error:
        print_error(error, f"{target.label}: ")
        return True
    return False


def _warn_of_other_script(target: Target, script: Script | None) -> None:
    """Warn if the container starts another script than the one that is checked."""
    facts = Facts(Subject(spec=target.spec))
    words = facts.words
    if script is None or not isinstance(words, list):
        return
    # Of `bash -c` the script is within a word.
    if not words or any(script.name in word for word in words):
        return
    started = [Path(word).name for word in words if word.endswith((".sh", ".bash"))]
    # Arguments alone belong to a program of the image, which nobody sees here.
    started += [cut(shlex.join(words), 80)] if facts.text("command") else []
    if started:
        warning = f"{target.label} starts {started[0]}, and --script is {script.name}"
        print(f"warning: {warning}: name the script that starts", file=sys.stderr)


def _findings(
    arguments: Namespace, target: Target | None, from_files: Subject
) -> Iterable[LintFinding]:
    subject, ignored = from_files, ()
    if target is not None:
        subject = _with_target(subject, target)
        ignored = target.argument("lint_ignore") or ()
    if arguments.conn is not None:
        quota = _project_quota(arguments, target)
        subject = replace(subject, gpu_limit=quota.limit, gpu_quota=quota.deserved)
    return lint(subject, {*arguments.ignore, *ignored_codes(ignored)})


def _with_target(subject: Subject, target: Target) -> Subject:
    subject = replace(subject, spec=target.spec, warnings=target.instructions.warnings)
    task = target.task
    if task is None:
        # A template that a line names is not resolved: it may set the keys that are absent.
        return replace(subject, whole=target.instructions.template is None)
    return replace(
        subject,
        retries=task.get("retries"),
        timeouts=task.get("timeouts"),
        deferrable=configuration.deferrable(task.get("deferrable")),
        on_kill=task.get("on_kill"),
        whole=not task.expanded,
        evaluates=task.operator_class.evaluates,
    )


def _from_files(arguments: Namespace) -> Subject:
    """Return the start-up script, and how long saves took."""
    script, folder = arguments.script, arguments.checkpoints
    return Subject(
        script=None if script is None else _script(Path(script)),
        save_seconds=None if folder is None else _longest_save(Path(folder)),
    )


def _longest_save(root: Path) -> float | None:
    try:
        return longest_save(root)
    except RootProblem as problem:
        raise UsageError(f"--checkpoints: {problem}") from None


def _script(path: Path) -> Script:
    try:
        # Comments may be in any encoding.
        text = read_small_file(path, MAX_SCRIPT_BYTES, "--script").decode("utf-8", "replace")
        mode = os.stat(path).st_mode & 0o777
        folder = path.absolute().parent
        neighbours = [entry for entry in sorted(folder.iterdir()) if entry.name != path.name]
        names = (entry.name for entry in neighbours)
        return Script(path.name, text, mode, tuple(names), _requirements(neighbours))
    except OSError as error:
        raise UsageError(
            f"--script {path}: its folder cannot be read: {error.strerror or error}"
        ) from None


def _requirements(files: Iterable[Path]) -> dict[str, str]:
    """Read the requirements files beside a script; anything but a small file is skipped."""
    return {
        file.name: file.read_text("utf-8", "replace")
        for file in files
        if file.match("requirements*.txt")
        and file.is_file()
        and file.stat().st_size <= MAX_SCRIPT_BYTES
    }


def _project_quota(arguments: Namespace, target: Target | None) -> Quota:
    hook = hook_for(arguments.conn)
    of_target = target.project if target else None
    project = hook.project(arguments.project or of_target or hook.settings.project)
    return hook.run(hook.backend.limits(project)).quota


def _row(target: Target | None, finding: LintFinding) -> Row:
    task = {"task": target.task.task_id} if target and target.task else {}
    return {
        **task,
        "code": finding.code,
        "severity": finding.severity,
        "where": finding.where,
        "message": finding.message,
        "section": finding.section,
    }
