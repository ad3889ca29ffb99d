"""The end of a training's log in the task log, written by the worker with which the task ends."""

from __future__ import annotations

from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.log_lines import FOLLOW, OFF, LogPosition
from airflow_runai.core.log_reader import LogPart
from airflow_runai.core.outcome import GONE, SUCCEEDED, Outcome
from airflow_runai.core.texts import plural
from airflow_runai.errors import NotFound
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.tasks.log_facts import for_tab
from airflow_runai.tasks.log_words import no_log, tell, title


def show_end_of_log(
    hook: RunaiHook, outcome: Outcome, get_logs: str, tail_on_success: bool
) -> list[str]:
    """
    Write what is still to be written when a wait has ended; never raises.

    :param outcome: :attr:`Outcome.log` says what the wait could not write, and how far it followed.
    :return: the last of these lines, for the tab.
    """
    lines = _kept(outcome.log)
    is_wanted = tail_on_success or get_logs == FOLLOW or outcome.status != SUCCEEDED
    if get_logs == OFF or not is_wanted or outcome.status == GONE or not outcome.has_run:
        tell(lines)
        return for_tab(lines)
    try:
        part = _last(hook, outcome, get_logs == FOLLOW)
    except Exception as error:  # logs are never a reason to fail
        lines = [*lines, *_trouble(outcome, error)]
        tell(lines)
        return for_tab(lines)
    head = title(outcome.name, outcome.clocks.interruptions + 1)
    whole, members = part.with_members(head)
    tell([*lines, *whole, *members])
    return for_tab([*part.whole_end().as_sentences(head), *members])


def _trouble(outcome: Outcome, error: Exception) -> list[str]:
    if isinstance(error, NotFound):
        return [f"the log of {outcome.name} is gone with its pod"]
    # One sentence is enough; the wait may have said it.
    return [] if outcome.log.get("complaint") else [no_log(outcome.name, error)]


def _last(hook: RunaiHook, outcome: Outcome, is_followed: bool) -> LogPart:
    log = hook.backend.log(outcome.workload())
    return hook.run(log.look(outcome.ended_at, _place(outcome, is_followed)))


def _place(outcome: Outcome, is_followed: bool) -> LogPosition | None:
    """Return how far the last incarnation was seen; ``None`` to show its end alone."""
    number = outcome.log.get("number")
    if number == outcome.clocks.interruptions + 1 or (is_followed and number == 0):
        return LogPosition.from_json(outcome.log)
    # An incarnation that the wait did not see has lines that nobody has seen.
    return LogPosition() if is_followed else None


def _kept(log: JsonMapping) -> list[str]:
    lines = list(map(str, log.get("kept") or ()))
    if count := log.get("left_out"):
        left = f"{plural(int(count), 'line')} of logs {'is' if count == 1 else 'are'} left out"
        lines.insert(0, f"({left}: too many came at the same time)")
    return lines
