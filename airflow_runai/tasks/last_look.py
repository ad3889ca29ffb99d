"""What a worker finds out when a wait has ended: the checkpoints that are there, and the nodes."""

from __future__ import annotations

import logging
from dataclasses import replace

from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError

from airflow_runai.backends.pods import pods_ever
from airflow_runai.core.incarnations import nodes_of, shown_lives
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.progress import StepProgress
from airflow_runai.core.saves import gathered
from airflow_runai.core.usage import runs
from airflow_runai.errors import RunaiError
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.tasks.checkpoint_root import CheckpointRoot
from airflow_runai.tasks.step_readers import read_here
from airflow_runai.tasks.usage_report import Saves

log = logging.getLogger(__name__)


def last_look(outcome: Outcome, root: CheckpointRoot | None) -> tuple[Outcome, Saves | None]:
    """
    Look at the checkpoints once more; never raises.

    :return: the outcome with all that were seen, and what usage needs of them: ``None`` where they
        cannot be seen.
    """
    found = read_here(root.saves) if root else None
    if root is None or found is None:
        return outcome, None
    if not found:
        return outcome, Saves((), is_whole=True)
    newest = max(found).step
    known = outcome.progress or StepProgress(newest, target=root.expected_steps)
    starts = [life.start for life in runs(outcome.timeline, outcome.ended_at)[1:]]
    every = gathered(known.checkpoints, found, starts)
    progress = replace(known, step=max(known.step, newest), checkpoints=every)
    times = [one.at for one in every if one.at > 0]
    saves = Saves(times, read_here(root.save_seconds), progress.is_whole)
    return replace(outcome, progress=progress), saves


def lives_of(hook: RunaiHook, outcome: Outcome) -> list[JsonObject]:
    """Return when and where each incarnation lived, as the tab shows it; never raises."""
    lives = runs(outcome.timeline, outcome.ended_at)
    if not lives:
        return []
    try:
        nodes = nodes_of(hook.run(pods_ever(outcome.workload_id)), lives)
    except (RunaiError, AirflowException, AirflowRuntimeError, OSError) as error:
        log.info("on which nodes %s ran is not known (%s)", outcome.name, error)
        nodes = []
    return shown_lives(outcome.timeline, nodes)
