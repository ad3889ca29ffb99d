"""
The wait for a checkpoint while its training runs: a flow of questions, readings, conclusions.

A sensor that pokes and a trigger on an event loop share it: each performs its steps in its own way.
One poll asks the control plane *before* it reads, so that the last checkpoint of a training that
ends in between is still seen.

Quarantine acts only while the workload is not running, read before and after; it checks the
files themselves once more. What is left is the moment between that check and the rename, in which
the platform may start the process: the log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError

from airflow_runai.core.backend import Workloads, newest_named
from airflow_runai.core.decision import WaitPolicy, decide
from airflow_runai.core.flow import Flow
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.phases import Meaning
from airflow_runai.core.task_states import FINISHED_TASK_STATES
from airflow_runai.core.waiting import take_snapshot
from airflow_runai.core.workload import Workload
from airflow_runai.errors import CheckpointUnreadable, NoValidCheckpoint, RunaiError
from airflow_runai.links import workload_in
from airflow_runai.tasks.checkpoint_query import (
    CheckpointNotFoundYet,
    CheckpointQuery,
    no_valid_checkpoint,
    quarantine_rejected,
)

if TYPE_CHECKING:
    from airflow_runai.checkpoints import Selection

log = logging.getLogger(__name__)
T = TypeVar("T")

FOUND, ENDED = "found", "ended"
#: In these nothing of the workload runs, and nothing can begin to run before it was placed on a
#: node.
_IDLE = (Meaning.WAITING, Meaning.SUSPENDED)

Progress = Callable[[int], None]


@dataclass(frozen=True)
class CallApi:
    """Run a conversation with the platform; the answer is its result."""

    flow: Callable[[Workloads], Flow[Any]]


@dataclass(frozen=True)
class FetchXCom:
    """Fetch the training's ``runai_workload``; there is none before it was submitted."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


@dataclass(frozen=True)
class FetchTaskState:
    """Ask Airflow for the state of that task; ``None`` if it has none."""

    task: FetchXCom


@dataclass(frozen=True)
class ReadStorage:
    """Call something that reads storage, and so blocks; its argument may raise to end the call."""

    call: Callable[[Progress], Any]


Step: TypeAlias = CallApi | FetchXCom | FetchTaskState | ReadStorage
Steps: TypeAlias = Generator[Step, Any, T]


@dataclass(frozen=True)
class WorkloadStatus:
    """
    The status of the workload; the defaults say that nothing is known.

    :param end: how it ended for good, in words; empty while it has not.
    :param where: fields of the workload that ended, and the name of its project, if known.
    :param idle: nothing of it runs now.
    :param since: epoch seconds of its last change of phase, if the server says.
    """

    end: str = ""
    where: JsonMapping = field(default_factory=dict)
    idle: bool = False
    since: float | None = None


@dataclass
class CheckpointWait:
    """
    One wait, over all of its polls.

    :param workload: the one whose end ends the wait: fields of :class:`FetchXCom` or of
        :class:`Workload`; ``None`` for no workload.
    :param quarantine_invalid: quarantine bad checkpoints while the workload is interrupted.
    :param change_token: of the root when it was last read.
    :param quarantined: old path to new path.
    :param reason: why no checkpoint has passed yet.
    :param handled: key of the last (interruption, root listing) that quarantine has handled.
    """

    query: CheckpointQuery
    workload: JsonMapping | None = None
    quarantine_invalid: bool = False
    change_token: str = ""
    quarantined: dict[str, str] = field(default_factory=dict)
    reason: str = "nothing has been read yet"
    handled: str = ""
    _is_undecided: bool = False
    _logged_reason: str = ""
    _logged_error: str = ""
    _absent_since: float | None = None

    def poll(self) -> Steps[JsonObject | None]:
        """
        Look once.

        :return: what the wait ends with, or ``None`` to poll again later.
        :raises NoValidCheckpoint: if waiting cannot help; so does ``InvalidArgument``.
        """
        status = yield from self._workload_status()
        selection = yield from self._select(is_last=bool(status.end))
        if selection is not None and selection.chosen is not None:
            result = self.query.result(selection, self.quarantined)
            return {"status": FOUND, "result": result, "refused": len(selection.rejected)}
        # What cannot be read now may be the very checkpoint that is waited for.
        if status.end and not self._is_undecided:
            words = f"{status.end} without a checkpoint that passes: {self.reason}"
            return {"status": ENDED, "words": words, **status.where}
        self._log_reason()
        if self.quarantine_invalid and status.idle:
            yield from self._quarantine(status)
        return None

    def _log_reason(self) -> None:
        if self.reason != self._logged_reason:
            self._logged_reason = self.reason
            log.info("waiting on: %s", self.reason)

    def _workload_status(self) -> Steps[WorkloadStatus]:
        """Ask for the workload; that it cannot be read says nothing about it."""
        if self.workload is None:
            return WorkloadStatus()
        try:
            if "task_id" in self.workload:
                return (yield from self._task_status(FetchXCom(**self.workload)))
            workload = Workload.from_json(self.workload)
            return (yield from self._read_status(workload))
        except (RunaiError, AirflowException, AirflowRuntimeError, OSError) as error:
            if str(error) != self._logged_error:
                self._logged_error = str(error)
                log.warning(
                    "cannot read the workload (%s); its status is unknown, still waiting", error
                )
            return WorkloadStatus()

    def _task_status(self, task: FetchXCom) -> Steps[WorkloadStatus]:
        """A retry submits the next generation, so the end of one workload is not yet the end."""
        submitted = yield task
        status = WorkloadStatus()
        if submitted:
            workload = workload_in(submitted)
            status = yield from self._read_status(workload)
            if not status.end:
                return status
            where = {**status.where, "project": submitted.get("project") or ""}
            status = replace(status, where=where)
        state = yield FetchTaskState(task)
        if state not in FINISHED_TASK_STATES:
            return replace(status, end="", idle=bool(status.end))
        if status.end:
            return status
        return WorkloadStatus(f"task {task.task_id} is {state} and has left no workload; it ended")

    def _read_status(self, workload: Workload) -> Steps[WorkloadStatus]:
        status: WorkloadStatus = yield CallApi(partial(self._fetch_status, workload))
        return status

    def _fetch_status(self, wanted: Workload, backend: Workloads) -> Flow[WorkloadStatus]:
        workload = wanted if wanted.id else (yield from newest_named(backend, wanted))
        if workload is None:
            return WorkloadStatus()
        snapshot = yield from take_snapshot(backend.reader(workload), workload)
        # Each snapshot knows its own moment only: how long it is absent is remembered here.
        is_absent = snapshot.absent_since is not None
        self._absent_since = (self._absent_since or snapshot.absent_since) if is_absent else None
        decision = decide(WaitPolicy(), replace(snapshot, absent_since=self._absent_since))
        end, where = "", {}
        if isinstance(decision, Outcome):
            end = f"workload {decision.name} {decision.status} ({decision.reason})"
            where = {"workload": decision.workload().to_json()}
        idle = not is_absent and snapshot.workload.meaning in _IDLE
        return WorkloadStatus(end, where, idle, snapshot.workload.phase_updated_at)

    def _select(self, *, is_last: bool) -> Steps[Selection | None]:
        """Choose a checkpoint; ``None`` if nothing has changed, or it cannot be read now."""
        try:
            token = yield ReadStorage(lambda _: self.query.mark())
            if token == self.change_token and not is_last:
                return None
            selection: Selection = yield ReadStorage(self.query.select)
        except CheckpointUnreadable as error:
            self.change_token, self.reason = "", str(error)
            self._is_undecided = not isinstance(error, CheckpointNotFoundYet)
            return None
        self._note(selection, token)
        return selection

    def _note(self, selection: Selection, token: str) -> None:
        self._is_undecided = any(
            report.verdict == "unknown" and report.transient for report in selection.rejected
        )
        if selection.chosen is None:
            self.change_token = token if _is_settled(selection) else ""
            self.reason = str(no_valid_checkpoint(self.query.root, selection))

    def _quarantine(self, before: WorkloadStatus) -> Steps[None]:
        # The process may resume from any step; the report stays that of the real query.
        everything = replace(self.query, min_step=None, requirements=None, report_path=None)
        try:
            key = f"{before.since} {(yield ReadStorage(lambda _: everything.mark()))}"
            if key == self.handled:
                return
            selection: Selection = yield ReadStorage(everything.select)
        except NoValidCheckpoint:
            return
        now = yield from self._workload_status()
        if not now.idle or now.since != before.since:
            log.info("the workload goes on; nothing is quarantined")
            return
        moved = yield ReadStorage(lambda _: quarantine_rejected(selection, everything))
        self.quarantined.update(moved)
        # The key is that of the root before it was read: what came later has not been checked.
        self.handled = key if _is_settled(selection) else ""
        after = yield from self._workload_status()
        if not after.idle:
            log.warning(
                "the workload came back meanwhile; its log says which checkpoint it resumed from"
            )


def _is_settled(selection: Selection) -> bool:
    """
    Tell whether reading again is in vain while the listing stays the same.

    What could not be decided may become readable without a trace in the listing.
    """
    return not any(report.transient for report in selection.rejected)
