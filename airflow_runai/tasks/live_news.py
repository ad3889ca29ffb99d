"""What people see of a workload: what its wait says, and what others have found out beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from airflow_runai.core.incarnations import shown_lives
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.log_lines import newest
from airflow_runai.core.outcome import moments_from_json

#: What the tab shows of a log, at most.
TAB_LINES, TAB_CHARACTERS = 20, 4096


def for_tab(lines: Sequence[str]) -> list[str]:
    """Return the newest lines of a log, as many as the tab shows."""
    return list(newest(lines, TAB_LINES, TAB_CHARACTERS))


class LiveNews:
    """
    Puts together what is published of one workload.

    :param publish: takes all of it whenever something is new.
    """

    __slots__ = ("_log", "_news", "_nodes", "_publish", "_reasons")

    def __init__(self, publish: Callable[[JsonMapping], None]) -> None:
        self._publish = publish
        self._news: JsonMapping | None = None
        self._reasons: Sequence[str] = ()
        self._log: Sequence[str] = ()
        self._nodes: dict[int, str] | None = None

    def take(self, news: JsonMapping) -> None:
        """Take what the wait says."""
        if self._news is None or _last_moment(news) != _last_moment(self._news):
            self._reasons = ()  # why it waited says nothing of what came after
        self._news = news
        self._publish(self.whole())

    def explain(self, reasons: Sequence[str]) -> None:
        """Add why it is in its present phase."""
        self._reasons = reasons
        self._publish(self.whole())

    def add_log(self, lines: Sequence[str], number: int, node: str) -> None:
        """Add the end of the log of one incarnation, and where that lives."""
        self._log = for_tab(lines) or self._log
        if node:
            self._nodes = {**(self._nodes or {}), number: node}
        if self._news:
            self._publish(self.whole())

    def whole(self) -> JsonObject:
        """Return all that is known."""
        found = dict(self._news or {})
        if self._reasons:
            found["reasons"] = list(self._reasons)
        if self._log:
            found["log_tail"] = list(self._log)
        if self._nodes:
            found["incarnations"] = shown_lives(
                moments_from_json(found),
                [self._nodes.get(number, "") for number in range(1, max(self._nodes) + 1)],
            )
        return found


def _last_moment(news: JsonMapping) -> Any:
    moments = news.get("timeline") or [None]
    return moments[-1]
