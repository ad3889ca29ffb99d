"""
Promises that are broken still: each class of violations, and a short history that shows it.

Who closes a class moves its row to ``closed_classes.py``.
"""

from __future__ import annotations

from tests.simulation.cases import Case
from tests.simulation.history import Act, Cue, History, Machinery, Task, Trouble
from tests.simulation.open_losses import LOSSES

OPEN: tuple[Case, ...] = (
    *LOSSES,
    Case(
<<<<<<< /tmp/land/tests/simulation/open_classes.py.merged
        "two alive: hidden",
        70,
        History(
            task=Task(retries=3, retry_delay=5.0),
            acts=(Act(cue=Cue(event="scheduled", seconds=9.6), what="hide", seconds=120.0),),
            chance=70,
        ),
    ),
    Case(
        "two alive: 404 to a stop after the create",
        0,
        History(
            platform=Platform(read_lag=9.0),
            acts=(Act(cue=Cue(event="deferred", seconds=0.1), what="clear"),),
        ),
    ),
    Case(
        "two alive: rename",
        496,
        History(
            acts=(
                Act(cue=Cue(event="created", nth=2, seconds=6.0), what="rename"),
                Act(cue=Cue(event="created", nth=2, seconds=10.0), what="clear"),
            ),
            chance=496,
        ),
    ),
    Case(
        "two alive: late list",
        261,
        History(platform=Platform(list_lag=8.42), acts=(Act(cue=Cue(event="request"), what="clear"),), chance=261),
    ),
    Case(
        "still writing: it was listed as deleted",
        237,
        History(
            platform=Platform(early_goodbye=True),
            acts=(Act(cue=Cue(event="Running", nth=2), what="clear"),),
            chance=237,
        ),
    ),
    Case(
        "still writing: hidden",
        1339,
        History(
            task=Task(retries=1, retry_delay=1.0),
            platform=Platform(grace=12.65),
            acts=(
                Act(cue=Cue(event="request", nth=3, seconds=7.0), what="clear"),
                Act(cue=Cue(event="running", nth=2, seconds=18.4), what="hide", seconds=120.0),
            ),
            troubles=(Trouble(process=2, step=9, kind="twice"), Trouble(process=3, step=3, kind="reply lost")),
            chance=1339,
        ),
    ),
    Case(
        "success without training: an earlier life of the run",
        111,
        History(acts=(Act(cue=Cue(event="success"), what="delete the run"),), chance=111),
    ),
    Case(
        "false gone",
        70,
        History(acts=(Act(cue=Cue(event="scheduled", seconds=9.6), what="hide", seconds=120.0),), chance=70),
    ),
    Case(
        "wasted retry",
        138,
        History(
            task=Task(retries=1, retry_delay=1.0, limits=(("running", 53.25),)),
            platform=Platform(list_lag=18.39),
            chance=138,
        ),
    ),
    Case(
        "refused: Forbidden",
        184,
        History(
            acts=(
                Act(cue=Cue(event="request", nth=3, seconds=10.0), what="clear"),
                Act(cue=Cue(event="created", nth=2), what="outage", seconds=119.1, detail="403"),
            ),
            chance=184,
        ),
    ),
    Case(
        "refused: Unauthorized",
        599,
        History(
            task=Task(retries=2),
            acts=(
                Act(cue=Cue(event="request", seconds=1.0), what="worker dies"),
                Act(cue=Cue(event="Running"), what="outage", seconds=132.1, detail="401"),
            ),
            chance=599,
        ),
    ),
    Case(
        "refused: Refused",
        712,
        History(
            acts=(
                Act(cue=Cue(event="failed"), what="delete the run"),
                Act(cue=Cue(event="running", seconds=1.0), what="restore", seconds=230.0),
            ),
            chance=712,
        ),
    ),
    Case(
        "refused: ForeignWorkload",
        255,
=======
        "undeserved: limit by a wrong clock",
        162,
>>>>>>> /tmp/land/tests/simulation/open_classes.py.new
        History(
            task=Task(limits=(("running", 55.97), ("queue", 125.89))),
            machinery=Machinery(worker_skew=600.0),
            chance=162,
        ),
    ),
    Case(
        "two alive: a create delivered late",
        0,
        History(
            acts=(Act(cue=Cue(event="deferred", seconds=5.0), what="clear"),),
            troubles=(Trouble(process=2, step=7, kind="delivered late 60.0"),),
        ),
    ),
)
