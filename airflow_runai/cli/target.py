"""
What a command works on: a task of a DAG, a ``runai submit`` line, or a specification in a file.

Nothing is rendered: Jinja stays as it is, because its values are known only when the task runs.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_runai.cli.exit_codes import UsageError
from airflow_runai.cli.files import read_small_file
from airflow_runai.cli.tasks import TrainingTask, find_training
from airflow_runai.core.jinja import is_templated
from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.templates.text import MAX_CHARACTERS, documents
from airflow_runai.errors import SpecError
from airflow_runai.tasks.instructions import Instructions, gather


@dataclass(frozen=True)
class Target:
    """
    What would be submitted, before rendering.

    :param label: its name in messages.
    :param task: the task, if it is one.
    """

    label: str
    instructions: Instructions
    task: TrainingTask | None = None

    @property
    def spec(self) -> JsonMapping:
        """The effective specification, as far as it is known without rendering."""
        return self.instructions.spec

    @property
    def expanded(self) -> tuple[str, ...]:
        """Names of the arguments that differ between the instances of a mapped task."""
        return self.task.expanded if self.task else ()

    def argument(self, name: str) -> Any:
        """Return an argument of the task; ``None`` if it was not given, or if there is no task."""
        return self.task.get(name) if self.task else None

    @property
    def project(self) -> str | None:
        """The project that the task or its line names, unless it is still a template."""
        project = self.argument("project") or self.instructions.project
        return project if isinstance(project, str) and not is_templated(project) else None


def target_from(arguments: Namespace) -> Target:
    """
    Read the one of ``DAG_ID TASK_ID``, ``--line`` and ``--spec`` that was given.

    :raises UsageError: for none or several of them.
    """
    line, spec = arguments.line, arguments.spec
    given = [name for name in ("dag_id", "line", "spec") if getattr(arguments, name) is not None]
    if len(given) != 1 or (given == ["dag_id"]) != (arguments.task_id is not None):
        raise UsageError("give one of: DAG_ID TASK_ID, --line 'runai submit …', --spec FILE")
    if given == ["dag_id"]:
        return target_of_task(find_training(arguments))
    if spec is None:
        return Target("the line", gather(None, line, None, None, _unrendered))
    return Target(spec, gather(_from_file(spec), None, None, None, _unrendered))


def target_of_task(task: TrainingTask) -> Target:
    """
    Return what a task would submit.

    :raises UsageError: if the name of its template is itself a template.
    """
    template = task.get("template")
    # Without its name no layer is known, and each key would be a guess.
    if template is not None and (not isinstance(template, str) or is_templated(template)):
        raise UsageError(
            f"task {task.task_id}: template {str(template)!r} is known only when the task runs"
        )
    spec, line, templates = (task.get(name) for name in ("spec", "command_line", "templates"))
    instructions = gather(spec, line, template, templates, _unrendered)
    return Target(f"task {task.task_id} of DAG {task.dag_id}", instructions, task)


def _from_file(name: str) -> JsonMapping:
    try:
        # UTF-8 takes up to four bytes for one of the characters that are limited.
        text = read_small_file(Path(name), 4 * MAX_CHARACTERS, "--spec").decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"--spec {name}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    first, *others = documents(text, name)
    if others or not isinstance(first.value, Mapping):
        raise SpecError(
            [f"{name}: allowed: one YAML document, a mapping of the keys of a specification"]
        )
    return first.value


def _unrendered(value: Any) -> Any:
    return value
