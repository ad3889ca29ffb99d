"""Checks of an operator's arguments when the DAG is parsed; values may still be templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow.sdk import XComArg

from airflow_runai.core.jinja import is_templated
from airflow_runai.core.log_lines import GET_LOGS
from airflow_runai.core.marks import ON_KILL_ACTIONS
from airflow_runai.core.naming import check_slug
from airflow_runai.core.room import NOW, SUBMIT_WHEN
from airflow_runai.core.spec import check_keys
from airflow_runai.core.submission import ON_CLEAR
from airflow_runai.core.timeouts import Timeouts
from airflow_runai.core.values import count_problems
from airflow_runai.errors import InvalidArgument, SpecError
from airflow_runai.tasks.checkpoint_root import expected_steps

if TYPE_CHECKING:
    from airflow_runai.core.command_line import ParsedCommand

_ALLOWED = {
    "on_kill": ON_KILL_ACTIONS,
    "on_clear": ON_CLEAR,
    "when_suspended": ("wait", "end"),
    "get_logs": GET_LOGS,
}


def check_payload_arguments(
    spec: object, command_line: str | None, template: object, workload_name: object
) -> ParsedCommand | None:
    """
    Refuse unknown keys, a line that cannot be read, and a name that is not a DNS label.

    :return: the parsed line, if there is one.
    :raises SpecError: naming what is wrong.
    """
    parsed = None
    if spec is None and command_line is None and template is None:
        raise SpecError(
            [
                "spec: missing; give a mapping as `spec`, a line as `command_line`, "
                "or the name of a `template`"
            ]
        )
    if isinstance(spec, (Mapping, list, tuple)):  # anything else may be rendered later
        check_keys(spec)
    if command_line is not None:
        # Imported here: DAGs without a command line need not pay for its grammars.
        from airflow_runai.core.command_line import parse_command

        parsed = parse_command(command_line)
    if isinstance(workload_name, str) and not is_templated(workload_name):
        check_slug(workload_name)
    return parsed


def check_steps(value: object) -> None:
    """
    Refuse what is no number of steps, unless it is still a template.

    :raises InvalidArgument: saying what is allowed.
    """
    if not isinstance(value, XComArg) and not (isinstance(value, str) and is_templated(value)):
        expected_steps(value)


def check_durable(value: object) -> None:
    """
    Refuse what would make a retry submit a second workload beside the first.

    :raises SpecError: unless it is ``True``.
    """
    if value is not True:
        raise SpecError(
            [
                f"durable: {value!r}; allowed: True, because a retry never submits beside a "
                "workload that may be alive; to begin anew, clear the task (on_clear='restart')"
            ]
        )


def check_wait_arguments(
    poll_interval: object, timeouts: object, wait_for_completion: bool, **words: str
) -> None:
    """
    Refuse unknown words and clocks, times that are not positive, and timeouts without a wait.

    :raises SpecError: listing all problems.
    """
    wrong = [
        f"{name}: {value!r}; allowed: {', '.join(_ALLOWED[name])}"
        for name, value in words.items()
        if value not in _ALLOWED[name]
    ]
    if poll_interval is not None and not _is_time(poll_interval):
        wrong.append(f"poll_interval: {poll_interval!r}; allowed: seconds greater than 0")
    wrong += _timeout_problems(timeouts)
    # The wait before the submission has nothing to do with the one after it.
    is_before = isinstance(timeouts, Mapping) and set(timeouts) == {"room"}
    if timeouts and not is_before and not wait_for_completion:
        wrong.append(
            "timeouts: set, with wait_for_completion=False; nothing would enforce them: "
            "leave them out, or wait"
        )
    if wrong:
        raise SpecError(wrong)


def check_room_arguments(
    submit_when: object, timeouts: object, max_live: object, max_live_with: object
) -> None:
    """
    Refuse what says nothing about when to submit.

    :raises SpecError: listing all problems.
    """
    wrong = []
    if submit_when not in SUBMIT_WHEN:
        wrong.append(f"submit_when: {submit_when!r}; allowed: {', '.join(SUBMIT_WHEN)}")
    if max_live is not None:
        wrong += count_problems({"max_live": (max_live, 1)})
    elif max_live_with:
        wrong.append("max_live_with: set, without max_live; give it, or leave both out")
    waits = submit_when != NOW or max_live is not None
    if not waits and isinstance(timeouts, Mapping) and "room" in timeouts:
        wrong.append(
            "timeouts.room: set, with submit_when='now', which waits for no room: "
            "leave it out, or use submit_when='quota' or 'idle', or max_live"
        )
    if wrong:
        raise SpecError(wrong)


def check_counts(**given: tuple[object, int]) -> None:
    """
    Refuse what is no whole number, or less than it may be.

    :param given: by name, each with its least value.
    :raises InvalidArgument: listing all problems.
    """
    if wrong := count_problems(given):
        raise InvalidArgument(wrong)


def _timeout_problems(timeouts: object) -> list[str]:
    if timeouts is None or _is_rendered_later(timeouts):
        return []
    if not isinstance(timeouts, Mapping):
        return [f"timeouts: {timeouts!r}; allowed: a mapping from clocks to seconds"]
    clocks = tuple(Timeouts.__dataclass_fields__)
    unknown = [clock for clock in timeouts if clock not in clocks]
    wrong = [
        (clock, value)
        for clock, value in timeouts.items()
        if not _is_rendered_later(value) and not _is_time(value)
    ]
    return [
        *(f"timeouts.{c}: unknown clock; allowed: {', '.join(clocks)}" for c in unknown),
        *(f"timeouts.{c}: {v!r}; allowed: seconds greater than 0" for c, v in wrong),
    ]


def _is_rendered_later(value: object) -> bool:
    # Jinja, or the result of another task.
    return isinstance(value, (str, XComArg))


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and value > 0
