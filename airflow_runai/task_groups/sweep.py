"""A sweep as one call: train → select → evaluate for each trial, then the best."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from airflow.sdk import XComArg, task_group

from airflow_runai.core.jinja import PlainText, literal
from airflow_runai.core.json_merge import JsonObject, deep_merge
from airflow_runai.core.sweep.draw import Sampler, check_count, draw
from airflow_runai.core.sweep.space import read_space
from airflow_runai.core.sweep.study import StudySampler, read_study_sampler
from airflow_runai.core.sweep.trials import Trial, make_trials
from airflow_runai.deployment import configuration
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.operators.promotion import RunaiPromoteCheckpointOperator
from airflow_runai.operators.study import (
    RunaiAskStudyOperator,
    RunaiTellStudyOperator,
    trial_of,
)
from airflow_runai.operators.sweep import RunaiBestTrialOperator
from airflow_runai.task_groups.chain import (
    Chain,
    ChainArguments,
    known,
    make_chain,
    read_task_arguments,
)
from airflow_runai.task_groups.run_roots import RunRootGroup
from airflow_runai.task_groups.study import make_ask, make_tell
from airflow_runai.task_groups.sweep_checks import (
    check_enough,
    check_sweep,
    check_variables,
    refuse_mapped,
)
from airflow_runai.tasks.declaration import names_its_group

#: How a mapped task is shown that has variants.
LABEL = "{{ task.variants[ti.map_index].label }}"

#: The trials; or the output of the task that asks for them.
Tried: TypeAlias = "Sequence[Trial] | XComArg"


class Sweep(RunRootGroup):
    """
    The tasks of :func:`runai_sweep`.

    :ivar trials: what is tried, by map index; empty if only a study knows.
    :ivar chain: the mapped tasks: ``train``, ``select``, ``evaluate``.
    :ivar promote: ``None`` in a sweep without a champion.
    :ivar ask: ``None`` in a sweep without a study.
    :ivar tell: the same.
    """

    trials: tuple[Trial, ...]
    chain: Chain
    best: RunaiBestTrialOperator
    promote: RunaiPromoteCheckpointOperator | None
    ask: RunaiAskStudyOperator | None
    tell: RunaiTellStudyOperator | None


@names_its_group
def runai_sweep(
    group_id: str = "sweep",
    *,
    run_root: str,
    train: Mapping[str, Any],
    evaluate: Mapping[str, Any] | str,
    metric: str,
    max_live: int,
    space: Mapping[str, Any] | Iterable[Mapping[str, Any]],
    sampler: Sampler = "grid",
    pass_as: str = "arguments",
    submit_when: str = "now",
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

    Each trial is a training of its own, in a folder of its own below ``run_root``. A trial that
    fails costs the others nothing. A cleared or repeated trial keeps its workload's name.

    :param group_id: of the group, and so the beginning of the tasks' ids.
    :param run_root: directory of one run, as the containers call it, or a URI; templated.
    :param train: what each trial runs: a specification; the trial's parameters are added.
    :param evaluate: what judges a trial's checkpoint: a specification or a command line.
    :param metric: of the evaluation, by which trials are compared.
    :param max_live: workloads of one run, trainings and evaluations together, that may live at the
        same time (``docs/room.md``); from 1.
    :param space: names of parameters to their values (``docs/sweeps.md``); or an iterable, the
        parameters of each trial, with what its training has for itself as ``spec``.
    :param sampler: ``grid``: all points of the space; or so many of them: ``{"random": 20, "seed":
        1}``, or ``{"even": 20}`` with smaller gaps. The same seed draws the same points. Optuna is
        asked when the DAG runs: ``{"optuna": 20, "study": …}`` (``docs/optuna.md``).
    :param pass_as: ``arguments``: ``lr=0.02``, after the training's own; ``environment``: ``LR``.
    :param submit_when: which GPUs each training waits for before it is submitted: ``now``,
        ``quota``, ``idle``, as for ``RunaiTrainingOperator``. Evaluations wait for a slot alone,
        because a trial without a score has wasted its training.
    :param mode: ``max`` or ``min``: which end of the metric is best.
    :param min_successful: with fewer finite metrics the sweep fails.
    :param champion: the pointer that the best trial is promoted to; ``None``: none; templated.
    :param gates: conditions that a trial's metrics must meet to be compared at all; they may
        compare with the champion; templated.
    :param spec: what training and evaluation share, such as image and storage.
    :param path_map: container prefixes to worker prefixes; templated.
    :param storage_conn_id: Airflow connection for object storage; templated.
    :param task_arguments: further arguments of the operators, by task: ``train, select, evaluate,
        best, promote, ask, tell``.
    :param group_arguments: further arguments of Airflow's ``TaskGroup``, such as ``default_args``,
        which may hold ``runai_conn_id``, ``project`` and ``pool``.
    :raises SpecError: if arguments are wrong, or contradict each other.
    """
    check_sweep(train, max_live, pass_as, spec)
    study = read_study_sampler(sampler)
    trials = _known(space, sampler, study)
    check_enough(min_successful, len(trials) if study is None else study.count)
    own = with_champion(task_arguments, champion)
    beside = ("best", *known(promote=champion), *(() if study is None else ("ask", "tell")))
    last = {name: own.pop(name, {}) for name in beside}
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
        own=own,
    )
    arguments.check()  # before there is a group
    sweep = _group(Sweep(group_id=group_id, **group_arguments), f"{root}/trials", trials)
    goal = {"metric": metric, "mode": mode}
    with sweep:
        sweep.ask = sweep.tell = sweep.promote = None
        if study is not None:
            asking = {**goal, "path_map": path_map}
            sweep.ask = make_ask(study, str(sweep.group_id), space, asking, last["ask"])
        tried = trials if sweep.ask is None else sweep.ask.output
        run = deep_merge(spec or {}, train)
        mapped = _of_trials(own, tried, run, pass_as, max_live, submit_when)
        evaluated = _trials(sweep, replace(arguments, own=mapped))
        report = {"report": f"{root}/trials.json", "min_successful": min_successful, **storage}
        sweep.best = _best(evaluated, tried, {**goal, **report, **last["best"]})
        if sweep.ask is not None:
            sweep.tell = make_tell(sweep.ask, evaluated, last["tell"])
        if champion is not None:
            sweep.promote = promote_best(sweep.best, champion, storage, last["promote"])
    return sweep


def _group(sweep: Sweep, folder: str, trials: tuple[Trial, ...]) -> Sweep:
    refuse_mapped(sweep)
    sweep.keep_in(folder)
    sweep.trials = trials
    return sweep


def _known(space: Any, sampler: Sampler, study: StudySampler | None) -> tuple[Trial, ...]:
    """Return the trials, as far as the DAG file decides; what a study is asked for is checked."""
    limit = configuration.max_map_length()
    if study is None:
        return make_trials(draw(space, sampler, limit))
    check_count(study.count, limit)
    make_trials([{one.name: "" for one in read_space(space)}])
    return ()


def _trials(sweep: Sweep, arguments: ChainArguments) -> RunaiEvaluationOperator:
    """Make the mapped tasks, and return the last one of each trial."""

    @task_group(group_id="trial")
    def trial(label: str) -> None:
        sweep.chain = make_chain(arguments)

    if sweep.ask is None:
        trial.expand(label=[one.label for one in sweep.trials])
    else:
        sweep.ask >> trial.expand(label=[str(number) for number in range(sweep.ask.count)])
    share_slots([sweep.chain])
    assert sweep.chain.evaluate is not None, "a sweep has an evaluation"
    return sweep.chain.evaluate


def share_slots(chains: Sequence[Chain]) -> None:
    """Let the workloads of chains count together, and with those that their author has named."""
    submit = [task for one in chains for task in (one.train, one.evaluate) if task is not None]
    for task in submit:
        task.max_live_with = [*(one.task_id for one in submit), *task.max_live_with]


def _best(
    evaluate: RunaiEvaluationOperator, tried: Tried, given: JsonObject
) -> RunaiBestTrialOperator:
    points = _each(tried, lambda one: dict(one.parameters))
    found = {"points": points, "trigger_rule": "all_done"}
    best = RunaiBestTrialOperator(
        **{**found, "evaluations": evaluate.task_id, **given, "task_id": "best"}
    )
    evaluate >> best
    return best


def promote_best(
    best: RunaiBestTrialOperator, champion: str, storage: JsonObject, given: Mapping[str, Any]
) -> RunaiPromoteCheckpointOperator:
    """Make the promotion of what *best* has chosen; ``given`` are further arguments."""
    result = {"champion": champion, "evaluation": best.output, **storage}
    return RunaiPromoteCheckpointOperator(**{**result, **given, "task_id": "promote"})


def _each(tried: Tried, make: Callable[[Trial], JsonObject]) -> list[JsonObject] | XComArg:
    """Return what is made of each trial; of those that are asked for, when a task runs."""
    if isinstance(tried, XComArg):
        return tried.map(lambda row: make(trial_of(row)))
    return [make(one) for one in tried]


def with_champion(
    own: Mapping[str, Mapping[str, Any]] | None, champion: str | None
) -> dict[str, Mapping[str, Any]]:
    """Return the arguments of tasks with the champion for gates that compare with it."""
    given = read_task_arguments(own)
    return {**given, "evaluate": {**known(champion=champion), **given.get("evaluate", {})}}


def _of_trials(
    own: Mapping[str, Mapping[str, Any]],
    tried: Tried,
    train: Mapping[str, Any],
    pass_as: str,
    max_live: int,
    submit_when: str,
) -> JsonObject:
    """Return what the mapped tasks get beside what a retraining's have."""
    cap = {"max_active_tis_per_dagrun": max_live, "max_live": max_live}
    shared: JsonObject = {**cap, "map_index_template": LABEL}
    variants = _each(tried, lambda one: variant_of(one, train, pass_as))
    names = _each(tried, named)
    return {
        "train": {
            "variants": variants,
            "submit_when": submit_when,
            **shared,
            **own.get("train", {}),
        },
        "select": own.get("select", {}),
        "evaluate": {"variants": names, **shared, **own.get("evaluate", {})},
    }


def variant_of(one: Trial, train: Mapping[str, Any], pass_as: str) -> JsonObject:
    """
    Return what a trial's training has for itself; Jinja changes nothing of its parameters.

    :param train: what all trainings run.
    :raises SpecError: if a parameter would replace a variable that a script needs.
    """
    if pass_as == "environment":
        check_variables(one.environment())
        variables = {name: literal(value) for name, value in one.environment().items()}
        patch: JsonObject = {"environment": variables}
    else:
        words = [deep_merge(train, one.spec).get("args"), literal(shlex.join(one.arguments()))]
        patch = {"args": PlainText(" ".join(filter(None, words)))}
    spec = deep_merge(one.spec, {key: value for key, value in patch.items() if value})
    shown = named(one)
    return {**shown, "spec": deep_merge(shown["spec"], spec)}


def named(one: Trial) -> JsonObject:
    """Return by what people find the workloads of a trial."""
    labels = {name: literal(value) for name, value in one.labels().items()}
    spec = {"labels": labels} if labels else {}
    return {"spec": spec, "workload_name": one.name, "label": one.label}
