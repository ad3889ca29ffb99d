"""What the tab shows of a log while a task waits: its end, and the nodes it comes from."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_runai.core.incarnations import shown_lives
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.log_lines import newest
from airflow_runai.core.outcome import moments_from_json

#: What the tab shows of a log, at most.
TAB_LINES, TAB_CHARACTERS = 20, 4096


def for_tab(lines: Sequence[str]) -> list[str]:
    """Return the newest lines of a log, as many as the tab shows."""
    return list(newest(lines, TAB_LINES, TAB_CHARACTERS))


class LogFacts:
    """The same, gathered over the incarnations of one workload."""

    __slots__ = ("_lines", "_nodes")

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._nodes: dict[int, str] = {}

    def add(self, lines: Sequence[str], number: int, node: str) -> None:
        """Take the end of the log of one incarnation, and its node if that is known."""
        self._lines = for_tab(lines) or self._lines
        if node:
            self._nodes[number] = node

    def beside(self, news: JsonMapping) -> JsonObject:
        """Return what a wait has published, with these facts."""
        found = dict(news)
        if self._lines:
            found["log_tail"] = self._lines
        if self._nodes:
            nodes = [self._nodes.get(number, "") for number in range(1, max(self._nodes) + 1)]
            found["incarnations"] = shown_lives(moments_from_json(news), nodes)
        return found
