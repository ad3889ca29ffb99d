"""
The checkpoints under a root, listed in threads of their own: at most four in a process.

A storage that hangs cannot be interrupted. It keeps its thread, its root is left alone for a while,
and whoever asked goes on without an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias, TypeVar

from airflow_runai.core.saves import Saved
from airflow_runai.tasks.checkpoint_root import CheckpointRoot

T = TypeVar("T")

#: Threads that read.
READERS = 4
#: Seconds after which a reading is given up, and for which its root is left alone then.
GIVEN_UP, LEFT_ALONE = 10.0, 600.0
#: Seconds after which one that did not get its turn is given up.
PATIENCE = 60.0


class OutOfSight(Exception):
    """The checkpoints cannot be seen from here, now."""


#: Newest step first; ``None`` where the root is not there yet.
Answer: TypeAlias = tuple[Saved, ...] | OutOfSight | None


@dataclass(slots=True, eq=False)
class _StepLook:
    root: CheckpointRoot
    answer: Callable[[Answer], None]
    # Connections of object storage find their supervisor by the context.
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    timer: asyncio.TimerHandle | None = None


class StepReaders:
    """
    Reads for all waits on one event loop.

    :param read: blocks; raises what storage libraries raise.
    """

    def __init__(
        self, read: Callable[[CheckpointRoot], tuple[Saved, ...] | None] = CheckpointRoot.saves
    ) -> None:
        self._read = read
        self._waiting: deque[_StepLook] = deque()
        self._threads = 0
        #: By the key of a root: until when nobody shall read it; for ever while a thread hangs.
        self._hung_until: dict[object, float] = {}

    def ask(self, root: CheckpointRoot, answer: Callable[[Answer], None]) -> None:
        """
        Read as soon as a thread is free.

        :param answer: called on the loop, once.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._hung_until.get(root.key, 0.0):
            return answer(OutOfSight(f"{root.path} did not answer; it is left alone for a while"))
        self._hung_until.pop(root.key, None)
        look = _StepLook(root, answer)
        look.timer = loop.call_later(PATIENCE, self._skip, look)
        self._waiting.append(look)
        self._begin()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and self._threads < READERS:
            look = self._waiting.popleft()
            if loop.time() < self._hung_until.get(look.root.key, 0.0):
                self._tell(look, OutOfSight(f"{look.root.path} does not answer"))
                continue
            self._threads += 1
            if look.timer is not None:
                look.timer.cancel()
            look.timer = loop.call_later(GIVEN_UP, self._give_up, look)
            # Python waits for the threads of an executor when it exits, and one of these may hang.
            work = partial(look.context.run, self._work, loop, look)
            threading.Thread(target=work, name="runai-steps", daemon=True).start()

    def _work(self, loop: asyncio.AbstractEventLoop, look: _StepLook) -> None:
        answer: Answer
        try:
            answer = self._read(look.root)
        except Exception as error:  # storage libraries raise what they like
            answer = OutOfSight(str(error) or type(error).__name__)
        # The loop may have been closed meanwhile.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._end, look, answer)

    def _end(self, look: _StepLook, answer: Answer) -> None:
        self._threads -= 1
        if look.timer is None:  # it was given up, but its thread has come back
            self._hung_until[look.root.key] = asyncio.get_running_loop().time() + LEFT_ALONE
        self._tell(look, answer)
        self._begin()

    def _tell(self, look: _StepLook, answer: Answer) -> None:
        if look.timer is not None:
            look.timer.cancel()
            look.timer = None
            look.answer(answer)

    def _skip(self, look: _StepLook) -> None:
        self._waiting.remove(look)
        self._tell(look, OutOfSight(f"nobody could look within {PATIENCE:.0f} s: others hang"))

    def _give_up(self, look: _StepLook) -> None:
        # A second thread would only hang beside the first.
        self._hung_until[look.root.key] = math.inf
        self._tell(look, OutOfSight(f"{look.root.path} did not answer within {GIVEN_UP:.0f} s"))


def read_here(read: Callable[[], T]) -> T | None:
    """
    Read in a worker, which has nothing else to do meanwhile.

    :return: ``None`` if it cannot be read, or not within :data:`GIVEN_UP`.
    """
    found: list[T] = []

    def work() -> None:
        with contextlib.suppress(Exception):  # storage libraries raise what they like
            found.append(read())

    # A storage that hangs must not hold the worker.
    context = contextvars.copy_context()
    reader = threading.Thread(target=context.run, args=(work,), name="runai-steps", daemon=True)
    reader.start()
    reader.join(GIVEN_UP)
    return found[0] if found else None
