"""
Promises that are broken still: each class of violations, and a short history that shows it.

Who closes a class moves its row to ``closed_classes.py``.
"""

from __future__ import annotations

from tests.simulation.cases import Case
from tests.simulation.history import Act, Cue, History, Trouble
from tests.simulation.open_losses import LOSSES

OPEN: tuple[Case, ...] = (
    *LOSSES,
    Case(
        "two alive: a create delivered late",
        0,
        History(
            acts=(Act(cue=Cue(event="deferred", seconds=5.0), what="clear"),),
            troubles=(Trouble(process=2, step=7, kind="delivered late 60.0"),),
        ),
    ),
)
