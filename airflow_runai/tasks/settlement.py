"""
Whether the end of a wait still holds: the worker looks again, because the event may be old.

It decides by the same :func:`decide` as the wait, from what it sees now and what the wait knew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_runai.backends.termination import stop
from airflow_runai.core.decision import WaitPolicy, decide
from airflow_runai.core.outcome import FAILED, STALLED, STOPPED, SUCCEEDED, TIMED_OUT, Outcome
from airflow_runai.core.phases import Meaning
from airflow_runai.core.waiting import take_snapshot
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotQueued, Refused, RightMissing, Unreachable, WorkloadEnded
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.tasks.checkpoint_root import CheckpointRoot
from airflow_runai.tasks.completion import is_cut_short
from airflow_runai.tasks.end_reasons import explained
from airflow_runai.tasks.note_store import note_cut_short, note_missing
from airflow_runai.tasks.steps import still_idle
from airflow_runai.tasks.whereabouts import failure_words

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


def settle(
    hook: RunaiHook,
    outcome: Outcome,
    policy: Callable[[], WaitPolicy],
    action: str,
    root: Callable[[], CheckpointRoot | None] = lambda: None,
) -> Outcome | None:
    """
    Return the end as it is now; stop a workload that exceeds its timeout even now.

    :param policy: called only if something besides success and failure has to be decided.
    :param action: for a workload that exceeds its timeout: ``stop``, ``suspend`` or ``keep``.
    :param root: where its checkpoints are; called only if it made no progress.
    :return: ``None`` if the wait goes on: the workload is back or runs again, or its state is
        unknown.
    """
    # A workload that has ended does not begin again, so there is nothing to look at.
    if outcome.status in (SUCCEEDED, FAILED):
        return explained(hook, outcome)
    try:
        return _settled_now(hook, outcome, policy, action, root)
    except (Unreachable, Refused) as error:
        log.warning(
            "%s is %s, but cannot be read (%s): still waiting", outcome.name, outcome.status, error
        )
        return None


def _settled_now(
    hook: RunaiHook,
    outcome: Outcome,
    policy: Callable[[], WaitPolicy],
    action: str,
    root: Callable[[], CheckpointRoot | None],
) -> Outcome | None:
    start = outcome.workload()
    snapshot = hook.run(take_snapshot(hook.backend.reader(start), start, outcome.timeline))
    if outcome.absent and snapshot.absent_since is not None:
        return outcome
    if outcome.status == STALLED and outcome.progress is not None:
        snapshot = replace(snapshot, progress=still_idle(outcome.progress, root()))
    now = decide(policy(), snapshot)
    if not isinstance(now, Outcome):
        phase = snapshot.workload.phase
        log.info("%s was %s, and is %s now: still waiting", start.name, outcome.status, phase)
        return None
    if now.status not in (TIMED_OUT, STALLED):
        return now
    now = explained(hook, now)  # before it is stopped: then there is nothing left to read
    # Whether it stopped may not be known yet: then the wait goes on, and finds out.
    # To explain it and to look again takes seconds, in which it may begin to run.
    runs_again = partial(_runs_again, snapshot.workload)
    try:
        done = hook.run(stop(hook.backend, snapshot.workload, action, unless=runs_again))
    except (RightMissing, NotQueued) as error:
        log.warning(
            "%s is %s, but was not ended (%s): still waiting", start.name, now.status, error
        )
        return None
    return replace(now, reason=f"{now.reason}; {done}") if done else None


def _runs_again(then: Workload, current: Workload) -> bool:
    return current.meaning is Meaning.RUNNING and then.meaning is not Meaning.RUNNING


def failure_of(context: Context, outcome: Outcome, action: str, project: str) -> Exception:
    """
    Return what a task fails with whose workload did not succeed.

    :param action: what was done to one that exceeded its timeout.
    :param project: the name of its project, if known.
    """
    if outcome.absent:
        note_missing(context)
        advice = "no second one is begun. If it is gone for good, clear the task with"
        outcome = replace(outcome, reason=f"{outcome.reason}; {advice} on_clear='restart'")
    task: Any = context["task"]
    words = failure_words(outcome, task.runai_conn_id, project)
    if is_cut_short(outcome):
        note_cut_short(context, outcome.workload_id)
    # Suspended by a person or kept for one, it is still there: a retry would adopt it and wait for
    # ever.
    ended_by_us = outcome.status in (TIMED_OUT, STALLED)
    if outcome.status == STOPPED or (ended_by_us and action != "stop"):
        return AirflowFailException(words)
    return WorkloadEnded(words, outcome.to_event())
