"""A retraining as one call: train → select → evaluate → promote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_runai.core.texts import cut
from airflow_runai.errors import SpecError
from airflow_runai.operators.checkpoint import RunaiSelectCheckpointOperator
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.operators.promotion import RunaiPromoteCheckpointOperator
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.task_groups.chain import (
    ChainArguments,
    known,
    make_chain,
    read_task_arguments,
)
from airflow_runai.task_groups.run_roots import RunRootGroup
from airflow_runai.tasks.declaration import names_its_group


class Retraining(RunRootGroup):
    """
    The tasks of :func:`runai_retraining`.

    :ivar evaluate: ``None`` in a retraining without an evaluation.
    :ivar promote: ``None`` in a retraining without a champion.
    """

    train: RunaiTrainingOperator
    select: RunaiSelectCheckpointOperator
    evaluate: RunaiEvaluationOperator | None
    promote: RunaiPromoteCheckpointOperator | None


@names_its_group
def runai_retraining(
    group_id: str = "retraining",
    *,
    run_root: str,
    train: Mapping[str, Any] | str,
    evaluate: Mapping[str, Any] | str | None = None,
    gates: Sequence[str] = (),
    champion: str | None = None,
    spec: Mapping[str, Any] | None = None,
    path_map: Mapping[str, str] | None = None,
    storage_conn_id: str | None = None,
    runai_conn_id: str | None = None,
    project: str | None = None,
    task_arguments: Mapping[str, Mapping[str, Any]] | None = None,
    **group_arguments: Any,
) -> Retraining:
    """
    Make the tasks of a retraining, in a group of their own.

    Each is an attribute of the result, so other tasks can be put between them. For one that is
    mapped, call this within a mapped task group, with ``{{ ti.map_index }}`` in ``run_root``.

    :param group_id: id of the group; the ids of its tasks begin with it.
    :param run_root: directory of one run, as the containers call it, or a URI; different for each
        run. Below it lie ``checkpoints``, named to the training as ``CHECKPOINTS``, and the
        evaluation's ``metrics.json``; templated.
    :param train: what the training runs: a specification, or a line such as ``runai submit …``.
    :param evaluate: what the evaluation runs, in the same form; ``None``: there is none.
    :param gates: conditions that the metrics must meet, such as ``accuracy >= 0.95`` or
        ``accuracy >= champion.accuracy - 0.002``; templated.
    :param champion: path of the champion pointer; ``None``: no promotion; templated.
    :param spec: what both share, such as image and storage; each task's own specification wins.
    :param path_map: container prefixes to worker prefixes; templated.
    :param storage_conn_id: Airflow connection for object storage; templated.
    :param runai_conn_id: connection of type ``runai`` or ``kubernetes``; templated.
    :param project: project, on Kubernetes a queue; default: the connection's; templated.
    :param task_arguments: further arguments of the operators, by task: ``{"train": {"timeouts":
        …}}``; they win over those that follow from the others.
    :param group_arguments: further arguments of Airflow's ``TaskGroup``, such as ``default_args``.
    :raises SpecError: if arguments contradict each other, or all instances of a mapped group would
        use one directory.
    """
    given = ChainArguments(
        run_root=run_root,
        train=train,
        evaluate=evaluate,
        gates=gates,
        champion=champion,
        spec=spec,
        storage={"path_map": path_map, "storage_conn_id": storage_conn_id},
        platform=known(runai_conn_id=runai_conn_id, project=project),
        own=read_task_arguments(task_arguments),
    )
    given.check()  # before there is a group
    group = Retraining(group_id=group_id, **group_arguments)
    _refuse_shared_root(group, run_root)
    group.keep_in(f"{run_root.rstrip('/')}/checkpoints")
    with group:
        chain = make_chain(given)
    group.train, group.select, group.evaluate, group.promote = chain
    return group


def _refuse_shared_root(group: Retraining, run_root: str) -> None:
    is_mapped = any(True for _ in group.iter_mapped_task_groups())
    if is_mapped and "map_index" not in run_root:
        raise SpecError(
            [
                f"run_root: {cut(run_root)!r}, in a mapped task group, whose instances would write "
                "to one directory; add {{ ti.map_index }}"
            ]
        )
