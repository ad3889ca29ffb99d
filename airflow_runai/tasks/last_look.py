"""What a worker finds out when a wait has ended: the checkpoints that are there, and the nodes."""

from __future__ import annotations

import logging
from dataclasses import replace

from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError

from airflow_runai.core.incarnations import nodes_of, shown_lives
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.progress import StepProgress
from airflow_runai.core.saves import gathered, of_this_run
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
    known = outcome.progress
    seen = known.checkpoints if known else ()
    found = read_here(root.published_saves) if root else None
    if root is None or found is None:
        return outcome, None
    published, torn = found
    lives = runs(outcome.timeline, outcome.ended_at)
    starts = [life.start for life in lives[1:]]
    every = [one for one in gathered(seen, published, starts) if one not in torn]
    if not every:
        return outcome, Saves((), is_whole=True)
    newest = max(of_this_run(every, outcome.timeline[0].at, lives[-1].start if lives else None))
    progress = replace(
        known or StepProgress(newest.step, target=root.expected_steps),
        step=newest.step,
        checkpoints=tuple(every),
    )
    outcome = replace(outcome, progress=progress)
    if not all(one.at > 0 for one in every):
        return outcome, None  # a storage without times
    return outcome, Saves(every, read_here(root.save_seconds), progress.is_whole)


def lives_of(hook: RunaiHook, outcome: Outcome) -> list[JsonObject]:
    """
    Return when and where each incarnation lived, as the tab shows it; never raises.

    :return: none for a workload that was not interrupted: it is not worth two requests.
    """
    lives = runs(outcome.timeline, outcome.ended_at)
    if len(lives) < 2:
        return []
    try:
        nodes = nodes_of(hook.run(hook.backend.pods(outcome.workload(), gone=True)), lives)
    except (RunaiError, AirflowException, AirflowRuntimeError, OSError) as error:
        log.info("on which nodes %s ran is not known (%s)", outcome.name, error)
        nodes = []
    return shown_lives(outcome.timeline, nodes)
