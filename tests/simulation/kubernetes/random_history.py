"""
Makes a history of a seed for Kubernetes: that of Run:ai, with what only a cluster does.

Chances are of its own, so that what is added here changes no history of Run:ai.
"""

from __future__ import annotations

import random
from dataclasses import replace

from tests.simulation import random_history as any_platform
from tests.simulation import wire
from tests.simulation.history import Act, Cluster, Cue, History, Life, Platform
from tests.simulation.kubernetes.people import GARBAGE
from tests.simulation.kubernetes.scenes import with_scene
from tests.simulation.random_history import history_of

#: What no cluster does, and what happens instead.
NOT_HERE = ("hide", "restore")
DEEDS = {
    "delete pod": 3,
    "evict pod": 3,
    "preempt": 4,
    "lose node": 2,
    "relabel pod": 1,
    "relabel": 2,
    "annotate": 3,
    "impostor": 2,
    "delete": 4,
    "suspend": 3,
    "resume": 3,
    "API server restarts": 8,
    "streams break": 4,
    "streams fall silent": 3,
    "controller restarts": 2,
    "quota is full": 2,
    "right is taken": 4,
    "pods are refused": 2,
    "token is lost": 2,
    "namespace goes": 2,
}
FOLLOWS = {"suspend": "resume", "delete": "clear", "delete pod": "suspend", "preempt": "clear"}
POLICIES = ("Foreground", "Background", "Background", "Orphan")
LABELS = (
    "app.kubernetes.io/managed-by",
    "airflow-runai/identity",
    "airflow-runai/generation",
)
ANNOTATIONS = ("history", "fingerprint", "specification", "backoff-limit")
RIGHTS = (
    "watch jobs",
    "watch pods",
    "list pods",
    "list events",
    "patch jobs",
    "get jobs",
    "list jobs",
    "create jobs",
    "delete jobs",
)
#: Rights that may be missing always.
OPTIONAL = ("watch jobs", "watch pods", "list pods", "list events", "patch jobs")


def cluster_history_of(seed: int) -> History:
    """Make the history of a seed; the same for ever, as long as this file and the other's are."""
    chance = random.Random(f"kubernetes {seed}")
    history = history_of(seed)
    acts = tuple(act for act in history.acts if act.what not in NOT_HERE)
    # What a network delivers late is a class that is open on every platform, and known.
    troubles = tuple(one for one in history.troubles if not one.kind.startswith(wire.LATE))
    history = replace(
        history,
        cluster=_cluster(chance),
        platform=Platform(grace=history.platform.grace, clock_off=history.platform.clock_off),
        lives=tuple(_life(chance, life) for life in history.lives),
        acts=(*acts, *_acts(chance)),
        troubles=troubles,
        task=_with_budget(chance, history).task,
    )
    return with_scene(history, chance) if chance.random() < 0.3 else history


def _cluster(chance: random.Random) -> Cluster:
    lacking = chance.sample(OPTIONAL, chance.randint(1, 2)) if chance.random() < 0.1 else ()
    return Cluster(chance.random() < 0.25, chance.random() < 0.3, tuple(sorted(lacking)))


def _life(chance: random.Random, life: Life) -> Life:
    crashes = chance.choice((0, 0, 0, 1, 2, 7))
    return replace(life, odd_phase="", crashes=crashes if chance.random() < 0.4 else 0)


def _with_budget(chance: random.Random, history: History) -> History:
    budget = chance.choice((0, 0, 1, 3)) if chance.random() < 0.6 else None
    return replace(history, task=replace(history.task, backoff_limit=budget))


def _acts(chance: random.Random) -> tuple[Act, ...]:
    acts: list[Act] = []
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        act = _act(chance, any_platform._choice(chance, DEEDS), any_platform._cue(chance))
        acts.append(act)
        if act.what in FOLLOWS and chance.random() < 0.4:
            seconds = act.cue.seconds + any_platform._between(chance, 0.3, 20)
            cue = Cue(act.cue.event, act.cue.nth, seconds)
            acts.append(_act(chance, FOLLOWS[act.what], cue))
    return tuple(acts)


def _act(chance: random.Random, what: str, cue: Cue) -> Act:
    details = {
        "delete": POLICIES,
        "relabel": LABELS,
        "annotate": [f"airflow-runai/{one} {how}" for one in ANNOTATIONS for how in GARBAGE],
        "right is taken": RIGHTS,
    }
    lasting = {
        "API server restarts": (0.5, 60),
        "quota is full": (5, 900),
        "right is taken": (1, 900),
        "pods are refused": (5, 900),
        "token is lost": (1, 900),
        "namespace goes": (1, 900),
    }
    seconds = any_platform._between(chance, *lasting[what]) if what in lasting else 0.0
    return Act(cue, what, seconds, chance.choice(details[what]) if what in details else "")
