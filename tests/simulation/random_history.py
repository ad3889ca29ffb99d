"""
Makes a history of a seed.

Lags, faults and clears are far denser in it than in any production.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.simulation import wire
from tests.simulation.history import Act, Cue, History, Life, Machinery, Platform, Task, Trouble
from tests.simulation.scenes import with_scene

CUES = (
    "running",
    "deferred",
    "created",
    "Running",
    "up_for_retry",
    "scheduled",
    "none",
    "request",
    "fired",
    "Pending",
)
ENDS = ("success", "failed")
DEEDS = {
    "clear": 8,
    "mark": 8,
    "worker dies": 6,
    "worker is forgotten": 2,
    "drain": 2,
    "triggerer dies": 3,
    "take-over": 3,
    "outage": 6,
    "hide": 3,
    "restore": 1,
    "copy": 1,
    "suspend": 2,
    "resume": 2,
    "delete": 1,
    "rename": 1,
    "retries": 1,
    "delete the run": 2,
    "time out": 1,
}
FOLLOWS = {
    "mark": "clear",
    "clear": "mark",
    "suspend": "resume",
    "rename": "clear",
    "retries": "worker dies",
}
OUTAGES = ("503 before", "request lost", "html", "401", "403", "500 before")
#: What the platform says: the vendor documents no word for a preemption, and a container may say
#: anything.
WORDS = {
    "Preempted: another project wants its share": 70,
    "stopped": 20,
    "half \ud83d NUL \x00 ESC \x1b[31m": 10,
}
CLOCKS = ("queue", "interruption", "interrupted_total", "running", "total", "starting")


def histories_on(platform: str) -> Callable[[int], History]:
    """Return what makes the history of a seed on ``runai`` or ``kubernetes``."""
    if platform == "runai":
        return history_of
    # Imported here: what this one is compared with brings no model of Kubernetes.
    from tests.simulation.kubernetes.random_history import cluster_history_of

    return cluster_history_of


def history_of(seed: int) -> History:
    """Make the history of a seed; the same for ever, as long as this file is."""
    chance = random.Random(seed)
    machinery = _machinery(chance)
    history = History(
        task=_task(chance),
        platform=_platform(chance),
        machinery=machinery,
        lives=tuple(_life(chance) for _ in range(chance.randint(1, 3))),
        acts=_acts(chance),
        troubles=_troubles(chance),
        neighbours=chance.choice((2, 3)) if _often(chance, 0.1) else 0,
        chance=seed,
    )
    history = with_scene(history, chance) if _often(chance, 0.3) else history
    return _with_a_silent_end(history, random.Random(f"silent end {seed}"))


def _with_a_silent_end(history: History, chance: random.Random) -> History:
    """Let some trainings answer SIGTERM with exit code 0; by a chance of its own, so that seeds stay."""
    if not _often(chance, 0.15):
        return history
    first, *others = history.lives
    stretches = (*first.stretches, (5.0, 60.0)) if len(first.stretches) == 1 else first.stretches
    silent = replace(first, stretches=stretches, leaves_with_0=True)
    return replace(history, lives=(silent, *others, replace(silent, leaves_with_0=False)))


def _often(chance: random.Random, share: float) -> bool:
    return chance.random() < share


def _between(chance: random.Random, least: float, most: float) -> float:
    """Choose evenly among magnitudes."""
    return round(math.exp(chance.uniform(math.log(least), math.log(most))), 2)


def _task(chance: random.Random) -> Task:
    timeouts = [
        (clock, _between(chance, 30, 900)) for clock in chance.sample(CLOCKS, chance.randint(1, 2))
    ]
    return Task(
        retries=chance.choice((0, 1, 2, 3)),
        retry_delay=chance.choice((1.0, 5.0, 30.0, 120.0)),
        deferrable=_often(chance, 0.88),
        on_kill=_choice(chance, {"stop": 85, "suspend": 8, "keep": 7}),
        on_clear=_choice(chance, {"restart": 60, "reattach": 40}),
        when_suspended=_choice(chance, {"wait": 80, "end": 20}),
        timeouts=tuple(timeouts) if _often(chance, 0.35) else (),
    )


def _choice(chance: random.Random, weights: dict[str, int]) -> str:
    return chance.choices(list(weights), list(weights.values()))[0]


def _platform(chance: random.Random) -> Platform:
    return Platform(
        list_lag=_between(chance, 0.5, 30) if _often(chance, 0.4) else 0.0,
        read_lag=_between(chance, 0.5, 10) if _often(chance, 0.35) else 0.0,
        grace=_between(chance, 0.1, 120),
        history=_choice(chance, {"full": 70, "newest": 10, "none": 10, "forbidden": 10}),
        early_goodbye=_often(chance, 0.2),
        tells_variables=_often(chance, 0.8),
        tells_when=_often(chance, 0.8),
        clock_off=float(chance.choice((-3600, 600, 3600))) if _often(chance, 0.05) else 0.0,
    )


def _machinery(chance: random.Random) -> Machinery:
    skewed = _often(chance, 0.12)
    return Machinery(
        worker_skew=float(chance.choice((-600, 0, 600))) if skewed else 0.0,
        triggerer_skew=float(chance.choice((-600, 0, 600))) if skewed else 0.0,
        slot_wait=_between(chance, 5, 600) if _often(chance, 0.15) else 1.0,
        pick_up=_between(chance, 3, 60) if _often(chance, 0.15) else 1.0,
        kill_delay=round(chance.uniform(0.1, 8.0), 1),
        death_noticed=_between(chance, 1, 300),
        heartbeat=round(chance.uniform(0.1, 5.0), 1),
    )


def _life(chance: random.Random) -> Life:
    count = chance.choice((1, 1, 2, 3))
    stretches = tuple((_between(chance, 1, 300), _between(chance, 10, 900)) for _ in range(count))
    if _often(chance, 0.3):
        stretches = (*stretches[:-1], (stretches[-1][0], _between(chance, 1500, 5000)))
    odd = chance.choice(("Unknown", "Degraded", "Rebalancing")) if _often(chance, 0.1) else ""
    return Life(
        stretches, "Failed" if _often(chance, 0.2) else "Completed", odd, _choice(chance, WORDS)
    )


def _acts(chance: random.Random) -> tuple[Act, ...]:
    acts: list[Act] = []
    for _ in range(chance.choice((0, 1, 1, 2, 2, 3, 4))):
        act = _act(chance, _choice(chance, DEEDS), _cue(chance))
        acts.append(act)
        if act.what in FOLLOWS and _often(chance, 0.4):
            seconds = act.cue.seconds + _between(chance, 0.3, 20)
            acts.append(_act(chance, FOLLOWS[act.what], Cue(act.cue.event, act.cue.nth, seconds)))
    return tuple(acts)


def _cue(chance: random.Random, events: Sequence[str] = CUES) -> Cue:
    return Cue(chance.choice(events), chance.choice((1, 1, 1, 2, 3)), _between(chance, 0.05, 60))


def _act(chance: random.Random, what: str, cue: Cue) -> Act:
    if what == "outage":
        return Act(cue, what, _between(chance, 20, 1800), chance.choice(OUTAGES))
    if what == "mark":
        return Act(cue, what, 0.0, chance.choice(("failed", "failed", "success", "skipped")))
    if what == "retries":
        return Act(cue, what, float(chance.randint(0, 2)))
    if what == "delete the run":
        return Act(_cue(chance, ENDS), what)
    lasting = {
        "hide": (30, 300),
        "restore": (1, 600),
        "worker is forgotten": (1, 120),
        "triggerer dies": (5, 60),
        "take-over": (0.5, 30),
    }
    return Act(cue, what, _between(chance, *lasting[what]) if what in lasting else 0.0)


def _troubles(chance: random.Random) -> tuple[Trouble, ...]:
    return tuple(
        Trouble(chance.choice((1, 2, 2, 2, 3, 3, 4, 5)), chance.randint(1, 14), _kind(chance))
        for _ in range(chance.choice((0, 0, 1, 1, 2, 3, 5)))
    )


def _kind(chance: random.Random) -> str:
    if _often(chance, 0.35):
        return "dies"
    if _often(chance, 0.05):
        return f"{wire.LATE}{_between(chance, 5, 400)}"
    return chance.choice(wire.KINDS)
