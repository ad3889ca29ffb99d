"""What a wait writes into its task log about another log, and what it leaves to the worker."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.log_lines import newest
from airflow_runai.core.log_reader import LINES
from airflow_runai.hooks.sessions import one_per_loop
from airflow_runai.tasks.log_fetches import LogFetches
from airflow_runai.tasks.log_words import no_log, tell

log = structlog.get_logger(logger_name=__name__)

#: What is kept for the worker: Airflow stores it in its database.
KEPT_LINES, KEPT_CHARACTERS = 2 * LINES, 16_384


class KeptLines:
    """Lines go into the task log where all waits of the process together have room for them."""

    __slots__ = ("_complaint", "_kept", "_left_out")

    def __init__(self) -> None:
        self._kept: tuple[str, ...] = ()
        self._left_out = 0
        self._complaint = ""

    def write(self, lines: Sequence[str], whole: Sequence[str]) -> bool:
        """
        Write lines, or keep them; return whether they were written.

        :param whole: what is kept: the same with their header.
        """
        if one_per_loop(LogFetches).allows(len(lines)):
            tell(lines)
            return True
        self._keep(whole)
        return False

    def complain(self, name: str, error: Exception) -> None:
        """Say once that the log of a workload cannot be had."""
        if not self._complaint:
            self._complaint = no_log(name, error)
            self.say(f"{self._complaint}; the wait goes on")

    def say(self, trouble: str) -> None:
        """Write or keep a warning."""
        if one_per_loop(LogFetches).allows(1):
            log.warning("%s", trouble)
        else:
            self._keep([trouble])

    def to_json(self) -> JsonObject:
        """Return what the worker is to write, as plain JSON."""
        return {
            "kept": list(self._kept),
            "left_out": self._left_out,
            "complaint": self._complaint,
        }

    def _keep(self, lines: Sequence[str]) -> None:
        kept = (*self._kept, *lines)
        self._kept = newest(kept, KEPT_LINES, KEPT_CHARACTERS)
        self._left_out += len(kept) - len(self._kept)
