"""Sequences that chance alone makes too seldom on a cluster; some seeds get one in addition."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.simulation.history import Act, Cue, History, Life
from tests.simulation.scenes import LONG, SUBMITTED


def with_scene(history: History, chance: random.Random) -> History:
    """Add one of the scenes."""
    return chance.choice(SCENES)(history, chance)


def _pod_goes_beside_a_suspension(history: History, chance: random.Random) -> History:
    """Somebody suspends while KAI evicts, or the other way round."""
    moment = round(chance.uniform(5.0, 60.0), 2)
    acts = [
        Act(Cue("Running", 2, moment + round(chance.uniform(0.0, 3.0), 2)), what)
        for what in chance.sample(("suspend", "preempt", "delete pod", "evict pod"), 2)
    ]
    resumed = Act(Cue("Running", 2, moment + round(chance.uniform(1.0, 60.0), 1)), "resume")
    return replace(history, acts=(*history.acts, *acts, resumed), lives=(LONG, *history.lives))


def _orphans(history: History, chance: random.Random) -> History:
    """Somebody deletes the Job and leaves its pods, and the task begins anew."""
    moment = round(chance.uniform(5.0, 60.0), 2)
    acts = (
        Act(Cue("Running", 2, moment), "delete", 0.0, "Orphan"),
        Act(Cue("Running", 2, moment + round(chance.uniform(0.5, 20.0), 1)), "clear"),
    )
    return replace(history, acts=(*history.acts, *acts), lives=(LONG, *history.lives))


def _blind_triggerer(history: History, chance: random.Random) -> History:
    """Pods come and go while no triggerer lives."""
    away = round(chance.uniform(30.0, 300.0), 1)
    first = Life(((5.0, round(chance.uniform(5.0, 60.0), 1)), (5.0, 30.0), (20.0, 200.0)))
    act = Act(Cue("Running", chance.choice((2, 3)), 2.0), "triggerer dies", away)
    return replace(history, acts=(*history.acts, act), lives=(first, *history.lives))


def _name_is_taken(history: History, chance: random.Random) -> History:
    """Somebody takes the name of the next generation, and the task needs it."""
    moment = round(chance.uniform(0.5, 60.0), 2)
    acts = (
        Act(Cue(*SUBMITTED, moment), "impostor"),
        Act(Cue(*SUBMITTED, moment + round(chance.uniform(0.0, 3.0), 2)), "clear"),
    )
    return replace(history, acts=(*history.acts, *acts))


def _restart_while_submitting(history: History, chance: random.Random) -> History:
    """The API server restarts while a worker submits."""
    act = Act(
        Cue("running", 1, round(chance.uniform(0.0, 2.0), 2)),
        "API server restarts",
        round(chance.uniform(0.5, 30.0), 1),
    )
    return replace(history, acts=(*history.acts, act))


def _failures_in_the_dark(history: History, chance: random.Random) -> History:
    """It fails again and again, and what would show that is away for a while."""
    begun = Cue("Running", chance.choice((2, 3, 4)), round(chance.uniform(0.0, 30.0), 1))
    seconds = round(chance.uniform(5.0, 90.0), 1)
    hidden = chance.choice(
        (
            Act(begun, "streams fall silent"),
            Act(begun, "outage", seconds, "503 before"),
            Act(begun, "API server restarts", seconds),
            Act(begun, "triggerer dies", seconds),
            Act(begun, "right is taken", seconds, chance.choice(("list pods", "patch jobs"))),
            Act(begun, "relabel", 0.0, "app.kubernetes.io/managed-by"),
            Act(begun, "annotate", 0.0, "airflow-runai/history text"),
        )
    )
    task = replace(history.task, backoff_limit=chance.choice((0, 1)), timeouts=())
    lives = (replace(LONG, crashes=7), *history.lives)
    return replace(history, acts=(*history.acts, hidden), task=task, lives=lives)


def _a_right_comes_back(history: History, chance: random.Random) -> History:
    """Pods cannot be listed for a moment; long after that, it matters whether they are."""
    moment = round(chance.uniform(30.0, 90.0), 1)
    taken = Act(Cue(*SUBMITTED), "right is taken", round(chance.uniform(1.0, 25.0), 1), "list pods")
    gone = [Act(Cue("Running", 2, moment), chance.choice(("evict pod", "delete pod")))]
    if chance.random() < 0.5:
        clear = Cue("Running", 2, moment + round(chance.uniform(0.5, 20.0), 1))
        gone = [Act(Cue("Running", 2, moment), "delete", 0.0, "Orphan"), Act(clear, "clear")]
    lives = (replace(LONG, leaves_with_0=True), *history.lives)
    return replace(history, acts=(*history.acts, taken, *gone), lives=lives)


SCENES = (
    _pod_goes_beside_a_suspension,
    _orphans,
    _blind_triggerer,
    _name_is_taken,
    _restart_while_submitting,
    _failures_in_the_dark,
    _a_right_comes_back,
)
