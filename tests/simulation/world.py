"""
The truth about the platform: workloads, their phases, their pods. What the control plane *says* is in ``server.py``.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.clock import VirtualLoop
from tests.simulation.history import Life, Platform
from tests.simulation.story import Story

FOREVER = float("inf")
FINAL = ("Completed", "Failed")
SUSPENDED = ("Stopping", "Stopped")
#: The ways in which a control plane denies a workload that exists.
HIDDEN, LATE_STOP, LATE_READ = "hidden", "404 to a stop after the create", "404 after the create"
LATE_LIST, EMPTY_LIST = "late list", "empty list"


@dataclass(eq=False)
class Workload:
    """
    A workload and its whole past.

    :param phases: (since, phase, message), oldest first.
    :param pods: (from, until) of each stretch in which its pods stood; the last may be open.
    :param told: when the control plane first told a phase (by its place) to somebody who waits for
        the workload.
    :param lies: when, and in which way, the control plane denied its existence.
    :param is_disowned: a person has taken away by what ours find it.
    """

    id: str
    name: str
    spec: Mapping[str, Any]
    created: float
    ordinal: int
    phases: list[tuple[float, str, str]] = field(default_factory=list)
    pods: list[list[float]] = field(default_factory=list)
    deleted: float | None = None
    condemned: float | None = None
    told: dict[int, float] = field(default_factory=dict)
    lies: list[tuple[float, str]] = field(default_factory=list)
    hidden_until: float = 0.0
    acts: list[tuple[float, str, str]] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None
    is_disowned: bool = False

    def was_denied(self, way: str, since: float, until: float) -> bool:
        """Tell whether the control plane denied it in this way, some time in between."""
        return any(since < at <= until for at, denied in self.lies if denied == way)

    @property
    def phase(self) -> str:
        return self.phases[-1][1]

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or somebody is removing it."""
        return self.phase in FINAL or self.condemned is not None

    @property
    def is_alive(self) -> bool:
        """Whether it runs or will run without anybody doing anything more."""
        return not self.is_over and self.phase not in SUSPENDED

    @property
    def stretches(self) -> list[tuple[float, float]]:
        """In which it ran, or would have run without anybody doing anything more."""
        found: list[tuple[float, float]] = []
        since: float | None = None
        for at, phase, _ in self.phases:
            lives = phase not in (*FINAL, *SUSPENDED, "Deleting")
            if lives and since is None:
                since = at
            elif not lives and since is not None:
                found, since = [*found, (since, at)], None
        if since is not None:
            found.append((since, self.condemned if self.condemned is not None else FOREVER))
        return found

    def lives_at(self, moment: float) -> bool:
        """Tell whether it ran, or would have run."""
        return any(since <= moment < until for since, until in self.stretches)

    def phase_at(self, moment: float) -> tuple[float, str, str]:
        """Tell which phase held at ``moment``."""
        return self.phases[self._place_at(moment)]

    def tell_phase(self, moment: float, now: float) -> tuple[float, str, str]:
        """Tell somebody which phase held at ``moment``, and remember that it was told ``now``."""
        self.told.setdefault(self._place_at(moment), now)
        return self.phase_at(moment)

    def _place_at(self, moment: float) -> int:
        return next(
            (i for i in reversed(range(len(self.phases))) if self.phases[i][0] <= moment), 0
        )

    def has_pods(self, moment: float) -> bool:
        return any(since <= moment < until for since, until in self.pods)

    @property
    def variables(self) -> dict[str, str]:
        listed = self.spec.get("environmentVariables") or ()
        return {entry["name"]: entry.get("value") for entry in listed}

    @property
    def task(self) -> tuple[str, ...]:
        """The task instance that made it, as its variables say; empty for what others made."""
        keys = ("AIRFLOW_CTX_DAG_ID", "AIRFLOW_CTX_DAG_RUN_ID", "AIRFLOW_CTX_TASK_ID")
        found = tuple(self.variables.get(key, "") for key in keys)
        return found if all(found) else ()


@dataclass(eq=False)
class World:
    """All workloads, alive and dead, and what moves them."""

    loop: VirtualLoop
    story: Story
    platform: Platform
    lives: Sequence[Life]
    chance: random.Random
    workloads: list[Workload] = field(default_factory=list)

    def now(self) -> float:
        return self.loop.time()

    def create(
        self, name: str, spec: Mapping[str, Any], who: str, life: Life | None = None
    ) -> Workload | None:
        """Make a workload; ``None`` if the name is taken by one that is not deleted."""
        if any(w.name == name and w.deleted is None for w in self.workloads):
            return None
        identity = str(uuid.UUID(int=self.chance.getrandbits(128), version=4))
        made = Workload(identity, name, spec, self.now(), len(self.workloads))
        self.workloads.append(made)
        self.story.note(
            "created", who, workload=made.name, ordinal=made.ordinal, beside=self._beside(made)
        )
        made.acts = _acts(life or self._life_of(made), self.platform.grace)
        self._enter(made, "Creating")
        self._next(made)
        return made

    def _life_of(self, made: Workload) -> Life:
        earlier = sum(w.task == made.task for w in self.workloads) - 1
        return self.lives[min(earlier, len(self.lives) - 1)]

    def _beside(self, made: Workload) -> list[str]:
        same = [w for w in self.workloads if w is not made and w.task and w.task == made.task]
        return [f"{w.name} {w.phase}" for w in same if not w.is_over or w.has_pods(self.now())]

    def delete(self, workload: Workload, who: str) -> None:
        """Begin to remove it: pods get their grace period."""
        if workload.condemned is not None:
            return
        self.story.note(
            "deleted", who, workload=workload.name, ordinal=workload.ordinal, phase=workload.phase
        )
        workload.condemned = self.now()
        self._cancel(workload)
        grace = self.platform.grace if workload.has_pods(self.now()) else 0.2
        self._pods_end(workload, grace)
        if self.platform.early_goodbye:
            workload.deleted = self.now()
            return
        self._enter(workload, "Deleting")
        self.loop.after(grace, lambda: setattr(workload, "deleted", self.now()))

    def suspend(self, workload: Workload, who: str) -> None:
        """Stop its pods, keep the workload."""
        if not workload.is_alive:
            return
        self.story.note(
            "suspended", who, workload=workload.name, ordinal=workload.ordinal, phase=workload.phase
        )
        self._cancel(workload)
        grace = self.platform.grace if workload.has_pods(self.now()) else 0.2
        self._pods_end(workload, grace)
        self._enter(workload, "Stopping")
        workload.timer = self.loop.after(grace, lambda: self._enter(workload, "Stopped"))

    def resume(self, workload: Workload, who: str) -> None:
        """Let it queue again."""
        if workload.is_over or workload.phase not in SUSPENDED:
            return
        self.story.note("resumed", who, workload=workload.name, ordinal=workload.ordinal)
        self._cancel(workload)
        self._enter(workload, "Resuming")
        workload.acts = [
            (2.0, "Pending", ""),
            (4.0, "Initializing", ""),
            (3.0, "Running", ""),
            *workload.acts,
        ]
        self._next(workload)

    def _cancel(self, workload: Workload) -> None:
        if workload.timer is not None:
            workload.timer.cancel()

    def _next(self, workload: Workload) -> None:
        if workload.acts:
            workload.timer = self.loop.after(workload.acts[0][0], lambda: self._advance(workload))

    def _advance(self, workload: Workload) -> None:
        _, phase, message = workload.acts.pop(0)
        if phase == "Initializing":
            workload.pods.append([self.now(), float("inf")])
        elif phase in (*FINAL, "Pending"):
            self._pods_end(workload, 0.0)
        self._enter(workload, phase, message)
        self._next(workload)

    def _enter(self, workload: Workload, phase: str, message: str = "") -> None:
        workload.phases.append((self.now(), phase, message))
        self.story.note(
            "phase", "platform", workload=workload.name, ordinal=workload.ordinal, phase=phase
        )

    def _pods_end(self, workload: Workload, grace: float) -> None:
        for stretch in workload.pods:
            stretch[1] = min(stretch[1], self.now() + grace)


def _acts(life: Life, grace: float) -> list[tuple[float, str, str]]:
    """Write out a life as (seconds before, phase, message)."""
    acts = [(1.0, "Pending", "")]
    for number, (queued, running) in enumerate(life.stretches):
        acts += [(queued, "Initializing", ""), (3.0, "Running", "")]
        if life.odd_phase and number == 0:
            acts += [(running / 3, life.odd_phase, ""), (running / 3, "Running", "")]
            running /= 3
        if number == len(life.stretches) - 1:
            acts.append((running, life.end, life.words))
        else:
            acts.append((running, "Terminating", life.words))
            if life.leaves_with_0:
                return [*acts, (grace, "Completed", "")]
            acts.append((grace, "Pending", ""))
    return acts
