"""
Ending a workload for good: a single call may be lost, and a 404 proves nothing by itself.

A deletion is repeated while the workload can be seen. It is done when the platform lists the
workload as deleted, or after ten minutes in which it could not be found. A replacement waits until
no pod of the old one may still write.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from airflow_runai.backends.patience import TELL_EVERY, retry_while_unreachable
from airflow_runai.core.backend import Workloads
from airflow_runai.core.dates import utc
from airflow_runai.core.decision import ABSENCE_SECONDS
from airflow_runai.core.flow import Flow, Notice, Sleep, now
from airflow_runai.core.phases import FINAL, OVER, Meaning
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotFound, Refused, RunaiError, Unauthorized, Unreachable, Untrusted

#: How long (seconds) a replaced workload may take to go away, its grace period included.
MAX_TERMINATION_SECONDS = 900.0
#: A deletion that shows no effect is repeated after so many seconds.
REPEAT = 15.0
#: Pauses (seconds) between looks grow from the first to the last.
_FIRST_PAUSE, _MAX_PAUSE = 2.0, 10.0
#: A worker checks this often whether a stop or suspension has taken effect.
_MAX_ATTEMPTS = 4
#: Kubernetes' default grace period, seconds: for servers that do not show the pods of a deleted
#: workload.
GRACE = 30.0


@dataclass
class _Ending:
    backend: Workloads
    workload: Workload
    deleted_at: float = -math.inf
    absent_since: float | None = None

    def step(self) -> Flow[bool]:
        """Look, and delete again if that had no effect; return whether it has ended."""
        workload = yield from present(self.backend, self.workload)
        moment = yield from now()
        if workload is None:
            self.absent_since = self.absent_since or moment
            return moment - self.absent_since >= ABSENCE_SECONDS
        self.absent_since = None
        if workload.deleted or workload.meaning in FINAL:
            return True
        had_no_effect = moment - self.deleted_at >= REPEAT
        if workload.meaning is not Meaning.DELETING and had_no_effect:
            self.deleted_at = moment
            yield from self.backend.delete(workload)
        return False


def present(backend: Workloads, workload: Workload) -> Flow[Workload | None]:
    """Read a workload, among the deleted ones too; ``None`` proves nothing by itself."""
    reader = backend.reader(workload)
    try:
        return (yield from reader.read(workload.id))
    except NotFound:
        return (yield from reader.find_deleted(workload.id))


def end_and_wait(backend: Workloads, workload: Workload) -> Flow[None]:
    """
    Delete a workload and wait until it has ended: two must never write to one checkpoint folder.

    :raises Unreachable: if it is still there after :data:`MAX_TERMINATION_SECONDS` seconds.
    """
    yield from _until(_Ending(backend, workload).step, f"workload {workload.name} is not gone")


def let_pods_end(backend: Workloads, workload: Workload) -> Flow[None]:
    """
    Wait until no pod of a workload may still write: a server may say "deleted" while they go down.

    :raises Unreachable: if there is still one after :data:`MAX_TERMINATION_SECONDS` seconds.
    """

    def no_pods_left() -> Flow[bool]:
        try:
            return (yield from backend.standing_pods(workload)) == 0
        except Unauthorized:
            raise
        except Refused:  # this server does not show them, or not to us
            yield Sleep(GRACE if workload.meaning not in FINAL else 0)
            return True

    yield from _until(no_pods_left, f"workload {workload.name} still has pods")


def _until(done: Callable[[], Flow[bool]], complaint: str) -> Flow[None]:
    pause = _FIRST_PAUSE
    started: float | None = None
    told_at = 0.0
    trouble: RunaiError | None = None
    while True:
        try:
            if (yield from done()):
                return
            trouble = None
        except Untrusted:
            raise
        except (Unreachable, Refused) as error:
            trouble = error
        moment = yield from now()
        if started is None:  # only a reply knows the server's time
            started = told_at = moment
        because = f" ({trouble})" if trouble else ""
        if moment - started > MAX_TERMINATION_SECONDS:
            raise Unreachable(f"{complaint} after {MAX_TERMINATION_SECONDS:.0f} s{because}")
        if moment - told_at >= TELL_EVERY:
            told_at = moment
            until = utc(started + MAX_TERMINATION_SECONDS)
            yield Notice("retry", f"{complaint}{because}; waiting until {until}")
        yield Sleep(pause, jitter=0.2)
        pause = min(pause * 1.5, _MAX_PAUSE)


def stop(
    backend: Workloads,
    workload: Workload,
    action: str,
    is_wanted: Callable[[], bool] = lambda: True,
    unless: Callable[[Workload], bool] = lambda current: False,
) -> Flow[str | None]:
    """
    Stop (delete) or suspend a workload, unless it has ended, and check that it took effect.

    :param action: ``stop``, ``suspend`` or ``keep``.
    :param is_wanted: called before each attempt: a task may be cleared during an outage.
    :param unless: called with what it is just before the first attempt; nothing is done if true.
    :return: a sentence for the log; ``None`` if the effect is not known yet, or nothing was done.
    """
    if action == "keep":
        return f"workload {workload.name} is left alone (on_kill='keep')"
    settled = OVER | {Meaning.SUSPENDED} if action == "suspend" else OVER
    call = backend.delete if action == "stop" else backend.suspend
    done = ""
    for _ in range(_MAX_ATTEMPTS):
        current = yield from retry_while_unreachable(lambda: present(backend, workload))
        if current is not None and current.meaning in settled:
            return f"workload {current.name} {done or f'is already {current.phase}'}"
        if current is not None:
            if not done and unless(current):
                return None
            if not (yield from retry_while_unreachable(_call_if(is_wanted, call, current))):
                return f"workload {current.name} goes on: its task was cleared"
            done = "was stopped and deleted" if action == "stop" else "was suspended"
        yield Sleep(_FIRST_PAUSE)
    return None


def _call_if(
    is_wanted: Callable[[], bool], call: Callable[[Workload], Flow[None]], workload: Workload
) -> Callable[[], Flow[bool]]:
    def attempt() -> Flow[bool]:
        if not is_wanted():
            return False
        yield from call(workload)
        return True

    return attempt
