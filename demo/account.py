"""The output of the demonstration: a line per event, and the timeline at the end."""

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

    def say(self, who: str, text: str, color: str = "") -> None:
        """Print a line; ``color`` is an ANSI code, used on terminals only."""
        colored = f"\033[{color}m{text}\033[0m" if color and self._color else text
        print(f"{time.monotonic() - self._began:6.1f} s  {who:<9} {colored}", flush=True)

    def check(self, fact: str, holds: bool) -> None:
        """Record a promise of the demonstration, which fails unless it holds."""
        self.facts.append((fact, holds))

    def verdict(self) -> bool:
        """Print all promises; return whether all hold."""
        print("\nPromised, and checked:")
        for fact, holds in self.facts:
            print(f"  {'✔' if holds else '✘ NOT TRUE:'} {fact}")
        return all(holds for _, holds in self.facts)


def draw(timeline: Sequence[Moment], nodes: Sequence[str]) -> list[str]:
    """
    Draw a workload's timeline as text.

    :param timeline: oldest first; the last one is the end.
    :param nodes: the nodes on which it ran, in order.
    """
    total = max(timeline[-1].at - timeline[0].at, 0.001)
    bar, rows, remaining = "", [], iter(nodes)
    for moment, following in itertools.pairwise(timeline):
        seconds = following.at - moment.at
        mark, label = _MARKS.get(meaning(moment.phase), ("?", moment.phase))
        if meaning(moment.phase) is Meaning.RUNNING:
            label += f" on {next(remaining, '?')}"
        bar += mark * max(1, round(seconds / total * WIDTH))
        rows.append(_row(moment, mark, label, seconds))
    end = f"  {_clock(timeline[-1].at)}  ■ {timeline[-1].phase}"
    return [f"  {bar}", *rows, end]


def _row(moment: Moment, mark: str, label: str, seconds: float) -> str:
    reason = f"  ({moment.message})" if moment.is_preemption else ""
    return f"  {_clock(moment.at)}  {mark} {label:<22} {seconds:5.1f} s{reason}"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%H:%M:%S")
