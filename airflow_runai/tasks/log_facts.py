"""What the tab shows of a log while a task waits: its end, and the nodes it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from airflow_runai.core.incarnations import shown_lives, sighting
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.log_lines import newest
from airflow_runai.core.timeline import TIMELINE_LIMIT, Moment
from airflow_runai.core.usage import runs

#: What the tab shows of a log, at most.
TAB_LINES, TAB_BYTES = 20, 4096


def for_tab(lines: Sequence[str]) -> list[str]:
    """Return the newest lines of a log, as many as the tab shows."""
    shown = list(newest(lines, TAB_LINES, TAB_BYTES))
    while len("\n".join(shown).encode("utf-8", "replace")) > TAB_BYTES:
        del shown[0]  # a character may take four bytes
    return shown


class LogEnd(NamedTuple):
    """
    The end of the log of one incarnation.

    :param number: of the incarnation.
    :param node: empty if it is not known.
    """

    lines: Sequence[str]
    number: int
    node: str


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
            # A timeline that is published holds no more.
            self._nodes.pop(number - TIMELINE_LIMIT, None)

    def beside(self, news: JsonMapping) -> JsonObject:
        """Return what a wait has published, with these facts."""
        found = dict(news)
        if self._lines:
            found["log_tail"] = self._lines
        if self._nodes:
            timeline = tuple(Moment(**moment) for moment in news.get("timeline") or ())
            found["incarnations"] = shown_lives(timeline, self._places(news, timeline))
        return found

    def _places(self, news: JsonMapping, timeline: Sequence[Moment]) -> list[str]:
        """Return the node of each incarnation in a timeline; one that was cut lacks some."""
        count = len(runs(timeline, inf))
        first = sighting(news).number - count + 1 if len(timeline) >= TIMELINE_LIMIT else 1
        return [self._nodes.get(number, "") for number in range(first, first + count)]
