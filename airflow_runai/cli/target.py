"""
What a command is about: a task of a DAG, a ``runai submit`` line or a specification in a file, told in one way.

Nothing is rendered: Jinja stays as it is, because what it will say is known only when the task
runs.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_runai.cli.exit_codes import Misuse
from airflow_runai.cli.files import regular
from airflow_runai.cli.tasks import FoundTask, find_task
from airflow_runai.core.jinja import is_templated
from airflow_runai.core.templates.text import LIMIT, documents
from airflow_runai.errors import SpecError
from airflow_runai.tasks.instructions import Instructions, gather


@dataclass(frozen=True)
class Told:
    """
    What would be submitted, before rendering.

    :param what: how messages call it.
    :param task: the task, if it is about one.
    """

    what: str
    instructions: Instructions
    task: FoundTask | None = None

    @property
    def spec(self) -> Mapping[str, Any]:
        """The effective specification, as far as it can be known without rendering."""
        return self.instructions.spec

    @property
    def project(self) -> str | None:
        """The project that the task or its line names; a template of one says nothing yet."""
        named = (self.task.get("project") if self.task else None) or self.instructions.project
        return named if isinstance(named, str) and not is_templated(named) else None


def told(arguments: Namespace) -> Told:
    """
    Read whichever of ``DAG_ID TASK_ID``, ``--line`` and ``--spec`` was given.

    :raises Misuse: for none or several of them.
    """
    given = [name for name in ("dag_id", "line", "spec") if getattr(arguments, name) is not None]
    if len(given) != 1 or (given == ["dag_id"]) != (arguments.task_id is not None):
        raise Misuse("give one of: DAG_ID TASK_ID, --line 'runai submit …', --spec FILE")
    if arguments.line is not None:
        return Told("the line", gather(None, arguments.line, None, None, _as_it_is))
    if arguments.spec is not None:
        return Told(arguments.spec, gather(_from_file(arguments.spec), None, None, None, _as_it_is))
    return of_task(find_task(arguments))


def of_task(task: FoundTask) -> Told:
    """Return what a task was told to run; raises :class:`Misuse` if only rendering tells which template."""
    name = task.get("template")
    if name is not None and (not isinstance(name, str) or is_templated(name)):
        raise Misuse(
            f"task {task.task_id}: template {str(name)!r} is known only when the task runs"
        )
    spec, line, name, templates = (
        task.get(key) for key in ("spec", "command_line", "template", "templates")
    )
    found = gather(spec, line, name, templates, _as_it_is)
    return Told(f"task {task.task_id} of DAG {task.dag_id}", found, task)


def _from_file(name: str) -> Mapping[str, Any]:
    try:
        text = regular(Path(name), 4 * LIMIT, "--spec").decode("utf-8")
    except UnicodeDecodeError as error:
        raise Misuse(
            f"--spec {name}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    found = documents(text, name)
    if len(found) > 1 or not isinstance(found[0].value, Mapping):
        raise SpecError(
            [f"{name}: allowed: one YAML document, a mapping of the keys of a specification"]
        )
    return found[0].value


def _as_it_is(value: Any) -> Any:
    return value
