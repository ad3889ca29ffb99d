"""
Checks of what a mapped task gives to all its instances, when the DAG is parsed.

Airflow makes no operator of a mapped task before a worker runs one of its instances, so no
constructor sees ``partial(...)`` at parse. What differs between instances is checked only then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_runai.core.room import NOW
from airflow_runai.tasks.argument_checks import (
    check_payload_arguments,
    check_room_arguments,
    check_wait_arguments,
)
from airflow_runai.tasks.callbacks import callbacks_of
from airflow_runai.tasks.command_line_files import is_file_name

#: Arguments that name whom to call.
CALLBACKS = ("on_interruption", "on_resume", "on_stall", "on_long_queue")
_WORDS = ("on_kill", "on_clear", "when_suspended", "get_logs")


def check_partial(given: Mapping[str, Any], endings: Sequence[str]) -> None:
    """
    Refuse what no instance could be made with.

    :param given: the arguments of ``partial``.
    :param endings: of files that ``command_line`` may name.
    :raises SpecError: as the constructor would.
    """
    check_wait_arguments(
        given.get("poll_interval"),
        given.get("timeouts"),
        given.get("wait_for_completion", True),
        **{name: given[name] for name in _WORDS if name in given},
    )
    check_room_arguments(
        given.get("submit_when", NOW),
        given.get("timeouts") if "submit_when" in given else None,
        given.get("max_live"),
        given.get("max_live_with"),
    )
    callbacks_of({name: given.get(name) for name in CALLBACKS})
    line = given.get("command_line")
    if not isinstance(line, str) or is_file_name(line, endings):
        line = None
    # What to run may be mapped; an empty specification stands for it.
    check_payload_arguments(given.get("spec") or {}, line, None, given.get("workload_name"))
