"""
The steps of a training beside its wait, by looks at its checkpoints.

It looks now and then while the training runs, and once after each interruption. What it sees is
told to the wait when that asks, and to people every ten minutes at most.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
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
from airflow_runai.core.saves import Saved, gathered, of_this_run
from airflow_runai.core.texts import cut
from airflow_runai.core.timeline import AWAY, UNSEEN
from airflow_runai.core.usage import runs
from airflow_runai.hooks.sessions import one_per_loop
from airflow_runai.tasks.checkpoint_root import CheckpointRoot
from airflow_runai.tasks.step_readers import Answer, OutOfSight, StepReaders, read_here

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
        # Away, after a run whose last checkpoint nobody has looked for.
        self._owes_look = self._has_run = False
        self._timer: asyncio.TimerHandle | None = None
        # In a worker, of the thread in which this looks; the wait asks from another one.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last_line: tuple[int, float] | None = None
        self._saves: tuple[Saved, ...] = ()
        self._looked_at = 0.0
        self._is_whole = False

    def __call__(self, snapshot: Snapshot) -> StepProgress | None:
        """Take a reading of the wait; return what is known of the steps."""
        now = self._advance()
        kind = snapshot.workload.meaning
        if self._snapshot is None:
            self._is_whole = _is_from_the_first_run_on(snapshot)
        self._snapshot, self._offset = snapshot, snapshot.taken_at - now
        self._runs = self._runs if kind is Meaning.UNKNOWN else kind is Meaning.RUNNING
        self._has_run = self._has_run or self._runs
        self._owes_look = self._has_run and kind in AWAY
        self._begin()
        return self._progress(now)

    def hear(self, notice: Notice) -> None:
        """Begin to look, in a worker; nothing else is news."""
        self._loop = asyncio.get_running_loop()
        self._arm(self._loop)

    def _begin(self) -> None:
        """
        Look soon, if there is something to look for.

        In a worker, the notice that it runs may have been heard before this reading of it came.
        """
        try:
            self._arm(asyncio.get_running_loop())
        except RuntimeError:
            with suppress(RuntimeError):  # the loop may have been closed
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self._arm, self._loop)

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
        known = estimate(self._track, target, now=present, ran=self._ran, waited=self._waited)
        return replace(known, checkpoints=self._saves, is_whole=self._is_whole)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._is_looking or self._is_closed:
            return
        if self._owes_look:
            # The next incarnation goes on from the newest one, and may soon remove it.
            self._set_timer(loop, 0.0)
        elif self._runs and self._timer is None:
            # Not all waits of a triggerer that starts look at the same moment.
            self._set_timer(loop, LOOK_SECONDS * (1.0 if self._track else random.random()))

    def _set_timer(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        # What does not run makes no steps; the next run looks again.
        if (self._runs or self._owes_look) and not self._is_closed:
            self._has_run, self._owes_look, self._is_looking = self._runs, False, True
            one_per_loop(StepReaders).ask(self._root, self._seen)

    def _seen(self, answer: Answer) -> None:
        self._is_looking = False
        if self._is_closed or self._snapshot is None:
            return
        now = self._advance()
        if isinstance(answer, OutOfSight):
            self._miss(answer)
        elif answer:
            self._take(answer, now)
        self._arm(asyncio.get_running_loop())

    def _take(self, found: Sequence[Saved], now: float) -> None:
        assert self._snapshot is not None
        timeline, at = self._snapshot.timeline, now + self._offset
        since = runs_since(timeline)
        newest = max(of_this_run(found, timeline[0].at, since))
        is_fresh = since is not None and self._is_of_run(newest, since)
        self._looked_at = at
        self._track = sighted(self._track, newest.step, at=at, ran=self._ran, is_fresh=is_fresh)
        lives = runs(timeline, at)
        self._saves = gathered(self._saves, found, [life.start for life in lives[1:]])
        progress = self._progress(now)
        if progress is None or not self._is_due(progress.step, now):
            return
        self._last_line = (progress.step, now)
        seen = replace(self._snapshot, progress=progress)
        text = f"{seen.workload.name}: {sentence(progress, at)}"
        self._tell(Notice("progress", text, snapshot_news(seen)))

    def _is_of_run(self, newest: Saved, since: float) -> bool:
        """Whether it was written since then: by its time, or because it was not there before."""
        # A storage may have no times, or a clock that lags.
        is_new = self._track is not None and newest.step > self._track.step
        return newest.at >= since or (is_new and self._looked_at >= since)

    def _is_due(self, step: int, now: float) -> bool:
        if self._last_line is None:
            return True
        step_then, when = self._last_line
        return step != step_then and now - when >= TELL_SECONDS

    def _miss(self, answer: OutOfSight) -> None:
        self._is_whole = False
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
    found = read_here(root.saves) if root else None
    if not found:
        return None
    newest = max((one.at for one in progress.checkpoints), default=0.0)
    if newest:
        return None if any(one.at > newest for one in found) else progress
    return None if max(found).step > progress.step else progress


def _is_from_the_first_run_on(snapshot: Snapshot) -> bool:
    timeline = snapshot.timeline
    if snapshot.past_unread or timeline[0].phase == UNSEEN:
        return False
    return len(runs(timeline, snapshot.taken_at)) <= 1


def _monotonic() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()
