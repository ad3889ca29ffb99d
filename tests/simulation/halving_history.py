"""
A random history of successive halving: gates that take turns, die, are repeated, and are cleared.

The gates are the real ones over an object store in memory; each of their requests is a step that a
seed decides. What Airflow does to them is played here: it starts the task that comes next for a
trial, starts a task again whose worker died, and runs one again that a user cleared, at any moment
and also beside a worker that was only taken for dead. Users mark gates as failed, too.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from airflow_runai.checkpoints.storage.small_files import SmallFile
from airflow_runai.core.sweep.halving import PROMOTE, WAIT, budget
from airflow_runai.tasks.rung_files import Rung, RungQuery, end_trial
from tests.checkpoints.stepped_store import Store, StoredPath, User

#: Chances of what happens in a step; otherwise somebody makes one request.
STARTS, DIES, CLEARED, MARKED, STORM = 0.25, 0.02, 0.02, 0.005, 0.005
#: A trial at the gate of a rung; ``None`` for the task that ends it.
Task = tuple[int, int | None]


@dataclass
class History:
    """
    One sweep.

    :param scores: of each trial, by rung; ``None`` for an evaluation that fails.
    :param told: what each gate was told, by task, in the order of the answers.
    """

    scores: list[list[float | None]]
    eta: int
    random: random.Random
    store: Store = field(default_factory=Store)
    told: dict[Task, list[str]] = field(default_factory=dict)
    first_results: dict[str, bytes] = field(default_factory=dict)
    _pending: list[Task] = field(default_factory=list)
    _running: list[tuple[Task, User]] = field(default_factory=list)

    @property
    def rungs(self) -> int:
        """How many rungs have a gate."""
        return len(self.scores[0])

    def play(self, steps: int) -> None:
        """Let anything happen for so many steps."""
        self._begin()
        for _ in range(steps):
            self._step()

    def finish(self) -> None:
        """Let everybody go on undisturbed; fails if they wait for each other for ever."""
        while self._pending or self._running:
            running = [task for task, _ in self._running]
            before = dict(self.store.objects), Counter([*self._pending, *running])
            waiting = list(self._pending)
            self._pending.clear()
            for task in waiting:
                self._start(task)
            for _, user in self._running:
                user.finish()
            self._collect()
            after = self.store.objects, Counter(self._pending)
            assert not self._pending or after != before, f"all wait: {self._pending}"

    def close(self) -> None:
        """End the threads that are left."""
        for _, user in self._running:
            user.step(dies=True)

    def again(self, task: Task) -> str:
        """Ask a gate once more, alone; its evaluation says something else this time."""
        answer = self._work(task, self.random.random())()
        return str(answer)

    def claims(self, rung: int) -> list[bytes]:
        """Return who has gone on from a rung, as the files say."""
        return self._under(f"run/rungs/{rung}/claims/")

    def _under(self, prefix: str) -> list[bytes]:
        return [data for path, data in self.store.objects.items() if path.startswith(prefix)]

    def _begin(self) -> None:
        order = list(range(len(self.scores)))
        self.random.shuffle(order)
        self._pending += [self._next(trial, 0) for trial in order]

    def _next(self, trial: int, rung: int) -> Task:
        """Return what comes after the gates before ``rung``: a failed evaluation has no gate."""
        is_over = rung >= self.rungs or self.scores[trial][rung] is None
        return (trial, None if is_over else rung)

    def _step(self) -> None:
        chance = self.random.random()
        if chance < STORM:
            for _, user in self._running:
                user.step(dies=True)
        elif chance < STORM + CLEARED and self.told:
            self._start(self.random.choice(sorted(self.told, key=repr)))
        elif chance < STORM + CLEARED + MARKED and self._pending:
            trial, _ = self._pending.pop()
            self._pending.append((trial, None))
        elif chance < STORM + CLEARED + MARKED + STARTS and self._pending:
            self._start(self._pending.pop(self.random.randrange(len(self._pending))))
        elif self._running:
            _, user = self.random.choice(self._running)
            user.step(dies=self.random.random() < DIES)
        self._collect()

    def _start(self, task: Task) -> None:
        trial, rung = task
        score = None if rung is None else self.scores[trial][rung]
        if task in self.told:  # cleared: its evaluation is repeated, too
            score = self.random.random()
        self._running.append((task, User(self._work(task, score))))

    def _work(self, task: Task, score: float | None) -> Callable[[], Any]:
        trial, number = task
        folder = SmallFile(StoredPath(self.store, "run/rungs"))
        query = RungQuery(number or 0, trial, len(self.scores), self.eta, "a", "max")
        rung = Rung(query, folder)

        def gate() -> str:
            rung.record(score)
            return rung.settle()

        return partial(end_trial, folder, trial) if number is None else gate

    def _collect(self) -> None:
        for task, user in [one for one in self._running if one[1].ended]:
            self._running.remove((task, user))
            assert user.died or not isinstance(user.result, Exception), user.result
            self._after(task, None if user.died else user.result, user.died)
        for path, data in self.store.objects.items():
            if "/results/" in path:
                self.first_results.setdefault(path, data)

    def _after(self, task: Task, answer: str | None, died: bool) -> None:
        trial, rung = task
        if died or answer == WAIT:
            self._pending.append(task)
        elif rung is not None:
            is_first = task not in self.told
            self.told.setdefault(task, []).append(str(answer))
            if is_first or answer != self.told[task][-2]:
                following = rung + 1 if answer == PROMOTE else self.rungs
                self._pending.append(self._next(trial, following))


def promoted(history: History, rung: int) -> set[int]:
    """Return the trials that were ever told to go on from a rung."""
    return {t for (t, at), told in history.told.items() if at == rung and PROMOTE in told}


def limit(history: History, rung: int) -> int:
    """Return how many may go on from a rung."""
    return budget(len(history.scores), history.eta, rung)
