"""The chain train → select → evaluate → promote, in whatever task group it stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_runai.core.json_merge import JsonObject, deep_merge
from airflow_runai.core.texts import cut
from airflow_runai.core.values import nearest
from airflow_runai.errors import SpecError
from airflow_runai.operators.checkpoint import RunaiSelectCheckpointOperator
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.operators.promotion import RunaiPromoteCheckpointOperator
from airflow_runai.operators.training import RunaiTrainingOperator

#: Ids of the tasks, in their order.
TASKS = ("train", "select", "evaluate", "promote")


class Chain(NamedTuple):
    """The tasks of a chain; ``None`` for an evaluation or a promotion that nobody asked for."""

    train: RunaiTrainingOperator
    select: RunaiSelectCheckpointOperator
    evaluate: RunaiEvaluationOperator | None = None
    promote: RunaiPromoteCheckpointOperator | None = None


@dataclass(frozen=True)
class ChainArguments:
    """
    What a chain's tasks are made of; :func:`runai_retraining` describes each part.

    :param spec: what training and evaluation share.
    :param storage: ``path_map`` and ``storage_conn_id``.
    :param platform: ``runai_conn_id`` and ``project``.
    :param own: further arguments of the operators, by task; they win.
    """

    run_root: str
    train: Mapping[str, Any] | str
    evaluate: Mapping[str, Any] | str | None
    gates: Sequence[str]
    champion: str | None
    spec: Mapping[str, Any] | None
    storage: JsonObject
    platform: JsonObject
    own: Mapping[str, Mapping[str, Any]]

    def check(self) -> None:
        """
        Find what contradicts itself.

        :raises SpecError: listing all of it.
        """
        problems = [
            *_payload_problems(train=self.train, **known(evaluate=self.evaluate)),
            *_chain_problems(self.evaluate, self.gates, self.champion, self.own),
        ]
        if not self.run_root.strip("/"):
            problems.append(
                f"run_root: {self.run_root!r}; allowed: a directory, different for each run"
            )
        if problems:
            raise SpecError(problems)

    def task(self, task_id: str, **defaults: Any) -> JsonObject:
        """Return the arguments of a task."""
        return {**defaults, **self.own.get(task_id, {}), "task_id": task_id}


def make_chain(given: ChainArguments) -> Chain:
    """
    Make the tasks of a chain in the current task group.

    :raises SpecError: if their arguments contradict each other.
    """
    given.check()
    saves = {"environment": {"CHECKPOINTS": f"{_root(given)}/checkpoints"}}
    payload = _payload(saves, given.spec, given.train)
    shared = {**given.platform, **given.storage}
    train = RunaiTrainingOperator(**given.task("train", **payload, **shared))
    root = _named_root(train.spec)
    select = RunaiSelectCheckpointOperator(**given.task("select", root=root, **given.storage))
    train >> select
    if given.evaluate is None:
        return Chain(train, select)
    evaluate = _evaluation(given, select)
    if given.champion is None:
        return Chain(train, select, evaluate)
    result = {"champion": given.champion, "evaluation": evaluate.output}
    promote = RunaiPromoteCheckpointOperator(**given.task("promote", **result, **given.storage))
    return Chain(train, select, evaluate, promote)


def _evaluation(
    given: ChainArguments, select: RunaiSelectCheckpointOperator
) -> RunaiEvaluationOperator:
    payload = _payload(given.spec, given.evaluate)
    judged = {
        "metrics": f"{_root(given)}/metrics.json",
        "gates": given.gates,
        "champion": given.champion,
        "checkpoint": select.output,
    }
    shared = {**given.platform, **given.storage}
    return RunaiEvaluationOperator(**given.task("evaluate", **payload, **judged, **shared))


def _root(given: ChainArguments) -> str:
    return given.run_root.rstrip("/")


def known(**arguments: Any) -> JsonObject:
    """Return the arguments that are given; an operator has defaults of its own for the rest."""
    return {name: value for name, value in arguments.items() if value is not None}


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


def read_task_arguments(given: object) -> Mapping[str, Mapping[str, Any]]:
    """
    Return further arguments of operators, by task.

    :raises SpecError: if they are nothing of the kind.
    """
    own = {} if given is None else given
    if not isinstance(own, Mapping):
        raise SpecError(
            [f"task_arguments: {cut(repr(own))}; allowed: a mapping of tasks to their arguments"]
        )
    problems = [
        f"task_arguments.{name}: {cut(repr(value))}; allowed: a mapping of arguments to values"
        for name, value in own.items()
        if not isinstance(value, Mapping)
    ]
    if problems:
        raise SpecError(problems)
    return own


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
    return {"spec": spec, **known(command_line=command_line)}


def _named_root(spec: Any) -> str:
    """Return where the training is told to save; its author may have named another one."""
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
