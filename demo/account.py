"""
The account of the demonstration: what is printed while it happens, and the timeline at its end.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Sequence
from datetime import datetime

from airflow_runai.core.phases import Meaning, meaning
from airflow_runai.core.timeline import Moment

_MARKS = {
    Meaning.WAITING: ("░", "waits for GPUs"),
    Meaning.STARTING: ("▒", "starts"),
    Meaning.RUNNING: ("█", "runs"),
    Meaning.LEAVING: ("▚", "saves and leaves"),
}
WIDTH = 64


class Account:
    """Prints one line per event, with the time since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._color = sys.stdout.isatty()
        self.facts: list[tuple[str, bool]] = []

    def say(self, who: str, words: str, color: str = "") -> None:
        """Print a line; ``color`` is an ANSI code, used on terminals only."""
        shown = f"\033[{color}m{words}\033[0m" if color and self._color else words
        print(f"{time.monotonic() - self._began:6.1f} s  {who:<9} {shown}", flush=True)

    def check(self, fact: str, holds: bool) -> None:
        """Remember a fact that the demonstration promises; a false one makes it fail."""
        self.facts.append((fact, holds))

    def verdict(self) -> bool:
        """Print all facts; return whether every one holds."""
        print("\nPromised, and checked:")
        for fact, holds in self.facts:
            print(f"  {'✔' if holds else '✘ NOT TRUE:'} {fact}")
        return all(holds for _, holds in self.facts)


def draw(timeline: Sequence[Moment], nodes: Sequence[str]) -> list[str]:
    """
    Draw a workload's timeline as text.

    :param timeline: oldest first; the last moment is the end.
    :param nodes: where it ran, in order.
    """
    total = max(timeline[-1].at - timeline[0].at, 0.001)
    bar, rows, places = "", [], iter(nodes)
    for moment, following in itertools.pairwise(timeline):
        seconds = following.at - moment.at
        mark, words = _MARKS.get(meaning(moment.phase), ("?", moment.phase))
        bar += mark * max(1, round(seconds / total * WIDTH))
        where = f" on {next(places, '?')}" if meaning(moment.phase) is Meaning.RUNNING else ""
        because = f"  ({moment.message})" if moment.is_preemption else ""
        rows.append(f"  {_clock(moment.at)}  {mark} {words + where:<22} {seconds:5.1f} s{because}")
    return [f"  {bar}", *rows, f"  {_clock(timeline[-1].at)}  ■ {timeline[-1].phase}"]


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%H:%M:%S")
