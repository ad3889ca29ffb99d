"""What came of the trials of a sweep, as the results of its evaluations tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from airflow.sdk import XComArg

from airflow_runai.core.sweep.ranking import Result
from airflow_runai.core.sweep.trials import Trial
from airflow_runai.core.texts import cut
from airflow_runai.errors import RunaiError

if TYPE_CHECKING:
    from airflow.sdk import Context

_NO_RESULT = "no result: its training, its checkpoint or its evaluation did not succeed"


def pull_evaluations(context: Context, evaluations: str, count: int) -> Sequence[Any]:
    """Return the results of a mapped task's first instances; ``None`` where there is none."""
    pulled: Sequence[Any] = context["ti"].xcom_pull(
        task_ids=evaluations, map_indexes=range(count), default=None
    )
    return pulled


def has_metrics(evaluation: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether something is the result of an evaluation."""
    return isinstance(evaluation, Mapping) and isinstance(evaluation.get("metrics"), Mapping)


def result_of(trial: Trial, evaluation: object, rung: int = 0) -> Result:
    """Return what came of a trial; ``evaluation`` is data."""
    if not has_metrics(evaluation):
        return Result(trial, None, _NO_RESULT, rung)
    if evaluation.get("passed") is False:
        return Result(trial, None, cut(f"did not pass: {evaluation.get('failures')}"), rung)
    return Result(trial, evaluation["metrics"], rung=rung)


def resolved(what: str, value: Any, context: Context) -> Any:
    """
    Return what an argument stands for: the result of an earlier task, or itself.

    :param what: its name, for the error.
    :raises RunaiError: if that task has no result, for example because it was cleared.
    """
    if not isinstance(value, XComArg):
        return value
    try:
        return value.resolve(context)
    except ValueError:  # Airflow maps no result that is not there
        task = next(iter(value.iter_references()))[0].task_id
        raise RunaiError(f"{what}: task {task!r} has no result now; run it first") from None
