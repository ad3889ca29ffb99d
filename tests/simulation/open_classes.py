"""
Promises that are broken still: each class of violations, and a short history that shows it.

Who closes a class moves its row to ``closed_classes.py``.
"""

from __future__ import annotations

from tests.simulation.cases import Case
from tests.simulation.history import Act, Cue, History, Trouble

OPEN: tuple[Case, ...] = (
    # The network delivers a create after the workload of this name was deleted: nothing of ours can
    # stop that. The next try, or the reaper, ends the older of the two.
    Case(
        "two alive: a create delivered late",
        0,
        History(
            acts=(Act(cue=Cue(event="deferred", seconds=5.0), what="clear"),),
            troubles=(Trouble(process=2, step=6, kind="delivered late 60.0"),),
        ),
    ),
)
