"""Successive halving as one call: all trials begin, and at each rung the best go on (ASHA)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow.sdk import TaskGroup, task_group

from airflow_runai.core.json_merge import JsonObject, deep_merge
from airflow_runai.core.sweep.draw import Sampler, draw
from airflow_runai.core.sweep.halving import rungs
from airflow_runai.core.sweep.trials import Trial, make_trials
from airflow_runai.core.values import nearest
from airflow_runai.deployment import configuration
from airflow_runai.errors import SpecError
from airflow_runai.operators.promotion import RunaiPromoteCheckpointOperator
from airflow_runai.operators.sweep import RunaiBestTrialOperator
from airflow_runai.operators.trial_end import RunaiEndTrialOperator
from airflow_runai.operators.trial_gate import RunaiTrialGateOperator
from airflow_runai.task_groups.chain import Chain, ChainArguments, make_chain
from airflow_runai.task_groups.run_roots import RunRootGroup
from airflow_runai.task_groups.sweep import (
    LABEL,
    named,
    promote_best,
    share_slots,
    variant_of,
    with_champion,
)
from airflow_runai.task_groups.sweep_checks import check_enough, check_sweep, refuse_mapped
from airflow_runai.tasks.declaration import names_its_group

_TASKS = ("train", "select", "evaluate", "gate", "end", "best", "promote")
#: Their work is a few files, which a storage that is away for a moment must not cost a trial.
_RETRIES = 5


class SuccessiveHalving(RunRootGroup):
    """
    The tasks of :func:`runai_successive_halving`.

    :ivar trials: what is tried, by map index.
    :ivar rungs: the step at which each rung ends.
    :ivar chains: the mapped tasks of each rung: ``train``, ``select``, ``evaluate``.
    :ivar rung_gates: the mapped gate of each rung but the last.
    :ivar promote: ``None`` in a sweep without a champion.
    """

    trials: tuple[Trial, ...]
    rungs: tuple[int, ...]
    chains: list[Chain]
    rung_gates: list[RunaiTrialGateOperator]
    best: RunaiBestTrialOperator
    promote: RunaiPromoteCheckpointOperator | None


@dataclass(frozen=True)
class _Arguments:
    """What the tasks are made of; :func:`runai_successive_halving` describes each part."""

    root: str
    eta: int
    goal: JsonObject
    max_live: int
    pass_as: str
    submit_when: str
    steps_as: str
    chain: ChainArguments
    own: Mapping[str, Mapping[str, Any]]

    def files(self) -> JsonObject:
        """Return where the gates meet."""
        return {"folder": f"{self.root}/rungs", **self.chain.storage}


@names_its_group
def runai_successive_halving(  # noqa: PLR0913  # runai_sweep's, and four
    group_id: str = "halving",
    *,
    run_root: str,
    train: Mapping[str, Any],
    evaluate: Mapping[str, Any] | str,
    metric: str,
    max_live: int,
    space: Mapping[str, Any] | Iterable[Mapping[str, Any]],
    max_steps: int,
    eta: int = 3,
    min_steps: int = 1,
    steps_as: str = "max_steps",
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
) -> SuccessiveHalving:
    """
    Make the tasks of a sweep that gives most steps to the trials that deserve them.

    All trials train up to the first rung. Of those that have a result there, the best 1/η go on to
    the next, from their newest valid checkpoint; nobody waits for the slowest. See
    ``docs/halving.md``.

    :param group_id: of the group, and so the beginning of the tasks' ids.
    :param run_root: directory of one run, as the containers call it, or a URI; templated.
    :param train: what each trial runs: a specification; the trial's parameters are added.
    :param evaluate: what judges a trial's checkpoint: a specification or a command line.
    :param metric: of the evaluation, by which trials are compared.
    :param max_live: workloads of one run that may live at the same time, on all rungs together.
    :param space: names of parameters to their values; or an iterable, the parameters of each trial,
        with what its training has for itself as ``spec``.
    :param max_steps: where the last rung ends: a whole number, in a unit of the training's own.
    :param eta: one of so many goes on, from 2.
    :param min_steps: the first rung ends there or later.
    :param steps_as: parameter by which a training is told where to stop, counted from the beginning
        of the trial: ``max_steps=100`` in its arguments, or ``MAX_STEPS`` in its environment.
    :param sampler: ``grid``: all points of the space; or so many of them: ``{"random": 20, "seed":
        1}``, or ``{"even": 20}`` with smaller gaps. The same seed draws the same points.
    :param pass_as: ``arguments``: ``lr=0.02``, after the training's own; ``environment``: ``LR``.
    :param submit_when: which GPUs each training waits for before it is submitted: ``now``,
        ``quota``, ``idle``, as for ``RunaiTrainingOperator``. Evaluations wait for a slot alone.
    :param mode: ``max`` or ``min``: which end of the metric is best.
    :param min_successful: with fewer finite metrics the sweep fails.
    :param champion: the pointer that the best trial is promoted to; ``None``: none; templated.
    :param gates: conditions on the metrics of the last rung; with them, only its trials are
        compared at the end; templated.
    :param spec: what training and evaluation share, such as image and storage.
    :param path_map: container prefixes to worker prefixes; templated.
    :param storage_conn_id: Airflow connection for object storage; templated.
    :param task_arguments: further arguments of the operators, by task: ``train, select, evaluate``
        and ``gate`` (on each rung), ``end, best, promote``.
    :param group_arguments: further arguments of Airflow's ``TaskGroup``, such as ``default_args``,
        which may hold ``runai_conn_id``, ``project`` and ``pool``.
    :raises SpecError: if arguments are wrong, or contradict each other.
    """
    check_sweep(train, max_live, pass_as, spec)
    tried = make_trials(draw(space, sampler, configuration.max_map_length()))
    check_enough(min_successful, len(tried))
    steps = rungs(len(tried), max_steps, eta, min_steps)
    own = with_champion(task_arguments, champion)
    _check(tried, steps_as, own, [name for name in _TASKS if champion or name != "promote"])
    root = run_root.rstrip("/")
    chain = ChainArguments(
        run_root=f"{root}/trials/{{{{ ti.map_index }}}}",
        train=train,
        evaluate=evaluate,
        gates=(),
        champion=None,
        spec=spec,
        storage={"path_map": path_map, "storage_conn_id": storage_conn_id},
        platform={},
        own={},
    )
    goal = {"metric": metric, "mode": mode}
    given = _Arguments(root, eta, goal, max_live, pass_as, submit_when, steps_as, chain, own)
    chain.check()  # before there is a group
    made = SuccessiveHalving(group_id=group_id, **group_arguments)
    refuse_mapped(made)
    made.keep_in(f"{root}/trials")
    made.trials, made.rungs, made.chains, made.rung_gates = tried, steps, [], []
    with made:
        _trials(made, given, tuple(gates))
        made.best = _best(made, given, min_successful, bool(gates))
        made.promote = None
        if champion is not None:
            more = own.get("promote", {})
            made.promote = promote_best(made.best, champion, chain.storage, more)
    return made


def _trials(made: SuccessiveHalving, given: _Arguments, gates: tuple[str, ...]) -> None:
    # All rungs of a trial are in one mapped group: a task of one mapped group waits for all
    # instances of another one, whatever their map indexes.
    @task_group(group_id="trial")
    def trial(label: str) -> None:
        for number in range(len(made.rungs)):
            is_last = number + 1 == len(made.rungs)
            with TaskGroup(group_id=f"rung-{number}"):
                _rung(made, given, number, gates if is_last else ())
                if not is_last:
                    _gate(made, given, number)
        evaluate = made.chains[-1].evaluate
        assert evaluate is not None, "a rung has an evaluation"
        end = {"trials": len(made.trials), "trigger_rule": "all_done", "retries": _RETRIES}
        own = given.own.get("end", {})
        evaluate >> RunaiEndTrialOperator(**{**end, **given.files(), **own, "task_id": "end"})

    trial.expand(label=[one.label for one in made.trials])
    share_slots(made.chains)


def _rung(made: SuccessiveHalving, given: _Arguments, number: int, gates: tuple[str, ...]) -> None:
    own = _of_trials(made, given, number)
    chain = make_chain(replace(given.chain, gates=gates, own=own))
    if made.rung_gates:
        made.rung_gates[-1] >> chain.train
    made.chains.append(chain)


def _gate(made: SuccessiveHalving, given: _Arguments, number: int) -> None:
    evaluate = made.chains[-1].evaluate
    assert evaluate is not None, "a rung has an evaluation"
    asked = {"rung": number, "trials": len(made.trials), "eta": given.eta, "retries": _RETRIES}
    known = {**given.goal, **given.files(), "evaluation": evaluate.output}
    own = given.own.get("gate", {})
    made.rung_gates.append(RunaiTrialGateOperator(**{**asked, **known, **own, "task_id": "gate"}))


def _best(
    made: SuccessiveHalving, given: _Arguments, min_successful: int, has_gates: bool
) -> RunaiBestTrialOperator:
    evaluations = [one.evaluate.task_id for one in made.chains if one.evaluate is not None]
    found = {
        "points": [dict(one.parameters) for one in made.trials],
        "evaluations": evaluations[-1] if has_gates else evaluations,
        "min_successful": min_successful,
        "report": f"{given.root}/trials.json",
        "trigger_rule": "all_done",
    }
    own = given.own.get("best", {})
    best = RunaiBestTrialOperator(
        **{**found, **given.goal, **given.chain.storage, **own, "task_id": "best"}
    )
    trial: str = made.child_id("trial")  # type: ignore[no-untyped-call]  # of Airflow
    made.children[trial] >> best
    return best


def _of_trials(made: SuccessiveHalving, given: _Arguments, number: int) -> JsonObject:
    """Return what the mapped tasks of a rung get beside what a retraining's have."""
    cap = {"max_active_tis_per_dagrun": given.max_live, "max_live": given.max_live}
    shared: JsonObject = {**cap, "map_index_template": LABEL}
    until = {given.steps_as: made.rungs[number]}
    pass_as, own = given.pass_as, given.own
    assert isinstance(given.chain.train, Mapping), "it was checked"
    train = deep_merge(given.chain.spec or {}, given.chain.train)
    stopped = [replace(one, parameters={**one.parameters, **until}) for one in made.trials]
    names = [named(one) for one in made.trials]
    # The checkpoints are those of the trial, the metrics those of the rung.
    metrics = f"{given.chain.run_root}/rung-{number}.json"
    return {
        "train": {
            "variants": [variant_of(one, train, pass_as) for one in stopped],
            "submit_when": given.submit_when,
            **shared,
            **own.get("train", {}),
        },
        "select": own.get("select", {}),
        "evaluate": {"variants": names, "metrics": metrics, **shared, **own.get("evaluate", {})},
    }


def _check(
    tried: Sequence[Trial], steps_as: str, own: Mapping[str, Any], tasks: Sequence[str]
) -> None:
    problems = [
        f"task_arguments.{name}: no task; {nearest(name, tasks)}"
        for name in own
        if name not in tasks
    ]
    if not isinstance(steps_as, str) or not _plain(steps_as).isidentifier():
        problems.append(
            f"steps_as: {steps_as!r}; allowed: letters, digits, '_' and '-', no digit first"
        )
    elif _plain(steps_as) in {_plain(name) for one in tried for name in one.parameters}:
        problems.append(f"steps_as: {steps_as!r} is a parameter of the space, too; rename one")
    if problems:
        raise SpecError(problems)


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
