"""
From a task instance to its one workload: names before calls, adopts before creating, and notes what it did.

The order of steps is the safety: the intent is written to Airflow's state store *before* the
create, the id after it. Killed anywhere in between, the next try finds the workload by the hash in
its name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_runai.backends import control_plane, submission, termination
from airflow_runai.backends.organization import Project
from airflow_runai.backends.submission import SubmissionRequest, retry_while_unreachable
from airflow_runai.core.flow import now
from airflow_runai.core.marks import Mark
from airflow_runai.core.naming import TaskIdentity, base_name, generation_name
from airflow_runai.core.note import Note
from airflow_runai.core.phases import Meaning
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.submission import (
    CLOCKS_AGREE,
    Adopt,
    Create,
    Numbered,
    Tries,
    plan_submission,
)
from airflow_runai.core.workload import Workload
from airflow_runai.deployment.instance_name import name_for_worker
from airflow_runai.errors import ForeignWorkload, Missing
from airflow_runai.hooks.runai import RunaiHook

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

#: Key in Airflow's task state store.
NOTE_KEY = "runai_submission"


@dataclass
class Submission:
    """
    One try's way to its workload.

    :param note: what an earlier try wrote down.
    :param slug: readable part of a new workload's name; ``None`` takes the task id.
    :param on_clear: ``restart`` or ``reattach``.
    :param on_kill: what the workload shall carry for whoever ends what nobody waits for.
    :param awaited: whether the task waits for the workload; only then may others end it.
    """

    hook: RunaiHook
    context: Context
    project: Project
    spec: WorkloadSpec
    note: Note | None
    slug: str | None
    on_clear: str
    on_kill: str
    awaited: bool = True
    _found_elsewhere: str | None = None

    def submit_or_adopt(self, before_create: Callable[[], None]) -> Workload:
        """
        Return the workload of this task instance: an existing one where there is a reason to adopt it, else a new one.

        :param before_create: called when a new workload is certain, before it is submitted.
        :raises Missing: if what was submitted cannot be found.
        """
        step = self._plan(self._existing())
        while isinstance(step, Create):
            begun = self.hook.run(now())
            workload = self._replace(step, before_create)
            if not 0 < workload.created_at < begun - CLOCKS_AGREE:
                return workload
            # It was there before, and no list showed it: whose it is, and how it stands, decides as
            # always.
            step = self._plan([(step.generation, workload)])
        self._end(step.ends)
        return self._adopt(step)

    def _replace(self, step: Create, before_create: Callable[[], None]) -> Workload:
        self._end(step.ends)
        before_create()
        if step.before:
            self._hook_of(step.before).run(termination.let_pods_end(step.before))
        return self._create(step)

    def _end(self, older_ones: tuple[Workload, ...]) -> None:
        for older in older_ones:
            log.info(
                "%s is ended: the task was cleared, or a newer workload has taken its place",
                older.name,
            )
            self._hook_of(older).run(termination.end_and_wait(older))

    @cached_property
    def _who(self) -> TaskIdentity:
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
            write_note(self.context, Note(0, self._tries.current, instance=self._who.instance))
            raise

    def _existing(self) -> list[Numbered]:
        found = self.hook.run(submission.generations(self.project, self._who.digest(), self.note))
        note, known = self.note, {workload.id for _, workload in found}
        if note and note.workload_id and note.workload_id not in known and self._is_elsewhere(note):
            there = RunaiHook(str(note.connection)).run(
                submission.present_state(note.workload_id, note.name, ())
            )
            if there:
                self._found_elsewhere = there.id
                return [*found, (note.generation, there)]
        return found

    def _is_elsewhere(self, note: Note) -> bool:
        """Whether an earlier try submitted through another connection, because the author has changed it since."""
        return note.connection not in (None, self.hook.runai_conn_id)

    def _hook_of(self, workload: Workload) -> RunaiHook:
        there = self.note.connection if self.note and workload.id == self._found_elsewhere else None
        return RunaiHook(there) if there else self.hook

    def _create(self, step: Create) -> Workload:
        note, tries = self.note, self._tries
        named = note.name if note and note.generation == step.generation else None
        name = named or generation_name(base_name(self._who, self.slug), step.generation)
        request = self._request(name)
        intent = self._noted(step.generation, request)
        write_note(self.context, intent)
        workload = self.hook.run(submission.create_or_adopt(self.project, request))
        remember(self.context, replace(intent, workload_id=workload.id))
        words = "submitted %s to project %s (id %s, try %d)"
        log.info(words, workload.name, self.project.name, workload.id, tries.current)
        return workload

    def _request(self, name: str) -> SubmissionRequest:
        spec = self.spec.with_environment(_about(self.context))
        return SubmissionRequest(
            name,
            spec,
            self._tries.current,
            Mark(self._who.map_index, self.on_kill, self.awaited),
        )

    def _noted(self, generation: int, request: SubmissionRequest) -> Note:
        earlier = self.note if self.note and self.note.generation == generation else None
        return Note(
            generation=generation,
            try_number=request.try_number,
            name=request.name,
            instance=self._who.instance,
            connection=self.hook.runai_conn_id,
            fingerprint=request.fingerprint,
            max_tries=self._tries.max_tries,
            begun=earlier.begun if earlier else int(self.hook.run(now())),
        )

    def _adopt(self, step: Adopt) -> Workload:
        workload, request = step.workload, self._request(step.workload.name)
        if workload.id == self._found_elsewhere:
            raise ForeignWorkload(
                f"workload {workload.name} ({workload.phase}) was submitted through the connection "
                f"{self._hook_of(workload).runai_conn_id!r}, and the task has {self.hook.runai_conn_id!r} now: restore "
                "it, or clear the task with on_clear='restart' to replace the workload"
            )
        noted = (
            self.note.fingerprint if self.note and self.note.workload_id == workload.id else None
        )
        if workload.meaning is not Meaning.DELETING:
            self.hook.run(submission.verify(workload, request, noted))
        log.info(
            "adopted %s (id %s, phase %s): nothing is submitted",
            workload.name,
            workload.id,
            workload.phase,
        )
        if workload.meaning is Meaning.SUSPENDED and step.cleared:
            # Whoever suspended it, somebody has cleared the task since. A mere retry undoes
            # nobody's decision.
            self.hook.run(retry_while_unreachable(lambda: control_plane.resume(workload)))
            log.info("%s was suspended: resumed, because the task was cleared", workload.name)
        adopted = replace(self._noted(step.generation, request), workload_id=workload.id)
        if replace(adopted, try_number=0) != (
            replace(self.note, try_number=0) if self.note else None
        ):
            remember(self.context, adopted)
        return workload


def identity(context: Context, note: Note | None = None) -> TaskIdentity:
    """Return who this task instance is, the same for all of its tries, whatever the settings say by now."""
    ti = context["ti"]
    map_index = -1 if ti.map_index is None else ti.map_index
    instance = (note.instance if note else None) or name_for_worker()
    return TaskIdentity(instance, ti.dag_id, ti.run_id, ti.task_id, map_index)


def tries_of(context: Context) -> Tries:
    """
    Return the present try and the first one since the last clear (a clear raises ``max_tries``).
    """
    ti = context["ti"]
    retries = int(getattr(context["task"], "retries", 0) or 0)
    max_tries = int(getattr(ti, "max_tries", 0) or 0)
    return Tries(ti.try_number, max(1, min(max_tries - retries + 1, ti.try_number)), max_tries)


def read_note(context: Context) -> Note | None:
    """Return what an earlier try wrote down, if it survived."""
    store = context.get("task_state_store")
    return Note.from_json(store.get(NOTE_KEY)) if store is not None else None


def write_note(context: Context, note: Note) -> None:
    """Write the note for later tries; it never expires, because trainings outlast the default of 30 days."""
    # Imported here: the worker's machinery is not needed to parse a DAG.
    from airflow.sdk.execution_time.context import NEVER_EXPIRE

    store = context.get("task_state_store")
    if store is not None:
        store.set(NOTE_KEY, note.to_json(), retention=NEVER_EXPIRE)


def remember(context: Context, note: Note) -> None:
    """Write the note if that can be done: there is a workload now, which must not be lost for a word about it."""
    try:
        write_note(context, note)
    except Exception as error:
        log.warning(
            "the submission could not be noted (%s); the next try finds it by its name", error
        )


def note_missing(context: Context) -> None:
    """
    Note that the workload cannot be found any more: a clear after this is consent to begin another.
    """
    note = read_note(context)
    if note:
        remember(context, replace(note, missed_at=tries_of(context).max_tries))


def _about(context: Context) -> Mapping[str, str]:
    """Variables by which the workload knows its origin; Airflow's own names for them."""
    ti = context["ti"]
    about: dict[str, Any] = {"DAG_ID": ti.dag_id, "TASK_ID": ti.task_id, "DAG_RUN_ID": ti.run_id}
    return {f"AIRFLOW_CTX_{key}": str(value) for key, value in about.items()}


def submission_result(workload: Workload, project: str) -> dict[str, Any]:
    """Return the result of a task that does not wait: what is known of the workload now."""
    return {
        "workload_id": workload.id,
        "name": workload.name,
        "project": project,
        "phase": workload.phase,
        "submitted_at": workload.created_at or None,
    }
