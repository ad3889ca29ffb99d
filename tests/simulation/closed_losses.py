"""
Workloads that went on though no task awaited them any more: rows of ``closed_classes.py``.
"""

from __future__ import annotations

from tests.simulation.cases import Case
from tests.simulation.history import Act, Cue, History, Life, Machinery, Platform, Task, Trouble

LOSSES: tuple[Case, ...] = (
    Case(
        "lost: the worker died on its last try",
        161,
        History(
            lives=(Life(stretches=((5.0, 2000.0),)),),
            troubles=(Trouble(process=2, step=7, kind="dies"),),
            chance=161,
        ),
    ),
    Case(
        "lost: marked while running",
        519,
        History(
            machinery=Machinery(slot_wait=24.3, death_noticed=31.59),
            lives=(Life(stretches=((5.0, 2000.0),)),),
            acts=(Act(cue=Cue(event="created", seconds=40.0), what="mark", detail="skipped"),),
            troubles=(Trouble(process=2, step=8, kind="dies"),),
            chance=519,
        ),
    ),
    Case(
        "lost: marked while deferred",
        232,
        History(
            machinery=Machinery(pick_up=38.91),
            lives=(Life(stretches=((5.0, 2000.0),)),),
            acts=(Act(cue=Cue(event="Running"), what="mark", detail="failed"),),
            chance=232,
        ),
    ),
    Case(
        "lost: marked while none",
        576,
        History(
            machinery=Machinery(kill_delay=0.1),
            lives=(Life(stretches=((43.6, 467.57), (64.39, 3461.92))),),
            acts=(
                Act(cue=Cue(event="Pending", nth=3, seconds=22.0), what="clear"),
                Act(cue=Cue(event="Pending", nth=3, seconds=23.0), what="mark", detail="failed"),
            ),
            chance=576,
        ),
    ),
    Case(
        "lost: marked while scheduled",
        2724,
        History(
            lives=(Life(stretches=((5.0, 2000.0),)),),
            acts=(
                Act(cue=Cue(event="Running", seconds=0.3), what="time out"),
                Act(cue=Cue(event="request", nth=3, seconds=1.0), what="clear"),
            ),
            chance=2724,
        ),
    ),
    Case(
        "lost: marked while queued",
        984,
        History(
            lives=(Life(stretches=((5.0, 2000.0),)),),
            acts=(
                Act(cue=Cue(event="scheduled"), what="clear"),
                Act(cue=Cue(event="request", nth=3, seconds=1.4), what="clear"),
                Act(cue=Cue(event="request", nth=3, seconds=5.0), what="mark", detail="failed"),
            ),
            chance=984,
        ),
    ),
    Case(
        "lost: marked while restarting",
        1044,
        History(
            lives=(Life(stretches=((5.0, 2000.0),)),),
            acts=(
                Act(cue=Cue(event="running"), what="clear"),
                Act(cue=Cue(event="running"), what="mark", detail="skipped"),
            ),
            troubles=(Trouble(process=2, step=6, kind="delivered late 7.63"),),
            chance=1044,
        ),
    ),
    Case(
        "lost: a 404 was believed",
        163,
        History(
            platform=Platform(read_lag=2.37),
            lives=(Life(stretches=((5.0, 2000.0),)),),
            acts=(
                Act(cue=Cue(event="scheduled", seconds=10.0), what="clear"),
                Act(cue=Cue(event="scheduled", seconds=9.9), what="hide", seconds=100.0),
            ),
            neighbours=3,
            chance=163,
        ),
    ),
    Case(
        "lost: marked while up_for_retry",
        31,
        History(
            task=Task(retries=1),
            lives=(Life(stretches=((5.0, 2000.0),)),),
            acts=(
                Act(cue=Cue(event="Running", nth=2), what="clear"),
                Act(cue=Cue(event="up_for_retry"), what="time out"),
            ),
            troubles=(Trouble(process=3, step=2, kind="dies"),),
            chance=31,
        ),
    ),
    Case(
        "lost: a 404 was believed",
        54,
        History(
            platform=Platform(read_lag=1.15),
            lives=(Life(stretches=((5.0, 2000.0),)),),
            acts=(Act(cue=Cue(event="request"), what="mark", detail="failed"),),
            chance=54,
        ),
    ),
    Case(
        "lost: beside a second one",
        107,
        History(
            platform=Platform(list_lag=20.5),
            lives=(Life(stretches=((5.0, 2000.0),)), Life()),
            acts=(Act(cue=Cue(event="request", seconds=10.0), what="clear"),),
            neighbours=3,
            chance=107,
        ),
    ),
    Case(
        "lost: ended by AirflowApiError",
        648,
        History(
            lives=(Life(stretches=((5.0, 2000.0),)),),
            troubles=(Trouble(process=2, step=8, kind="html 404"),),
            chance=648,
        ),
    ),
    Case(
        "lost: it was not gone",
        368,
        History(
            lives=(Life(stretches=((5.0, 2000.0),)),),
            acts=(Act(cue=Cue(event="Running"), what="hide", seconds=210.0),),
            chance=368,
        ),
    ),
    Case(
        "lost: marked while up_for_retry",
        1297,
        History(
            task=Task(retries=3),
            lives=(Life(stretches=((5.0, 2000.0),)),),
            acts=(Act(cue=Cue(event="Pending", seconds=9.6), what="mark", detail="failed"),),
            troubles=(Trouble(process=2, step=7, kind="empty list"),),
            chance=1297,
        ),
    ),
    Case(
        "lost: ended by Unreachable",
        495,
        History(
            lives=(Life(stretches=((5.0, 2000.0),)),),
            acts=(
                Act(cue=Cue(event="request", seconds=30.0), what="clear"),
                Act(
                    cue=Cue(event="created", nth=2, seconds=20.0),
                    what="outage",
                    seconds=90.0,
                    detail="503 before",
                ),
            ),
            chance=495,
        ),
    ),
    Case(
        "lost: refused at a retry",
        59,
        History(
            task=Task(retries=2, retry_delay=5.0),
            lives=(Life(stretches=((5.0, 2000.0),)),),
            acts=(
                Act(cue=Cue(event="request", nth=3, seconds=1.0), what="worker dies"),
                Act(cue=Cue(event="up_for_retry"), what="outage", seconds=40.0, detail="403"),
            ),
            chance=59,
        ),
    ),
    Case(
        "lost: a limit could not be enforced",
        1040,
        History(
            task=Task(timeouts=(("total", 84.87), ("interrupted_total", 670.88))),
            lives=(Life(stretches=((5.0, 2000.0),)),),
            troubles=(Trouble(process=3, step=4, kind="403"),),
            chance=1040,
        ),
    ),
    Case(
        "lost: ended by Unreadable",
        2963,
        History(
            task=Task(retries=3, retry_delay=5.0),
            platform=Platform(list_lag=23.64),
            lives=(Life(stretches=((5.0, 2000.0),)),),
            acts=(
                Act(
                    cue=Cue(event="created", seconds=20.0),
                    what="outage",
                    seconds=180.0,
                    detail="html",
                ),
            ),
            troubles=(Trouble(process=2, step=7, kind="request lost"),),
            chance=2963,
        ),
    ),
)
