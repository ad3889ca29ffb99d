"""The policy of a wait, from arguments and configuration; and the look before the wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_runai.core.decision import WaitPolicy, decide
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.phases import OVER
from airflow_runai.core.timeouts import Timeouts
from airflow_runai.core.waiting import take_snapshot
from airflow_runai.deployment import configuration
from airflow_runai.errors import InvalidArgument, Refused, Unreachable

if TYPE_CHECKING:
    from airflow_runai.core.workload import Workload
    from airflow_runai.hooks.runai import RunaiHook


def wait_policy(
    poll_interval: float | None,
    timeouts: Mapping[str, float] | None,
    when_suspended: str,
    allow_exit_on_preemption: bool = False,
) -> WaitPolicy:
    """
    Return the policy, from arguments that are rendered by now.

    :param poll_interval: seconds; default: ``[runai] poll_interval``.
    :raises InvalidArgument: if a value is not allowed.
    """
    return WaitPolicy(
        poll_interval or configuration.seconds("poll_interval"),
        # The wait for room is over when the workload exists.
        replace(_timeouts(timeouts), room=None),
        when_suspended,
        allow_exit_on_preemption=allow_exit_on_preemption,
    )


def room_timeout(timeouts: Mapping[str, float] | None) -> float | None:
    """Return the seconds for which a task waits for room; ``None`` for no limit."""
    return _timeouts(timeouts).room


def _timeouts(timeouts: Mapping[str, float] | None) -> Timeouts:
    try:
        return Timeouts(**{clock: float(value) for clock, value in (timeouts or {}).items()})
    # Jinja can make anything of a mapping.
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidArgument(
            [
                f"timeouts: {timeouts!r}: {error}; "
                "allowed: a mapping from clocks to seconds greater than 0"
            ]
        ) from None


def outcome_before_waiting(
    hook: RunaiHook, workload: Workload, policy: WaitPolicy
) -> Outcome | None:
    """
    Return the end of a workload that had ended when it was submitted or adopted.

    Airflow can fail a task whose trigger fires at once, so a task asks this before it defers.
    """
    if workload.meaning not in OVER:
        return None
    try:
        reader = hook.backend.reader(workload)
        verdict = decide(policy, hook.run(take_snapshot(reader, workload)))
    # The wait itself copes with an outage.
    except (Unreachable, Refused):
        return None
    return verdict if isinstance(verdict, Outcome) else None
