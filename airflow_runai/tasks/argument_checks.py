"""What is wrong with an operator's arguments, found when the DAG is parsed; values may still be templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import XComArg

from airflow_runai.core.decision import Timeouts
from airflow_runai.core.jinja import is_templated
from airflow_runai.core.naming import check_slug
from airflow_runai.core.spec import check_keys
from airflow_runai.core.submission import ON_CLEAR
from airflow_runai.errors import SpecError
from airflow_runai.tasks.kill import ACTIONS

if TYPE_CHECKING:
    from airflow_runai.core.command_line import ParsedCommand

_WORDS = {"on_kill": ACTIONS, "on_clear": ON_CLEAR, "when_suspended": ("wait", "end")}


def check_payload_arguments(
    spec: object, command_line: str | None, template: object, workload_name: object
) -> ParsedCommand | None:
    """
    Refuse misspelt keys, a line that cannot be read, a name that is none.

    :return: what the line says, if there is one.
    :raises SpecError: naming what is wrong.
    """
    parsed = None
    if spec is None and command_line is None and template is None:
        raise SpecError(
            [
                "spec: missing; give a mapping as `spec`, a line as `command_line`, or the name of a `template`"
            ]
        )
    if isinstance(spec, Mapping):
        check_keys(spec)
    if command_line is not None:
        # Imported here: DAGs without a command line need not pay for its grammars.
        from airflow_runai.core.command_line import parse_command

        parsed = parse_command(command_line)
    if isinstance(workload_name, str) and not is_templated(workload_name):
        check_slug(workload_name)
    return parsed


def check_wait_arguments(poll_interval: object, limits: object, **words: str) -> None:
    """Refuse unknown words, clocks and times that are not positive; raises :class:`SpecError` listing all."""
    wrong = [
        f"{name}: {value!r}; allowed: {', '.join(_WORDS[name])}"
        for name, value in words.items()
        if value not in _WORDS[name]
    ]
    if poll_interval is not None and not _is_time(poll_interval):
        wrong.append(f"poll_interval: {poll_interval!r}; allowed: seconds greater than 0")
    wrong += _problems_of_limits(limits)
    if wrong:
        raise SpecError(wrong)


def _problems_of_limits(limits: object) -> list[str]:
    if not isinstance(limits, Mapping):
        templated = limits is None or isinstance(limits, (str, XComArg))
        return (
            [] if templated else [f"limits: {limits!r}; allowed: a mapping from clocks to seconds"]
        )
    known = tuple(Timeouts.__dataclass_fields__)
    wrong = [
        f"limits.{k}: unknown clock; allowed: {', '.join(known)}" for k in limits if k not in known
    ]
    settled: list[tuple[Any, Any]] = [
        (k, v) for k, v in limits.items() if not isinstance(v, (str, XComArg))
    ]
    return wrong + [
        f"limits.{k}: {v!r}; allowed: seconds greater than 0" for k, v in settled if not _is_time(v)
    ]


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and value > 0
