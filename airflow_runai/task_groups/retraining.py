"""A retraining as one call: train → select → evaluate → promote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from airflow.sdk import TaskGroup

from airflow_runai.core.json_merge import JsonObject, deep_merge
from airflow_runai.core.texts import cut
from airflow_runai.core.values import nearest
from airflow_runai.errors import SpecError
from airflow_runai.operators.checkpoint import RunaiSelectCheckpointOperator
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.operators.promotion import RunaiPromoteCheckpointOperator
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.tasks.declaration import names_its_group

#: Ids of the tasks, in their order.
TASKS = ("train", "select", "evaluate", "promote")


class Retraining(TaskGroup):
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
    :param runai_conn_id: connection of type ``runai``; templated.
    :param project: Run:ai project; default: the connection's; templated.
    :param task_arguments: further arguments of the operators, by task: ``{"train": {"timeouts":
        …}}``; they win over those that follow from the others.
    :param group_arguments: further arguments of Airflow's ``TaskGroup``, such as ``default_args``.
    :raises SpecError: if arguments contradict each other.
    """
    own = task_arguments or {}
    problems = [
        *_payload_problems(train=train, **_known(evaluate=evaluate)),
        *_chain_problems(evaluate, gates, champion, own),
    ]
    if not run_root.strip("/"):
        problems.append(f"run_root: {run_root!r}; allowed: a directory, different for each run")
    if problems:
        raise SpecError(problems)

    def given(task_id: str, **defaults: Any) -> JsonObject:
        return {**defaults, **own.get(task_id, {}), "task_id": task_id}

    run_root = run_root.rstrip("/")
    storage = {"path_map": path_map, "storage_conn_id": storage_conn_id}
    platform = _known(runai_conn_id=runai_conn_id, project=project)
    saves = {"environment": {"CHECKPOINTS": f"{run_root}/checkpoints"}}
    group = Retraining(group_id=group_id, **group_arguments)
    with group:
        payload = _payload(saves, spec, train)
        group.train = RunaiTrainingOperator(**given("train", **payload, **platform, **storage))
        root = _named_root(group.train.spec)
        group.select = RunaiSelectCheckpointOperator(**given("select", root=root, **storage))
        group.train >> group.select
        group.evaluate = group.promote = None
        if evaluate is not None:
            judged = {"metrics": f"{run_root}/metrics.json", "gates": gates, "champion": champion}
            payload = {**_payload(spec, evaluate), **judged, "checkpoint": group.select.output}
            group.evaluate = RunaiEvaluationOperator(
                **given("evaluate", **payload, **platform, **storage)
            )
            if champion is not None:
                result = {"champion": champion, "evaluation": group.evaluate.output}
                group.promote = RunaiPromoteCheckpointOperator(
                    **given("promote", **result, **storage)
                )
    return group


def _payload_problems(**payloads: object) -> Iterator[str]:
    for name, payload in payloads.items():
        if not isinstance(payload, (str, Mapping)):
            yield (
                f"{name}: {cut(repr(payload))}; allowed: a specification (a mapping) "
                "or a command line (a text)"
            )


def _chain_problems(
    evaluate: object, gates: object, champion: object, own: Iterable[str]
) -> Iterator[str]:
    made = TASKS[: 2 if evaluate is None else 3 if champion is None else 4]
    for name in own:
        if name not in TASKS:
            yield f"task_arguments.{name}: no task; {nearest(name, TASKS)}"
        elif name not in made:
            yield f"task_arguments.{name}: set, but there is no such task here; leave it out"
    for name, value in {"gates": gates, "champion": champion}.items():
        if value and evaluate is None:
            yield f"{name}: set, without an evaluation; give `evaluate`, or leave {name} out"


def _known(**arguments: Any) -> JsonObject:
    """Return the arguments that are given; an operator has defaults of its own for the rest."""
    return {name: value for name, value in arguments.items() if value is not None}


def _payload(*layers: Mapping[str, Any] | str | None) -> JsonObject:
    """
    Return what a task runs.

    :param layers: specifications, the strongest last; a text is a command line.
    """
    spec: JsonObject = {}
    command_line = None
    for layer in layers:
        if isinstance(layer, str):
            command_line = layer
        else:
            spec = deep_merge(spec, layer or {})
    return {"spec": spec, **_known(command_line=command_line)}


def _named_root(spec: Any) -> str:
    """Return where the training is told to save; its author may have named another place."""
    environment = spec.get("environment") if isinstance(spec, Mapping) else None
    named = environment.get("CHECKPOINTS") if isinstance(environment, Mapping) else None
    if not isinstance(named, str) or not named:
        raise SpecError(
            [
                f"environment.CHECKPOINTS: {named!r}; allowed: where the training saves, a "
                "container path or a URI; leave it out to save in a folder of run_root"
            ]
        )
    return named
