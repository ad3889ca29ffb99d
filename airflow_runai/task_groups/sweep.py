"""A sweep as one call: train → select → evaluate for each trial, then the best."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import TaskGroup, task_group

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.sweep.draw import Sampler, draw
from airflow_runai.core.sweep.trials import Trial, make_trials
from airflow_runai.core.values import nearest
from airflow_runai.deployment import configuration
from airflow_runai.errors import SpecError
from airflow_runai.operators.promotion import RunaiPromoteCheckpointOperator
from airflow_runai.operators.sweep import RunaiBestTrialOperator
from airflow_runai.task_groups.chain import Chain, ChainArguments, make_chain
from airflow_runai.tasks.declaration import names_its_group

PASS_AS = ("arguments", "environment")
#: How a mapped task is shown that has variants.
LABEL = "{{ task.variants[ti.map_index].label }}"


class Sweep(TaskGroup):
    """
    The tasks of :func:`runai_sweep`.

    :ivar trials: what is tried, by map index.
    :ivar chain: the mapped tasks: ``train``, ``select``, ``evaluate``.
    :ivar promote: ``None`` in a sweep without a champion.
    """

    trials: tuple[Trial, ...]
    chain: Chain
    best: RunaiBestTrialOperator
    promote: RunaiPromoteCheckpointOperator | None


@names_its_group
def runai_sweep(
    group_id: str = "sweep",
    *,
    run_root: str,
    train: Mapping[str, Any],
    evaluate: Mapping[str, Any] | str,
    metric: str,
    max_live: int,
    space: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    sampler: Sampler = "grid",
    pass_as: str = "arguments",
    mode: str = "max",
    min_successful: int = 1,
    champion: str | None = None,
    gates: Sequence[str] = (),
    spec: Mapping[str, Any] | None = None,
    path_map: Mapping[str, str] | None = None,
    storage_conn_id: str | None = None,
    task_arguments: Mapping[str, Mapping[str, Any]] | None = None,
    **group_arguments: Any,
) -> Sweep:
    """
    Make the tasks of a sweep.

    Each trial is a training of its own, in a place of its own below ``run_root``. A trial that
    fails costs the others nothing. A cleared or repeated trial keeps its workload's name.

    :param group_id: of the group, and so the beginning of the tasks' ids.
    :param run_root: directory of one run, as the containers call it, or a URI; templated.
    :param train: what each trial runs: a specification; the trial's parameters are added.
    :param evaluate: what judges a trial's checkpoint: a specification or a command line.
    :param metric: of the evaluation, by which trials are compared.
    :param max_live: trials of one run that may have a workload at the same time: so many trainings,
        and so many evaluations.
    :param space: names of parameters to their values (``docs/sweeps.md``); or a list, the
        parameters of each trial.
    :param sampler: ``grid``: all points of the space; or so many of them: ``{"random": 20, "seed":
        1}``, or ``{"even": 20}`` with smaller gaps. The same seed draws the same points.
    :param pass_as: ``arguments``: ``lr=0.02``, after the training's own; ``environment``: ``LR``.
    :param mode: ``max`` or ``min``: which end of the metric is best.
    :param min_successful: with fewer finite metrics the sweep fails.
    :param champion: the pointer that the best trial is promoted to; ``None``: none; templated.
    :param gates: conditions that a trial's metrics must meet to be compared at all; templated.
    :param spec: what training and evaluation share, such as image and storage.
    :param path_map: container prefixes to worker prefixes; templated.
    :param storage_conn_id: Airflow connection for object storage; templated.
    :param task_arguments: further arguments of the operators, by task: ``train, select, evaluate,
        best, promote``.
    :param group_arguments: further arguments of Airflow's ``TaskGroup``, such as ``default_args``,
        which may hold ``runai_conn_id``, ``project`` and ``pool``.
    :raises SpecError: if arguments are wrong, or contradict each other.
    """
    check_sweep(train, max_live, pass_as)
    tried = make_trials(draw(space, sampler, configuration.max_map_length()))
    own = dict(task_arguments or {})
    last = {name: own.pop(name, {}) for name in ("best", "promote")}
    storage: JsonObject = {"path_map": path_map, "storage_conn_id": storage_conn_id}
    root = run_root.rstrip("/")
    arguments = ChainArguments(
        run_root=f"{root}/trials/{{{{ ti.map_index }}}}",
        train=train,
        evaluate=evaluate,
        gates=gates,
        champion=None,
        spec=spec,
        storage=storage,
        platform={},
        own=_of_trials(own, tried, train, pass_as, max_live),
    )
    arguments.check()  # before there is a group
    sweep = Sweep(group_id=group_id, **group_arguments)
    sweep.trials = tried
    with sweep:
        _trials(sweep, arguments)
        goal = {"metric": metric, "mode": mode, "min_successful": min_successful}
        report = {"report": f"{root}/trials.json", **storage}
        sweep.best = _best(sweep, {**goal, **report, **last["best"]})
        sweep.promote = None
        if champion is not None:
            result = {"champion": champion, "evaluation": sweep.best.output, **storage}
            sweep.promote = RunaiPromoteCheckpointOperator(
                **{**result, **last["promote"], "task_id": "promote"}
            )
    return sweep


def _trials(sweep: Sweep, arguments: ChainArguments) -> None:
    @task_group(group_id="trial")
    def trial(label: str) -> None:
        sweep.chain = make_chain(arguments)

    trial.expand(label=[one.label for one in sweep.trials])


def _best(sweep: Sweep, given: JsonObject) -> RunaiBestTrialOperator:
    evaluate = sweep.chain.evaluate
    assert evaluate is not None, "a sweep has an evaluation"
    found = {"points": [dict(one.parameters) for one in sweep.trials], "trigger_rule": "all_done"}
    best = RunaiBestTrialOperator(
        **{**found, "evaluations": evaluate.task_id, **given, "task_id": "best"}
    )
    evaluate >> best
    return best


def check_sweep(train: object, max_live: object, pass_as: str) -> None:
    """
    Find what no sweep can be made of.

    :raises SpecError: listing all of it.
    """
    problems = []
    if not isinstance(train, Mapping):
        problems.append("train: a text; allowed: a specification, to which parameters are added")
    if isinstance(max_live, bool) or not isinstance(max_live, int) or max_live < 1:
        problems.append(f"max_live: {max_live!r}; allowed: a whole number from 1")
    if pass_as not in PASS_AS:
        problems.append(f"pass_as: {pass_as!r}; {nearest(pass_as, PASS_AS)}")
    if problems:
        raise SpecError(problems)


def _of_trials(
    own: Mapping[str, Mapping[str, Any]],
    tried: Sequence[Trial],
    train: Mapping[str, Any],
    pass_as: str,
    max_live: int,
) -> JsonObject:
    """Return what the mapped tasks get beside what a retraining's have."""
    cap = {"max_active_tis_per_dagrun": max_live, "map_index_template": LABEL}
    variants = [variant_of(one, train, pass_as) for one in tried]
    names = [{"workload_name": one.name, "label": one.label} for one in tried]
    return {
        "train": {"variants": variants, **cap, **own.get("train", {})},
        "select": own.get("select", {}),
        "evaluate": {"variants": names, **cap, **own.get("evaluate", {})},
    }


def variant_of(one: Trial, train: Mapping[str, Any], pass_as: str) -> JsonObject:
    """Return what a trial's training has for itself."""
    if pass_as == "environment":
        patch: JsonObject = {"environment": one.environment()}
    else:
        before = str(train.get("args") or "")
        patch = {"args": f"{before} {shlex.join(one.arguments())}".strip()}
    return {"spec": patch, "workload_name": one.name, "label": one.label}
