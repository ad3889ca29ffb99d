"""
From a task instance to its one workload: name it, adopt it or create it, and note that.

The order makes it safe: the intent is written to Airflow's state store *before* the create, the id
after it. If the try is killed in between, the next one finds the workload by the hash in its
name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_runai.backends import submission, suspension, termination
from airflow_runai.backends.patience import Patience
from airflow_runai.core.flow import Flow, now
from airflow_runai.core.marks import Mark
from airflow_runai.core.naming import TaskIdentity, base_name, generation_name
from airflow_runai.core.note import Note
from airflow_runai.core.phases import Meaning
from airflow_runai.core.project import Project
from airflow_runai.core.submission import (
    CLOCKS_AGREE,
    Adopt,
    Create,
    Numbered,
    Tries,
    begins_anew,
    plan_submission,
)
from airflow_runai.core.submission_request import SubmissionRequest
from airflow_runai.core.task_purpose import TaskPurpose
from airflow_runai.core.workload import Workload
from airflow_runai.errors import ForeignWorkload, Missing, NameTaken, NoEffect
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.tasks.missing_rights import tell_missing_rights
from airflow_runai.tasks.note_store import remember, write_note
from airflow_runai.tasks.try_identity import identity, may_be_made_again, origin_variables, tries_of
from airflow_runai.tasks.worker_stop import WorkerStopped

if TYPE_CHECKING:
    from airflow.sdk import Context

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass
class Submission:
    """
    One try's way to its workload.

    :param purpose: what is submitted, and what the task does with it.
    :param note: of an earlier try.
    :param slug: readable part of a new workload's name; by default made of the task id.
    :param on_clear: ``restart`` or ``reattach``.
    :param patience: with a control plane that does not answer.
    :param sleep: called with seconds; raises :class:`WorkerStopped` in a worker that is told to
        stop.
    :param has_waited: for room: which rights are missing was said before that.
    """

    hook: RunaiHook
    context: Context
    project: Project
    purpose: TaskPurpose
    note: Note | None
    slug: str | None
    on_clear: str
    patience: Patience
    sleep: Callable[[float], None]
    has_waited: bool = False
    _found_elsewhere: str | None = None

    def submit_or_adopt(self, before_create: Callable[[str], None]) -> Workload:
        """
        Return the workload of this task instance, existing or new.

        :param before_create: called with its name when a new workload is certain, before it is
            submitted.
        :raises RightMissing: if a right is missing without which nothing can be submitted.
        :raises Missing: if the submitted workload cannot be found.
        :raises WorkerStopped: before anything was submitted.
        """
        may_have_deleted = not self._begins_anew or may_be_made_again(self.context)
        step = self._plan(self._existing(deleted=may_have_deleted))
        if isinstance(step, Create) and not self.has_waited:
            tell_missing_rights(self.hook, self.project, self.purpose, self.sleep)
        while isinstance(step, Create):
            begun = self._run(now())
            try:
                workload = self._replace(step, before_create)
            except NameTaken as taken:
                step = self._beyond_the_deleted(step, taken)
                continue
            if not 0 < workload.created_at < begun - CLOCKS_AGREE:
                return workload
            # It was there before, but no list showed it: its owner and phase decide, as always.
            step = self._plan([(step.generation, workload)])
        self._end(step.ends)
        return self._adopt(step)

    @property
    def _begins_anew(self) -> bool:
        return begins_anew(self._tries, self.note)

    def _beyond_the_deleted(self, step: Create, taken: NameTaken) -> Create | Adopt:
        """Plan with the deleted ones: not every server frees their names."""
        if not self._begins_anew:
            raise taken
        another = self._plan(self._existing(deleted=True))
        if isinstance(another, Create) and another.generation == step.generation:
            raise taken
        return another

    def _run(self, flow: Flow[T]) -> T:
        return self.hook.run(flow, sleep=self.sleep)

    def _replace(self, step: Create, before_create: Callable[[str], None]) -> Workload:
        self._end(step.ends)
        if step.before:
            hook = self._hook_of(step.before)
            hook.run(termination.let_pods_end(hook.backend, step.before), sleep=self.sleep)
        # Last: its look at the room must be fresh, and nobody may write any more what it removes.
        before_create(self._name(step.generation))
        return self._create(step)

    def _end(self, older_ones: tuple[Workload, ...]) -> None:
        for older in older_ones:
            log.info(
                "%s is ended: the task was cleared, or a newer workload has taken its place",
                older.name,
            )
            hook = self._hook_of(older)
            hook.run(termination.end_and_wait(hook.backend, older), sleep=self.sleep)

    @cached_property
    def _identity(self) -> TaskIdentity:
        return identity(self.context, self.note)

    @cached_property
    def _tries(self) -> Tries:
        return tries_of(self.context)

    def _plan(self, existing: list[Numbered]) -> Create | Adopt:
        try:
            return plan_submission(existing, self._tries, self.note, self.on_clear)
        except Missing:
            if self.note:
                write_note(self.context, replace(self.note, missed_at=self._tries.max_tries))
            raise
        except ForeignWorkload:
            write_note(self.context, Note(0, self._tries.current, instance=self._identity.instance))
            raise

    def _existing(self, *, deleted: bool) -> list[Numbered]:
        backend, digest = self.hook.backend, self._identity.digest()
        existing = self._run(
            submission.generations(backend, self.project, digest, self.note, self.patience, deleted)
        )
        return [*existing, *self._elsewhere({workload.id for _, workload in existing})]

    def _elsewhere(self, known_ids: set[str]) -> list[Numbered]:
        """Find the noted workload through the connection that an earlier try used."""
        note = self.note
        if note is None or note.workload_id is None or note.workload_id in known_ids:
            return []
        if note.connection in (None, self.hook.runai_conn_id):
            return []
        hook = RunaiHook(str(note.connection))
        search = submission.present_state(hook.backend, note.workload(), self.patience, ())
        workload = hook.run(search, sleep=self.sleep)
        if workload is None:
            return []
        self._found_elsewhere = workload.id
        return [(note.generation, workload)]

    def _hook_of(self, workload: Workload) -> RunaiHook:
        if self.note and self.note.connection and workload.id == self._found_elsewhere:
            return RunaiHook(self.note.connection)
        return self.hook

    def _create(self, step: Create) -> Workload:
        request = self._request(self._name(step.generation))
        intent = self._new_note(step.generation, request)
        write_note(self.context, intent)
        workload = self._created(request)
        remember(self.context, replace(intent, workload_id=workload.id, kind=workload.kind))
        log.info(
            "submitted %s to project %s (id %s, try %d)",
            workload.name,
            self.project.name,
            workload.id,
            self._tries.current,
        )
        for reason in self._run(self.hook.backend.prospects(self.project, self.purpose.spec)):
            log.warning("%s: %s", workload.name, reason.sentence)
        return workload

    def _created(self, request: SubmissionRequest) -> Workload:
        backend = self.hook.backend
        submitting = submission.create_or_adopt(backend, self.project, request, self.patience)
        try:
            return self._run(submitting)
        except WorkerStopped:
            # The create that waited for its answer may have arrived: then somebody must end it.
            found = self.hook.run(submission.find_created(backend, self.project, request))
            if found is None:
                raise
            return found

    def _name(self, generation: int) -> str:
        if self.note and self.note.name and self.note.generation == generation:
            return self.note.name
        return generation_name(base_name(self._identity, self.slug), generation)

    def _request(self, name: str) -> SubmissionRequest:
        spec = self.purpose.spec.with_environment(origin_variables(self.context))
        return SubmissionRequest(
            name,
            spec,
            self._tries.current,
            Mark(self._identity.map_index, self.purpose.on_kill, self.purpose.awaited),
        )

    def _new_note(self, generation: int, request: SubmissionRequest) -> Note:
        begun = self.note.begun if self.note else None
        return Note(
            generation=generation,
            try_number=request.try_number,
            name=request.name,
            instance=self._identity.instance,
            connection=self.hook.runai_conn_id,
            fingerprint=request.fingerprint,
            max_tries=self._tries.max_tries,
            project_id=self.project.id,
            cluster_id=self.project.cluster_id,
            begun=begun or int(self._run(now())),
            cut_short=self.note.cut_short if self.note else None,
        )

    def _adopt(self, step: Adopt) -> Workload:
        workload, request = step.workload, self._request(step.workload.name)
        backend = self.hook.backend
        if workload.id == self._found_elsewhere:
            raise ForeignWorkload(
                f"workload {workload.name} ({workload.phase}) was submitted through the connection "
                f"{self._hook_of(workload).runai_conn_id!r}, and the task has "
                f"{self.hook.runai_conn_id!r} now: restore it, or clear the task with "
                "on_clear='restart' to replace the workload"
            )
        if workload.meaning is not Meaning.DELETING:
            steadfast = replace(self.patience, refusals=True)
            noted = self._noted_fingerprint(workload)
            self._run(submission.verify(backend, workload, request, noted, steadfast))
        log.info(
            "adopted %s (id %s, phase %s): nothing is submitted",
            workload.name,
            workload.id,
            workload.phase,
        )
        if workload.meaning is Meaning.SUSPENDED and step.cleared:
            # A user has cleared the task since it was suspended. A retry alone does not resume it.
            self._resume(workload)
        self._note_adopted(
            replace(self._new_note(step.generation, request), workload_id=workload.id)
        )
        return workload

    def _resume(self, workload: Workload) -> None:
        try:
            self._run(self.patience.retry(lambda: suspension.resume(self.hook.backend, workload)))
            log.info("%s was suspended: resumed, because the task was cleared", workload.name)
        except NoEffect as error:
            log.warning("%s; clear the task with on_clear='restart' to do so", error)

    def _noted_fingerprint(self, workload: Workload) -> str | None:
        if self.note and self.note.workload_id == workload.id:
            return self.note.fingerprint
        return None

    def _note_adopted(self, adopted: Note) -> None:
        if self.note and replace(self.note, try_number=adopted.try_number) == adopted:
            return
        remember(self.context, adopted)


def submission_result(workload: Workload, project: str) -> dict[str, Any]:
    """Return the result of a task that does not wait: what is known of the workload now."""
    return {
        "workload_id": workload.id,
        "name": workload.name,
        "project": project,
        "phase": workload.phase,
        "submitted_at": workload.created_at or None,
    }
