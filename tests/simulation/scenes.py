"""
Sequences that chance alone makes too seldom, each of them what one remedy is for. Some seeds get one in addition.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from tests.simulation.history import Act, Cue, History, Life

#: The first workload that is created is a stranger's.
SUBMITTED = ("created", 2)
LONG = Life(stretches=((5.0, 4000.0),))


def with_scene(history: History, chance: random.Random) -> History:
    """Add one of the scenes."""
    return chance.choice(SCENES)(history, chance)


def _retries_are_edited(history: History, chance: random.Random) -> History:
    """The author lowers ``retries`` while a worker submits, and the worker dies."""
    moment = chance.uniform(0.02, 0.2)
    acts = (
        Act(Cue(*SUBMITTED, moment), "retries", float(chance.randint(0, 1))),
        _dies(moment + 0.05),
    )
    task = replace(history.task, retries=chance.choice((2, 3)))
    return replace(_plus(history, *acts), task=task, lives=(LONG,), neighbours=0)


def _limit_in_an_outage(history: History, chance: random.Random) -> History:
    """
    A limit passes while the control plane is away, or just before the worker would enforce it.
    """
    limit = round(chance.uniform(30.0, 300.0), 1)
    begun = (
        Cue("deferred", 1, limit * chance.uniform(0.2, 1.0))
        if chance.random() < 0.5
        else Cue("fired")
    )
    outage = Act(begun, "outage", chance.uniform(60.0, 900.0), "503 before")
    task = replace(
        history.task, timeouts=((chance.choice(("total", "running")), limit),), on_kill="stop"
    )
    return replace(_plus(history, outage), task=task, lives=(LONG,))


def _refused_in_the_middle(history: History, chance: random.Random) -> History:
    """A worker dies when it has submitted, and its successor is refused."""
    refusal = Act(
        Cue("up_for_retry"), "outage", chance.uniform(250.0, 900.0), chance.choice(("401", "403"))
    )
    task = replace(history.task, retries=chance.choice((1, 2)), retry_delay=5.0)
    acts = (_dies(chance.uniform(0.05, 0.3)), refusal)
    return replace(_plus(history, *acts), task=task, lives=(LONG,), neighbours=0)


def _run_made_again(history: History, chance: random.Random) -> History:
    """A run is deleted after its end, and the scheduler makes it again."""
    seconds = chance.uniform(1.0, 60.0)
    return _plus(
        history, *(Act(Cue(end, 1, seconds), "delete the run") for end in ("success", "failed"))
    )


def _run_is_deleted(history: History, chance: random.Random) -> History:
    """A run is deleted for good, or marked, while its task is somewhere on its way."""
    state = chance.choice(("deferred", "running", "up_for_retry", "scheduled", "queued", "none"))
    what = chance.choice(("delete the run for good", "mark the run"))
    return _plus(
        history, Act(Cue(state, chance.choice((1, 1, 2)), chance.uniform(0.1, 20.0)), what)
    )


def _nobody_hears_of_a_mark(history: History, chance: random.Random) -> History:
    """A task is marked, and whoever should hear of it is away."""
    moment = chance.uniform(1.0, 100.0)
    mark = Act(Cue("deferred", 1, moment), "mark", 0.0, chance.choice(("failed", "success")))
    after = Cue("deferred", 1, moment + chance.uniform(0.05, 1.0))
    deaf = (Act(after, "API server dies"), Act(after, "triggerer dies", 30.0))
    away = Act(after, "outage", chance.uniform(60.0, 900.0), "503 before")
    return replace(
        _plus(history, mark, *chance.choice(((*deaf,), (away, deaf[1]), (away,)))), lives=(LONG,)
    )


def _copy_and_clear(history: History, chance: random.Random) -> History:
    """Somebody submits by hand what looks like the task's own, and the task is cleared."""
    moment = chance.uniform(1.0, 60.0)
    return _plus(
        history,
        Act(Cue("Running", 2, moment), "copy"),
        Act(Cue("Running", 2, moment + 5.0), "clear"),
    )


def _retry_sees_an_old_list(history: History, chance: random.Random) -> History:
    """A training fails, and is tried again before the lists tell of it."""
    task = replace(history.task, retries=chance.choice((1, 2)), retry_delay=1.0)
    platform = replace(history.platform, list_lag=round(chance.uniform(10.0, 30.0), 1))
    first = Life(stretches=((5.0, round(chance.uniform(10.0, 90.0), 1)),), end="Failed")
    return replace(history, task=task, platform=platform, lives=(first, *history.lives))


def _plus(history: History, *acts: Act) -> History:
    rounded = (
        replace(act, cue=replace(act.cue, seconds=round(act.cue.seconds, 2))) for act in acts
    )
    return replace(
        history,
        acts=(*history.acts, *(replace(act, seconds=round(act.seconds, 1)) for act in rounded)),
    )


def _dies(seconds: float) -> Act:
    return Act(Cue(*SUBMITTED, seconds), "worker dies")


SCENES: tuple[Callable[[History, random.Random], History], ...] = (
    _retries_are_edited,
    _limit_in_an_outage,
    _refused_in_the_middle,
    _run_made_again,
    _run_is_deleted,
    _nobody_hears_of_a_mark,
    _copy_and_clear,
    _retry_sees_an_old_list,
)
