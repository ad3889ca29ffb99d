"""Why a wait ended badly, asked of the platform once before the task fails with it."""

from __future__ import annotations

import logging
from dataclasses import replace

from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError

from airflow_runai.core.outcome import FAILED, STALLED, TIMED_OUT, Outcome
from airflow_runai.core.reasons import chapter_start, needs_reason
from airflow_runai.errors import RunaiError
from airflow_runai.hooks.runai import RunaiHook

log = logging.getLogger(__name__)


def explained(hook: RunaiHook, outcome: Outcome) -> Outcome:
    """Return the outcome with its reasons; as it is, if it needs none or none can be had."""
    if outcome.status not in (FAILED, TIMED_OUT, STALLED) or not needs_reason(outcome.phase):
        return outcome
    since = chapter_start(outcome.timeline)
    try:
        found = hook.run(hook.backend.explain(outcome.workload(), since))
    except (RunaiError, AirflowException, AirflowRuntimeError, OSError) as error:
        # Without a token, or without the connection: that must not hide how the workload ended.
        log.warning("why %s ended cannot be asked: %s", outcome.name, error)
        return outcome
    return replace(outcome, reasons=tuple(reason.sentence for reason in found))
