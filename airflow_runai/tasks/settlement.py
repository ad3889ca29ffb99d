"""
Whether the end of a wait is one: the worker looks again, because the event that woke it may be old.

It never decides by itself: the one verdict does, on what is seen now and what the wait knew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from airflow_runai.backends import control_plane
from airflow_runai.backends.termination import stop
from airflow_runai.core.decision import WaitPolicy, decide
from airflow_runai.core.outcome import FAILED, STALLED, SUCCEEDED, TIMED_OUT, Outcome
from airflow_runai.core.waiting import look
from airflow_runai.errors import Refused, Unreachable
from airflow_runai.hooks.runai import RunaiHook

log = logging.getLogger(__name__)


def settle(
    hook: RunaiHook, outcome: Outcome, policy: Callable[[], WaitPolicy], action: str
) -> Outcome | None:
    """
    Return the end as it is now; stop what exceeds its timeout even now.

    :param policy: asked only where something besides success and failure has to be decided.
    :param action: what to do with a workload that exceeds its timeout: ``stop``, ``suspend`` or
        ``keep``.
    :return: ``None`` if the wait goes on, because the workload is back, runs again, or nobody can
        tell.
    """
    if outcome.status in (SUCCEEDED, FAILED):
        return outcome
    start = outcome.workload()
    try:
        seen = hook.run(look(control_plane.eyes(start), start, outcome.timeline))
        if outcome.absent and seen.absent_since is not None:
            return outcome
        now = decide(policy(), seen)
        if not isinstance(now, Outcome):
            log.info(
                "%s was %s, and is %s now: waiting on",
                start.name,
                outcome.status,
                seen.workload.phase,
            )
            return None
        if now.status not in (TIMED_OUT, STALLED):
            return now
        done = hook.run(stop(seen.workload, action))
    except (Unreachable, Refused) as error:
        log.warning(
            "%s is %s, but nobody answers (%s): waiting on", start.name, outcome.status, error
        )
        return None
    return replace(now, reason=f"{now.reason}; {done}") if done else None
