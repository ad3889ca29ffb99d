"""Promises that were broken once: each history must break nothing any more."""

from __future__ import annotations

from tests.simulation.cases import Case
from tests.simulation.history import Act, Cue, History, Life, Machinery

CLOSED: tuple[Case, ...] = (
    Case("dirty text", 2, History(lives=(Life(words="half \ud83d NUL \x00 ESC \x1b[31m"),))),
    Case(
        "undeserved: kill after a clear",
        212,
        History(
            machinery=Machinery(kill_delay=0.6),
            acts=(
                Act(cue=Cue(event="scheduled", seconds=39.0), what="mark", detail="failed"),
                Act(cue=Cue(event="scheduled", seconds=40.0), what="clear"),
            ),
            chance=212,
        ),
    ),
)
