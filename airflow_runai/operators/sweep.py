"""Choose the best trial of a sweep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, XComArg

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.sweep.ranking import Result, best, check_goal, table
from airflow_runai.core.sweep.trials import Trial, make_trials
from airflow_runai.errors import CheckpointUnreadable, NoValidCheckpoint
from airflow_runai.links import push_xcom
from airflow_runai.tasks.failures import ReadableTask
from airflow_runai.tasks.locations import small_file
from airflow_runai.tasks.retries import fail_without_retry
from airflow_runai.tasks.trial_results import (
    has_metrics,
    pull_evaluations,
    resolved,
    result_of,
)

if TYPE_CHECKING:
    from airflow.sdk import Context


class RunaiBestTrialOperator(BaseOperator, ReadableTask):
    """
    Choose the trial with the best metric, whatever became of the others.

    The result is that of the trial's evaluation, as ``RunaiPromoteCheckpointOperator`` takes it,
    plus ``trial`` (its number), ``parameters`` and ``trials``: a row for each, with ``trial, name,
    parameters, score, rank, problem``, and ``rung`` in a successive halving. If it fails,
    ``trials`` is there alone.

    :param points: the parameters of each trial, by map index; or the output of a task.
    :param evaluations: id of the mapped task whose results are compared; or a list of them, one for
        each rung: of each trial the last one counts, and whoever came further is better.
    :param metric: name of the metric.
    :param mode: ``max`` or ``min``: which end of the metric is best.
    :param min_successful: with fewer finite scores the task fails.
    :param report: path of a JSON file for the table, as the container calls it, or a URI;
        templated.
    :param path_map: container prefixes to worker prefixes; templated.
    :param storage_conn_id: Airflow connection for object storage; templated.
    """

    template_fields: Sequence[str] = ("report", "path_map", "storage_conn_id")
    template_fields_renderers = {"path_map": "json"}
    ui_color = "#f5e3b8"

    def __init__(
        self,
        *,
        points: Sequence[Mapping[str, Any]] | XComArg,
        evaluations: str | Sequence[str],
        metric: str,
        mode: str = "max",
        min_successful: int = 1,
        report: str | None = None,
        path_map: Mapping[str, str] | None = None,
        storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_goal(metric, mode, min_successful)
        self.points = points
        self.evaluations = evaluations
        self.metric, self.mode = metric, mode
        self.min_successful = min_successful
        self.report = report
        self.path_map = path_map
        self.storage_conn_id = storage_conn_id

    def execute(self, context: Context) -> JsonObject:
        """Compare all trials, write the table, and return the best one's evaluation."""
        points = resolved("points", self.points, context)
        trials = make_trials(points, may_repeat=True)  # those that are written down do not
        last = [_last(*found) for found in zip(trials, *self._pull(context, trials), strict=True)]
        results = [result for result, _ in last]
        rows = table(results, self.metric, self.mode)
        if not isinstance(self.evaluations, str):
            rows = [{**row, "rung": one.rung} for row, one in zip(rows, results, strict=True)]
        for row in rows:
            self.log.info("%s", _line(row))
        with fail_without_retry():
            if self.report:
                self._write(rows)
            try:
                winner = best(results, self.metric, self.mode, self.min_successful).trial
            except NoValidCheckpoint:
                # Who looks at a sweep that failed wants to see its trials.
                push_xcom(context, "return_value", {"trials": rows})
                raise
        self.log.info("best: %s", winner.label)
        chosen = {"trial": winner.number, "parameters": dict(winner.parameters), "trials": rows}
        return {**last[winner.number][1], **chosen}

    def _pull(self, context: Context, trials: Sequence[Trial]) -> list[list[Any]]:
        """Return all trials' evaluations, by rung."""
        tasks = [self.evaluations] if isinstance(self.evaluations, str) else self.evaluations
        return [list(pull_evaluations(context, one, len(trials))) for one in tasks]

    def _write(self, rows: Sequence[JsonObject]) -> None:
        # Imported here: reading checkpoints is not needed to parse a DAG.
        from airflow_runai.checkpoints.checking.reader import cause

        file = small_file(str(self.report), self.path_map, self.storage_conn_id)
        try:
            file.replace(json.dumps(rows, indent=2) + "\n")
        except Exception as error:  # storage libraries raise what they like
            raise CheckpointUnreadable(
                f"report: {file} cannot be written ({cause(error)}); name a file in a folder that "
                "this worker may write to, or try again when the storage answers"
            ) from error


def _last(trial: Trial, *evaluations: Any) -> tuple[Result, JsonObject]:
    """Return the result of the last rung on which a trial has one, with its evaluation."""
    for rung, evaluation in reversed([*enumerate(evaluations)]):
        if has_metrics(evaluation):
            return result_of(trial, evaluation, rung), dict(evaluation)
    return result_of(trial, None), {}


def _line(row: JsonObject) -> str:
    score = "no finite score" if row["score"] is None else f"{row['score']:.6g}"
    return f"{row['name']}: {row['problem'] or score}"
