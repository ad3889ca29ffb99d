"""The tasks around a sweep whose trials a study is asked for: ``ask`` before, ``tell`` after."""

from __future__ import annotations

from typing import Any

from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.sweep.study import StudySampler
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.operators.study import RunaiAskStudyOperator, RunaiTellStudyOperator

#: Arguments that both tasks share.
_SHARED = ("study", "study_name", "metric", "mode", "path_map")


def make_ask(
    sampler: StudySampler,
    group_id: str,
    space: Any,
    goal: JsonMapping,
    given: JsonMapping,
) -> RunaiAskStudyOperator:
    """
    Make the task that asks for trials.

    :param group_id: of the sweep: by default, each sweep of each DAG has a study of its own.
    :param goal: what both tasks are told of the sweep.
    :param given: arguments that win.
    """
    name = sampler.name or f"{{{{ dag.dag_id }}}}.{group_id}"
    storage = {"study": sampler.study, "study_name": name}
    wanted = {"space": space, "count": sampler.count, "seed": sampler.seed}
    return RunaiAskStudyOperator(**{**storage, **goal, **wanted, **given, "task_id": "ask"})


def make_tell(
    ask: RunaiAskStudyOperator, evaluate: RunaiEvaluationOperator, given: JsonMapping
) -> RunaiTellStudyOperator:
    """Make the task that tells what came of the trials, whatever became of them."""
    shared: JsonObject = {name: getattr(ask, name) for name in _SHARED}
    found = {"asked": ask.output, "evaluations": evaluate.task_id, "trigger_rule": "all_done"}
    tell = RunaiTellStudyOperator(**{**shared, **found, **given, "task_id": "tell"})
    evaluate >> tell
    return tell
