"""The note of a task instance in Airflow's task state store: read, written, lost without harm."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_runai.core.note import Note
from airflow_runai.tasks.try_identity import tries_of

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

#: Key in Airflow's task state store.
NOTE_KEY = "runai_submission"


def read_note(context: Context) -> Note | None:
    """Return the note of an earlier try, if it survived."""
    store = context.get("task_state_store")
    return Note.from_json(store.get(NOTE_KEY)) if store is not None else None


def write_note(context: Context, note: Note) -> None:
    """Write the note for later tries; it never expires: trainings outlast the default 30 days."""
    # Imported here: the worker's machinery is not needed to parse a DAG.
    from airflow.sdk.execution_time.context import NEVER_EXPIRE

    store = context.get("task_state_store")
    if store is not None:
        store.set(NOTE_KEY, note.to_json(), retention=NEVER_EXPIRE)


def remember(context: Context, note: Note) -> None:
    """Write the note if possible: a failure to do so must not cost the workload that exists now."""
    try:
        write_note(context, note)
    except Exception as error:
        log.warning(
            "the submission could not be noted (%s); the next try finds it by its name", error
        )


def note_missing(context: Context) -> None:
    """Note that the workload cannot be found: a clear after this is consent to begin another."""
    note = read_note(context)
    if note:
        remember(context, replace(note, missed_at=tries_of(context).max_tries))


def note_cut_short(context: Context, workload_id: str) -> None:
    """Note that a workload completed, but its training did not: a retry goes on in another one."""
    note = read_note(context)
    if note:
        remember(context, replace(note, cut_short=workload_id))
