"""
The steps of a training beside its wait: looks at the checkpoints now and then while it runs.

What it sees is told to the wait when that asks, and to people every ten minutes at most.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from airflow_runai.core.decision import Snapshot
from airflow_runai.core.flow import Notice
from airflow_runai.core.phase_news import snapshot_news
from airflow_runai.core.phases import Meaning
from airflow_runai.core.progress import (
    StepProgress,
    Track,
    estimate,
    out_of_sight,
    runs_since,
    sentence,
    sighted,
)
from airflow_runai.core.texts import cut
from airflow_runai.hooks.sessions import one_per_loop
from airflow_runai.tasks.checkpoint_root import CheckpointRoot, NewestStep
from airflow_runai.tasks.step_readers import GIVEN_UP, Answer, OutOfSight, StepReaders

log = logging.getLogger(__name__)

#: Seconds between two looks of one wait; seconds between two lines for people.
LOOK_SECONDS, TELL_SECONDS = 60.0, 600.0


class Steps:
    """
    What one wait knows of its training's steps; also a companion of the wait.

    :param root: where the checkpoints are.
    :param tell: takes a line for people, with what is published of the workload.
    """

    def __init__(self, root: CheckpointRoot, tell: Callable[[Notice], None]) -> None:
        self._root = root
        self._tell = tell
        self._track: Track | None = None
        self._snapshot: Snapshot | None = None
        self._offset = self._since = self._ran = self._waited = 0.0
        self._runs = self._is_looking = self._is_closed = self._was_missed = False
        self._timer: asyncio.TimerHandle | None = None
        self._last_line: tuple[int, float] | None = None

    def __call__(self, snapshot: Snapshot) -> StepProgress | None:
        """Take a reading of the wait; return what is known of the steps."""
        now = self._advance()
        kind = snapshot.workload.meaning
        self._snapshot, self._offset = snapshot, snapshot.taken_at - now
        self._runs = self._runs if kind is Meaning.UNKNOWN else kind is Meaning.RUNNING
        with suppress(RuntimeError):  # in a worker, the wait has no event loop
            self._arm(asyncio.get_running_loop())
        return self._progress(now)

    def hear(self, notice: Notice) -> None:
        """Begin to look, in a worker; nothing else is news."""
        self._arm(asyncio.get_running_loop())

    def close(self) -> None:
        """Look no more."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _advance(self) -> float:
        """Count the time since the last call; return the present, in monotonic seconds."""
        now = _monotonic()
        if self._snapshot is not None and self._runs:
            self._ran += now - self._since
        elif self._ran:
            self._waited += now - self._since
        self._since = now
        return now

    def _progress(self, now: float) -> StepProgress | None:
        if self._track is None:
            return None
        target, present = self._root.expected_steps, now + self._offset
        return estimate(self._track, target, now=present, ran=self._ran, waited=self._waited)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer or self._is_looking or self._is_closed or not self._runs:
            return
        # Not all waits of a triggerer that starts look at the same moment.
        seconds = LOOK_SECONDS * (1.0 if self._track else random.random())
        self._timer = loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        # What does not run makes no steps; the next run looks again.
        if self._runs and not self._is_closed:
            self._is_looking = True
            one_per_loop(StepReaders).ask(self._root, self._seen)

    def _seen(self, answer: Answer) -> None:
        self._is_looking = False
        if self._is_closed or self._snapshot is None:
            return
        now = self._advance()
        if isinstance(answer, OutOfSight):
            self._miss(answer)
        elif answer is not None:
            self._take(answer, now)
        self._arm(asyncio.get_running_loop())

    def _take(self, found: NewestStep, now: float) -> None:
        assert self._snapshot is not None
        since = runs_since(self._snapshot.timeline)
        is_fresh = since is not None and found.written_at >= since
        at = now + self._offset
        self._track = sighted(self._track, found.step, at=at, ran=self._ran, is_fresh=is_fresh)
        progress = self._progress(now)
        if progress is None or not self._is_due(progress.step, now):
            return
        self._last_line = (progress.step, now)
        seen = replace(self._snapshot, progress=progress)
        text = f"{seen.workload.name}: {sentence(progress, at)}"
        self._tell(Notice("progress", text, snapshot_news(seen)))

    def _is_due(self, step: int, now: float) -> bool:
        if self._last_line is None:
            return True
        step_then, when = self._last_line
        return step != step_then and now - when >= TELL_SECONDS

    def _miss(self, answer: OutOfSight) -> None:
        self._track = out_of_sight(self._track)
        if not self._was_missed:
            self._was_missed = True
            log.warning(
                "the checkpoints cannot be seen from here (%s): progress is not shown, and the "
                "clock progress does not run while that is so; give path_map if the path is the "
                "container's",
                cut(str(answer)),
            )


def still_idle(progress: StepProgress, root: CheckpointRoot | None) -> StepProgress | None:
    """Look again, in a worker; ``None`` if there is a new step, or if nobody can tell."""
    found: list[NewestStep | None] = []

    def read() -> None:
        with suppress(Exception):  # storage libraries raise what they like
            found.append(root.newest() if root else None)

    # A storage that hangs must not hold the worker.
    reader = threading.Thread(target=read, name="runai-steps", daemon=True)
    reader.start()
    reader.join(GIVEN_UP)
    newest = found[0] if found else None
    return progress if newest is not None and newest.step <= progress.step else None


def _monotonic() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()
