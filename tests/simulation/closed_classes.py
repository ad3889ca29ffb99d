"""Promises that were broken once: each history must break nothing any more."""

from __future__ import annotations

from tests.simulation.cases import Case
from tests.simulation.closed_losses import LOSSES
from tests.simulation.history import Act, Cue, History, Life, Machinery, Platform, Task, Trouble

CLOSED: tuple[Case, ...] = (
    *LOSSES,
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
    Case(
        "two alive: hidden",
        70,
        History(
            task=Task(retries=3, retry_delay=5.0),
            acts=(Act(cue=Cue(event="scheduled", seconds=9.6), what="hide", seconds=120.0),),
            chance=70,
        ),
    ),
    Case(
        "two alive: 404 after the create",
        138,
        History(
            platform=Platform(list_lag=18.39, read_lag=3.4),
            acts=(Act(cue=Cue(event="deferred", seconds=0.6), what="clear"),),
            chance=138,
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
        History(
            platform=Platform(list_lag=8.42),
            acts=(Act(cue=Cue(event="request"), what="clear"),),
            chance=261,
        ),
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
            troubles=(
                Trouble(process=2, step=8, kind="twice"),
                Trouble(process=3, step=3, kind="reply lost"),
            ),
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
        History(
            acts=(Act(cue=Cue(event="scheduled", seconds=9.6), what="hide", seconds=120.0),),
            chance=70,
        ),
    ),
    Case(
        "wasted retry",
        138,
        History(
            task=Task(retries=1, retry_delay=1.0, timeouts=(("running", 53.25),)),
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
        History(
            task=Task(retries=3, timeouts=(("running", 219.3), ("interrupted_total", 770.9))),
            platform=Platform(tells_variables=False),
            lives=(Life(stretches=((5.0, 2000.0),)),),
            troubles=(
                Trouble(process=4, step=14, kind="dies"),
                Trouble(process=5, step=6, kind="empty"),
                Trouble(process=3, step=1, kind="dies"),
            ),
            chance=255,
        ),
    ),
    Case(
        "undeserved: other",
        552,
        History(
            task=Task(on_clear="reattach"),
            platform=Platform(read_lag=1.63),
            acts=(
                Act(cue=Cue(event="created", nth=2, seconds=1.0), what="clear"),
                Act(cue=Cue(event="none", seconds=3.0), what="mark", detail="failed"),
            ),
            chance=552,
        ),
    ),
    Case(
        "wasted retry",
        584,
        History(
            lives=(Life(stretches=((1.83, 97.46),), end="Failed"),),
            acts=(Act(cue=Cue(event="scheduled", seconds=7.0), what="restore", seconds=270.0),),
            troubles=(
                Trouble(process=2, step=12, kind="dies"),
                Trouble(process=2, step=2, kind="503 before"),
            ),
            neighbours=2,
            chance=584,
        ),
    ),
    Case(
        "success without training: an earlier life of the run",
        1858,
        History(
            acts=(Act(cue=Cue(event="success", seconds=20.0), what="delete the run"),),
            task=Task(retries=2),
            troubles=(
                Trouble(process=2, step=9, kind="dies"),
                Trouble(process=5, step=4, kind="empty list"),
            ),
            chance=1858,
        ),
    ),
    Case(
        "success without training: an earlier life of the run",
        0,
        History(
            task=Task(retries=1, retry_delay=120.0),
            acts=(
                Act(cue=Cue(event="success", seconds=19.0), what="hide", seconds=100.0),
                Act(cue=Cue(event="success", seconds=20.0), what="delete the run"),
            ),
        ),
    ),
    Case(
        "undeserved: limit by a wrong clock",
        72,
        History(
            task=Task(timeouts=(("starting", 319.28),)),
            machinery=Machinery(worker_skew=600.0),
            chance=72,
        ),
    ),
    Case(
        "undeserved: it runs again",
        430,
        History(
            task=Task(timeouts=(("queue", 57.8),)),
            lives=(
                Life(
                    stretches=((55.11, 18.2), (115.39, 35.92)),
                    words="half \ud83d NUL \x00 ESC \x1b[31m",
                ),
            ),
            chance=430,
        ),
    ),
    Case(
        "two alive: 404 to a stop after the create",
        3598,
        History(
            platform=Platform(read_lag=6.27),
            acts=(Act(cue=Cue(event="deferred"), what="clear"),),
            neighbours=2,
            chance=3598,
        ),
    ),
    Case(
        "undeserved: limit by a wrong clock",
        162,
        History(
            task=Task(timeouts=(("running", 55.97), ("queue", 125.89))),
            machinery=Machinery(worker_skew=600.0),
            chance=162,
        ),
    ),
    Case(
        "undeserved: limit not reached",
        2911,
        History(
            task=Task(timeouts=(("running", 240.25),)),
            machinery=Machinery(kill_delay=7.8),
            lives=(
                Life(stretches=((11.89, 19.98), (32.54, 84.62), (1.49, 4495.89)), end="Failed"),
            ),
            acts=(Act(cue=Cue(event="Running", nth=2, seconds=13.0), what="clear"),),
            chance=2911,
        ),
    ),
    Case(
        "undeserved: limit not reached",
        0,
        History(
            task=Task(timeouts=(("queue", 600.0),)),
            platform=Platform(history="none"),
            lives=(Life(stretches=((5.0, 1000.0), (400.0, 300.0))),),
            acts=(
                Act(
                    cue=Cue(event="Pending", nth=3, seconds=20.0),
                    what="triggerer dies",
                    seconds=10.0,
                ),
            ),
        ),
    ),
    Case(
        "undeserved: limit not reached",
        0,
        History(
            task=Task(timeouts=(("queue", 600.0),)),
            platform=Platform(history="newest"),
            lives=(Life(stretches=((5.0, 1000.0), (400.0, 300.0))),),
            acts=(
                Act(
                    cue=Cue(event="Pending", nth=3, seconds=20.0),
                    what="triggerer dies",
                    seconds=10.0,
                ),
            ),
        ),
    ),
)
