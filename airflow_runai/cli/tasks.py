"""
Finds trainings in DAG files, read as a DAG processor would; database and API are not needed.

The author of a DAG file is trusted, as everywhere in Airflow: reading the file runs it.
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
    from airflow.dag_processing.bundles.base import BaseDagBundle
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG

T = TypeVar("T")


@dataclass(frozen=True)
class TrainingTask:
    """
    A training (or evaluation) in a DAG file.

    :param arguments: those of its operator; of a mapped task, those that all instances share.
    :param expanded: names of the arguments that differ between its instances.
    :param file: where the DAG is written.
    :param mapped: whether it has several instances in a run, by itself or with its task group.
    """

    dag_id: str
    task_id: str
    operator_class: type[RunaiTrainingOperator]
    arguments: dict[str, Any]
    expanded: tuple[str, ...]
    file: Path
    mapped: bool = False

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument, or ``default`` where it was not given."""
        value = self.arguments.get(name)
        return default if value is None else value


def find_training(arguments: Namespace) -> TrainingTask:
    """
    Read DAG files until the task is found.

    :param arguments: ``dag_id``, ``task_id``, ``bundle_name`` and ``dags_folder``.
    :raises UsageError: if there is no such DAG or task, or if the task is not a training; DAG files
        with errors are listed.
    """
    dag = _find_dag(arguments)
    task = dag.task_dict.get(arguments.task_id)
    if task is None:
        task_ids = ", ".join(sorted(dag.task_dict)) or "none"
        raise UsageError(
            f"task {arguments.task_id!r}: DAG {dag.dag_id!r} has no such task; it has: {task_ids}"
        )
    if not _is_training(task):
        raise UsageError(
            f"task {task.task_id!r}: made by {_operator_class(task).__name__}; "
            "only RunaiTrainingOperator and RunaiEvaluationOperator submit something"
        )
    return _training_task(dag, task)


def find_trainings(arguments: Namespace) -> list[TrainingTask]:
    """Return all trainings of a DAG; see :func:`find_training`."""
    dag = _find_dag(arguments)
    trainings = [_training_task(dag, task) for task in dag.task_dict.values() if _is_training(task)]
    if not trainings:
        raise UsageError(
            f"DAG {dag.dag_id!r}: no task in it is a RunaiTrainingOperator; nothing to check"
        )
    return trainings


def _find_dag(arguments: Namespace) -> DAG:
    errors: dict[str, str] = {}
    for bag in _dag_bags(arguments.bundle_name, arguments.dags_folder):
        if arguments.dag_id in bag.dags:
            return bag.dags[arguments.dag_id]
        errors.update(bag.import_errors)
    remedy = "name its file or folder with -S"
    if errors:
        remedy = "these files could not be read:" + "".join(
            f"\n  {file}: {_message(trace)}" for file, trace in errors.items()
        )
    raise UsageError(f"DAG {arguments.dag_id!r}: not found; {remedy}")


def _message(trace: str) -> str:
    """Return the message at the end of a traceback; ours may list several mistakes, one a line."""
    lines = trace.strip().splitlines() or ["no reason is given"]
    message = lines
    for number, line in enumerate(lines):
        if line[:1].strip():  # the message begins at the last line that is not indented
            message = lines[number:]
    return "\n    ".join(cut(line.strip()) for line in message)


def _dag_bags(bundle_names: list[str], folder: str | None) -> Iterator[DagBag]:
    if folder is None:
        yield from map(_bag_of_bundle, _bundles(bundle_names))
        return
    path = Path(folder).absolute()
    if not path.exists():
        raise UsageError(f"-S {folder}: no such file or folder")
    yield _read_bag(dag_folder=path, bundle_path=path if path.is_dir() else path.parent)


def _bundles(names: list[str]) -> list[BaseDagBundle]:
    # Imported here: commands that read no DAG files do not need Airflow's reader of them.
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    all_bundles = _quietly(lambda: list(DagBundlesManager().get_all_dag_bundles()))
    configured = {bundle.name: bundle for bundle in all_bundles}
    for name in names:
        if name not in configured:
            allowed = ", ".join(sorted(configured)) or "none"
            raise UsageError(f"-B {name}: no such bundle; configured: {allowed}")
    return [configured[name] for name in names or configured]


def _bag_of_bundle(bundle: BaseDagBundle) -> DagBag:
    try:
        _quietly(bundle.initialize)
    except (AirflowException, OSError, ValueError) as error:  # a wrong path, or wrong settings
        raise UsageError(f"bundle {bundle.name}: cannot be read: {cut(str(error))}") from None
    return _read_bag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)


def _read_bag(**location: Any) -> DagBag:
    """Read DAG files; the bag holds the errors of each."""
    from airflow.dag_processing.dagbag import BundleDagBag

    try:
        return _quietly(lambda: BundleDagBag(**location))
    except (AirflowException, OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        folder = location["dag_folder"]
        raise UsageError(
            f"{folder}: cannot be read as a folder of DAGs: {cut(str(error))}"
        ) from None


def _quietly(do: Callable[[], T]) -> T:
    """Suppress Airflow's log, as its own commands do; what a DAG file prints goes to stderr."""
    from airflow.utils.cli import suppress_logs_and_warning

    results: list[T] = []
    previous = logging.root.manager.disable
    with redirect_stdout(sys.stderr):
        suppress_logs_and_warning(lambda _: results.append(do()))(Namespace(verbose=False))
    logging.disable(previous)  # Airflow does not restore what was disabled before
    return results[0]


def _training_task(dag: DAG, task: Any) -> TrainingTask:
    expanded: tuple[str, ...] = ()
    if task.is_mapped:
        arguments, expanded = dict(task.partial_kwargs), _expanded(task)
        is_mapped = True
    else:
        arguments = {**vars(task), "on_kill": task.kill_action}  # `on_kill` itself is a callback
        is_mapped = task.get_closest_mapped_task_group() is not None
    return TrainingTask(
        dag.dag_id,
        task.task_id,
        _operator_class(task),
        arguments,
        expanded,
        Path(dag.fileloc),
        is_mapped,
    )


def _expanded(task: Any) -> tuple[str, ...]:
    differing = task._get_specified_expand_input().value
    # Of `expand_kwargs`, names are known at run time.
    return tuple(differing) if isinstance(differing, dict) else ("whatever expand_kwargs gives",)


def _is_training(task: Any) -> bool:
    return issubclass(_operator_class(task), RunaiTrainingOperator)


def _operator_class(task: Any) -> type:
    operator_class: type = task.operator_class if task.is_mapped else type(task)
    return operator_class
