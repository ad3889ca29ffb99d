"""
Waiting for a checkpoint while its training runs, as a conversation: what to ask, what to read, what follows from it.

One round is a generator, so that a sensor that pokes and a trigger on an event loop share it:
:func:`drive` and :func:`adrive` do what it asks for, here or in a thread. It asks the control plane
*before* it reads, so that the last checkpoint of a training that ends in between is still seen.

The veto acts only while the workload is not running, read before and after; quarantine looks once
more at the files themselves. What is left is the moment between that look and the rename, in which
the platform may start the process: it is told in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError

from airflow_runai.backends import control_plane
from airflow_runai.core.decision import WaitPolicy, decide
from airflow_runai.core.flow import Flow
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.phases import Meaning
from airflow_runai.core.waiting import look
from airflow_runai.core.workload import Workload
from airflow_runai.errors import CheckpointUnreadable, NoValidCheckpoint, RunaiError
from airflow_runai.tasks.checkpoint_query import (
    CheckpointNotFoundYet,
    CheckpointQuery,
    no_valid_checkpoint,
    quarantine_rejected,
)

if TYPE_CHECKING:
    from airflow_runai.checkpoints import Selection

log = logging.getLogger(__name__)

FOUND, ENDED = "found", "ended"
#: In these nothing of the workload runs, and nothing can begin to run before it was placed on a
#: node.
_IDLE = (Meaning.WAITING, Meaning.SUSPENDED)
#: States in which Airflow is done with a task; in any other it may submit once more.
_DONE = ("success", "failed", "skipped", "upstream_failed", "removed")

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Ask:
    """Talk to the control plane."""

    flow: Callable[[], Flow[Any]]


@dataclass(frozen=True)
class FetchXCom:
    """Fetch what the training of this task left under ``runai_workload``; nothing before it was submitted."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    def question(self) -> dict[str, Any]:
        """
        What Airflow wants to be given to tell the task's state; the answer is for :func:`state_in`.
        """
        known = asdict(self)
        task_id, run_id = known.pop("task_id"), known.pop("run_id")
        return {**known, "task_ids": [task_id], "run_ids": [run_id]}


@dataclass(frozen=True)
class State:
    """Ask Airflow how far that task is; ``None`` where it does not say."""

    task: FetchXCom


@dataclass(frozen=True)
class Read:
    """Call something that reads storage, and so blocks; what it is given may raise to end it."""

    call: Callable[[Progress], Any]


Step = Ask | FetchXCom | State | Read
Round = Generator[Step, Any, "dict[str, Any] | None"]


@dataclass(frozen=True)
class Standing:
    """
    What is known of the workload.

    :param end: how it ended for good, in words; empty while it has not.
    :param idle: nothing of it runs now.
    :param since: epoch seconds of its last change of phase, if the server says.
    """

    end: str = ""
    idle: bool = False
    since: float | None = None


@dataclass
class Watch:
    """
    One wait.

    :param workload: whose end ends the wait: fields of :class:`FetchXCom` or of :class:`Workload`;
        ``None`` for nobody's.
    :param veto: put aside what is known to be bad while the workload is interrupted.
    :param mark: of the root when it was read last.
    :param aside: what was put aside: from where, and to where.
    :param words: why nothing has passed yet.
    :param guarded: stands for the interruption and the root in which the veto has acted already.
    """

    search: CheckpointQuery
    workload: Mapping[str, Any] | None = None
    veto: bool = False
    mark: str = ""
    aside: dict[str, str] = field(default_factory=dict)
    words: str = "nobody has looked yet"
    guarded: str = ""
    _unread: bool = False
    _told: str = ""
    _trouble: str = ""
    _absent_since: float | None = None

    def round(self) -> Round:
        """
        Look once.

        :return: what the wait ends with, or ``None`` to look again later.
        :raises NoValidCheckpoint: for what no waiting mends; ``SpecError`` likewise.
        """
        standing = yield from self._standing()
        found = yield from self._selection(last=bool(standing.end))
        if found is not None and found.chosen is not None:
            told = {"result": self.search.result(found, self.aside), "refused": len(found.rejected)}
            return {"status": FOUND, **told}
        # What cannot be read just now may be the very checkpoint.
        if standing.end and not self._unread:
            return {
                "status": ENDED,
                "words": f"{standing.end} without a checkpoint that passes: {self.words}",
            }
        self._tell()
        if self.veto and standing.idle:
            yield from self._put_bad_ones_aside(standing)
        return None

    def _tell(self) -> None:
        """Say why the wait goes on, whenever that has changed."""
        if self.words != self._told:
            self._told = self.words
            log.info("waiting on: %s", self.words)

    def _standing(self) -> Generator[Step, Any, Standing]:
        """What is known of the workload; nothing, where it cannot be asked: that says nothing about it."""
        try:
            if self.workload is None:
                return Standing()
            if "task_id" in self.workload:
                return (yield from self._standing_of_task(FetchXCom(**self.workload)))
            seen: Standing = yield Ask(partial(self._looked_at, Workload(**self.workload)))
            return seen
        except (RunaiError, AirflowException, AirflowRuntimeError, OSError) as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning(
                    "cannot look at the workload (%s); this says nothing about it, waiting on",
                    error,
                )
            return Standing()

    def _standing_of_task(self, task: FetchXCom) -> Generator[Step, Any, Standing]:
        """A task that is tried again submits the next generation, so its workload's end is not yet the end."""
        told = yield task
        seen = Standing()
        if told:
            seen = yield Ask(partial(self._looked_at, Workload(told["id"], told["name"], "")))
        if told and not seen.end:
            return seen
        state = yield State(task)
        if state in _DONE:
            return (
                seen
                if seen.end
                else Standing(f"task {task.task_id} is {state} and has left no workload; it ended")
            )
        return replace(seen, end="", idle=bool(seen.end))

    def _looked_at(self, wanted: Workload) -> Flow[Standing]:
        found = wanted if wanted.id else (yield from control_plane.finder(wanted)())
        if found is None:
            return Standing()
        seen = yield from look(control_plane.eyes(found), found)
        self._absent_since = seen.absent_since and (self._absent_since or seen.absent_since)
        verdict = decide(WaitPolicy(), replace(seen, absent_since=self._absent_since))
        end = (
            isinstance(verdict, Outcome)
            and f"workload {verdict.name} {verdict.status} ({verdict.reason})"
        )
        idle = seen.absent_since is None and seen.workload.meaning in _IDLE
        return Standing(end or "", idle, seen.workload.phase_updated_at)

    def _selection(self, *, last: bool) -> Generator[Step, Any, Any]:
        """Choose, unless nothing has changed since the last look."""
        try:
            mark = yield Read(lambda _: self.search.mark())
            if mark == self.mark and not last:
                return None
            found = yield Read(self.search.select)
        except CheckpointUnreadable as error:
            self.mark, self.words, self._unread = (
                "",
                str(error),
                not isinstance(error, CheckpointNotFoundYet),
            )
            return None
        self._unread = any(
            report.verdict == "unknown" and report.transient for report in found.rejected
        )
        if found.chosen is None:
            self.mark, self.words = (
                mark if _settled(found) else "",
                str(no_valid_checkpoint(self.search.root, found)),
            )
        return found

    def _put_bad_ones_aside(self, before: Standing) -> Generator[Step, Any, None]:
        everything = replace(self.search, min_step=None, requirements=None, report_path=None)
        try:
            seen = f"{before.since} {(yield Read(lambda _: everything.mark()))}"
            if seen == self.guarded:
                return
            found = yield Read(everything.select)
        except NoValidCheckpoint:
            return
        again = yield from self._standing()
        if not again.idle or again.since != before.since:
            log.info("the workload goes on; nothing is put aside")
            return
        self.aside.update((yield Read(lambda _: quarantine_rejected(found, everything))))
        # Of the root before it was read: what has come since then was not looked at.
        self.guarded = seen if _settled(found) else ""
        after = yield from self._standing()
        if not after.idle:
            log.warning(
                "the workload came back meanwhile; its log tells which checkpoint it resumed from"
            )


def _settled(found: Selection) -> bool:
    """Whether another look is in vain: what could not be decided may become readable without a trace in the listing."""
    return not any(report.transient for report in found.rejected)


def state_in(answer: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Read the state from Airflow's answer about one task; its key in there has the map index behind it, or not."""
    return next(
        (str(state) for states in answer.values() for state in states.values() if state), None
    )


def drive(steps: Round, do: Callable[[Step], Any]) -> dict[str, Any] | None:
    """Do what a round asks for, blocking."""
    answer, error = None, None
    while True:
        try:
            step = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            return dict(end.value) if end.value is not None else None
        answer, error = None, None
        try:
            answer = do(step)
        except Exception as problem:
            error = problem


async def adrive(steps: Round, do: Callable[[Step], Awaitable[Any]]) -> dict[str, Any] | None:
    """Do what a round asks for on an event loop."""
    answer, error = None, None
    while True:
        try:
            step = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            return dict(end.value) if end.value is not None else None
        answer, error = None, None
        try:
            answer = await do(step)
        except Exception as problem:
            error = problem
