"""
Finds a task in the DAG files, as a DAG processor would read them; neither the database nor the API is asked.

Whoever wrote the file is trusted as everywhere in Airflow: reading a DAG runs it.
"""

from __future__ import annotations

import logging
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk.exceptions import AirflowException

from airflow_runai.cli.exit_codes import UsageError
from airflow_runai.core.texts import cut
from airflow_runai.operators.training import RunaiTrainingOperator

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG

T = TypeVar("T")


@dataclass(frozen=True)
class TrainingTask:
    """
    A training (or evaluation) in a DAG file.

    :param arguments: what its operator was given; a mapped task's are those that all of its
        instances share.
    :param expanded: names of the arguments that differ between its instances.
    :param file: where the DAG is written.
    :param mapped: whether it has several instances in a run, by itself or with its task group.
    """

    dag_id: str
    task_id: str
    kind: type[RunaiTrainingOperator]
    arguments: dict[str, Any]
    expanded: tuple[str, ...]
    file: Path
    mapped: bool = False

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument, or ``default`` where it was not given."""
        found = self.arguments.get(name)
        return default if found is None else found


def find_training(arguments: Namespace) -> TrainingTask:
    """
    Read DAG files until the task is found.

    :param arguments: ``dag_id``, ``task_id``, ``bundle_name`` and ``dags_folder``.
    :raises Misuse: if there is no such DAG or task, or if the task is no training; files with
        errors are named.
    """
    dag = _dag(arguments)
    if arguments.task_id not in dag.task_dict:
        known = ", ".join(sorted(dag.task_dict)) or "none"
        raise UsageError(
            f"task {arguments.task_id!r}: DAG {dag.dag_id!r} has no such task; it has: {known}"
        )
    return _found(dag, dag.task_dict[arguments.task_id])


def find_trainings(arguments: Namespace) -> list[TrainingTask]:
    """Return all trainings of a DAG; see :func:`find_training`."""
    dag = _dag(arguments)
    found = [
        _found(dag, task)
        for task in dag.task_dict.values()
        if issubclass(_class(task), RunaiTrainingOperator)
    ]
    if not found:
        raise UsageError(
            f"DAG {dag.dag_id!r}: no task in it is a RunaiTrainingOperator; nothing to look at"
        )
    return found


def _dag(arguments: Namespace) -> DAG:
    errors: dict[str, str] = {}
    for bag in _bags(arguments.bundle_name, arguments.dags_folder):
        if arguments.dag_id in bag.dags:
            return bag.dags[arguments.dag_id]
        errors.update(bag.import_errors)
    broken = "".join(f"\n  {file}: {_said(error)}" for file, error in errors.items())
    words = (
        f"; these files could not be read:{broken}"
        if broken
        else "; name its file or folder with -S"
    )
    raise UsageError(f"DAG {arguments.dag_id!r}: not found{words}")


def _said(trace: str) -> str:
    """Return what an error said, without the way to it; ours list several mistakes in lines of their own."""
    lines = trace.strip().splitlines() or ["no reason is told"]
    begin = max((number for number, line in enumerate(lines) if line[:1].strip()), default=0)
    return "\n    ".join(cut(line.strip()) for line in lines[begin:])


def _bags(bundles: list[str], folder: str | None) -> Iterator[DagBag]:
    # Imported here: Airflow's reader of DAG files is not needed by commands that read none.
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    if folder is not None:
        path = Path(folder).absolute()
        if not path.exists():
            raise UsageError(f"-S {folder}: no such file or folder")
        yield _bag(dag_folder=path, bundle_path=path if path.is_dir() else path.parent)
        return
    known = {
        bundle.name: bundle
        for bundle in _silently(lambda: list(DagBundlesManager().get_all_dag_bundles()))
    }
    unknown = [name for name in bundles if name not in known]
    if unknown:
        raise UsageError(
            f"-B {unknown[0]}: no such bundle; configured: {', '.join(sorted(known)) or 'none'}"
        )
    for bundle in [known[name] for name in bundles] or list(known.values()):
        try:
            _silently(bundle.initialize)
        except (AirflowException, OSError, ValueError) as error:
            raise UsageError(f"bundle {bundle.name}: cannot be read: {cut(str(error))}") from None
        yield _bag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)


def _bag(**where: Any) -> DagBag:
    """Read DAG files; what is wrong with one is in the bag, what is wrong with their folder is :class:`UsageError`."""
    from airflow.dag_processing.dagbag import BundleDagBag

    try:
        return _silently(lambda: BundleDagBag(**where))
    except (AirflowException, OSError, RuntimeError) as error:
        raise UsageError(
            f"{where['dag_folder']}: cannot be read as a folder of DAGs: {cut(str(error))}"
        ) from None


def _silently(do: Callable[[], T]) -> T:
    """Keep Airflow's log to itself, as its own commands do; what a DAG file prints is no output of ours."""
    from airflow.utils.cli import suppress_logs_and_warning

    done: list[T] = []
    before = logging.root.manager.disable
    with redirect_stdout(sys.stderr):
        suppress_logs_and_warning(lambda _: done.append(do()))(Namespace(verbose=False))
    logging.disable(before)  # Airflow forgets what was disabled before
    return done[0]


def _found(dag: DAG, task: Any) -> TrainingTask:
    kind = _class(task)
    if not issubclass(kind, RunaiTrainingOperator):
        words = "only RunaiTrainingOperator and RunaiEvaluationOperator submit something"
        raise UsageError(f"task {task.task_id!r}: made by {kind.__name__}; {words}")
    file = Path(dag.fileloc)
    if not task.is_mapped:
        given = {
            **vars(task),
            "on_kill": task.kill_action,
        }  # `on_kill` itself is Airflow's callback
        in_mapped_group = task.get_closest_mapped_task_group() is not None
        return TrainingTask(dag.dag_id, task.task_id, kind, given, (), file, in_mapped_group)
    shared, differing = dict(task.partial_kwargs), task._get_specified_expand_input().value
    expanded = (
        tuple(differing) if isinstance(differing, dict) else ("whatever expand_kwargs gives",)
    )
    return TrainingTask(dag.dag_id, task.task_id, kind, shared, expanded, file, mapped=True)


def _class(task: Any) -> type:
    found: type = task.operator_class if task.is_mapped else type(task)
    return found
