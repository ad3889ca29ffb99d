"""The end of a training's log in the task log, written by the worker with which the task ends."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_runai.backends.cluster_api import Clusters
from airflow_runai.backends.workload_logs import WorkloadLog
from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.log_lines import FOLLOW, OFF, LogPosition
from airflow_runai.core.outcome import GONE, SUCCEEDED, Outcome
from airflow_runai.errors import NotFound, RunaiError
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.tasks.log_facts import for_tab
from airflow_runai.tasks.log_tail import no_log, tell, title


def show_end_of_log(
    hook: RunaiHook, outcome: Outcome, get_logs: str, tail_on_success: bool
) -> list[str]:
    """
    Write what is still to be written when a wait has ended; never raises.

    :param outcome: :attr:`Outcome.log` says what the wait could not write, and how far it followed.
    :return: the last of these lines, for the tab.
    """
    lines = _end_of_log(hook, outcome, get_logs, tail_on_success)
    tell(lines)
    return for_tab(lines)


def _end_of_log(
    hook: RunaiHook, outcome: Outcome, get_logs: str, tail_on_success: bool
) -> Sequence[str]:
    lines = _kept(outcome.log)
    is_wanted = tail_on_success or get_logs == FOLLOW or outcome.status != SUCCEEDED
    if get_logs == OFF or not is_wanted or outcome.status == GONE or not outcome.has_run:
        return lines
    try:
        return [*lines, *_last(hook, outcome, get_logs == FOLLOW)]
    except NotFound:
        return [*lines, f"the log of {outcome.name} is gone with its pod"]
    except (RunaiError, OSError) as error:
        # One sentence is enough; the wait may have said it.
        return lines if outcome.log.get("complaint") else [*lines, no_log(outcome.name, error)]


def _last(hook: RunaiHook, outcome: Outcome, is_followed: bool) -> list[str]:
    number = outcome.clocks.interruptions + 1
    place = None
    if is_followed:
        # An incarnation that the wait did not see has lines that nobody has seen.
        is_same = outcome.log.get("number") in (0, number)
        place = LogPosition.from_json(outcome.log) if is_same else LogPosition()
    log = WorkloadLog(outcome.workload())
    part = hook.run(log.look(Clusters(hook.settings), outcome.ended_at, place))
    return part.as_sentences(title(outcome.name, number))


def _kept(log: JsonMapping) -> list[str]:
    lines = list(map(str, log.get("kept") or ()))
    if count := log.get("left_out"):
        lines.insert(0, f"({count} lines of logs are left out: too many came at the same time)")
    return lines
