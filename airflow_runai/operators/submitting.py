"""
From a task instance to its one workload: names before calls, adopts before creating, and notes what it did.

The order of steps is the safety: the intent is written to Airflow's state store *before* the create, the id after it.
Killed anywhere in between, the next try finds the workload by its name; the note only helps to tell a clear from a
retry.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_runai.backends import control_plane, submission
from airflow_runai.backends.organization import Project
from airflow_runai.backends.submission import Order, patiently
from airflow_runai.core.marks import Mark
from airflow_runai.core.naming import TaskIdentity, base_name, generation_name
from airflow_runai.core.phases import OVER, Meaning
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.submission import Adopt, Create, Note, Tries, plan
from airflow_runai.core.workload import Workload
from airflow_runai.hooks import configuration
from airflow_runai.hooks.runai import RunaiHook

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

#: Key in Airflow's task state store.
NOTE_KEY = "runai_submission"


def submit_or_adopt(
    hook: RunaiHook,
    context: Context,
    project: Project,
    spec: WorkloadSpec,
    slug: str | None,
    on_clear: str,
    on_kill: str,
    before_create: Callable[[], None],
) -> Workload:
    """
    Return the workload of this task instance: an existing one where there is a reason to adopt it, else a new one.

    :param slug: readable part of the workload's name; ``None`` takes the task id.
    :param on_clear: ``restart`` or ``reattach``.
    :param on_kill: what the workload shall carry for whoever ends what nobody waits for.
    :param before_create: called when a new workload is certain, before it is submitted.
    """
    who = identity(context)
    base = base_name(who, slug)
    tries, note = tries_of(context), read_note(context)
    existing = hook.run(submission.generations(project, base))
    step = plan(base, existing, tries, note, on_clear)
    spec = spec.with_environment(_about(context))
    if isinstance(step, Adopt):
        return _adopt(hook, step, Order(step.workload.name, spec, tries.current), tries)
    before_create()
    order = Order(generation_name(base, step.generation), spec, tries.current, Mark(who.map_index, on_kill))
    return _create(hook, context, project, step, order)


def _create(hook: RunaiHook, context: Context, project: Project, step: Create, order: Order) -> Workload:
    if step.replaces:
        log.info("the task was cleared: %s is ended before %s starts", step.replaces.name, order.name)
        hook.run(submission.end_and_wait(step.replaces))
    write_note(context, Note(step.generation, order.try_number))
    workload = hook.run(submission.create_or_adopt(project, order))
    write_note(context, Note(step.generation, order.try_number, workload.id))
    log.info("submitted %s to project %s (id %s)", workload.name, project.name, workload.id)
    return workload


def _adopt(hook: RunaiHook, step: Adopt, order: Order, tries: Tries) -> Workload:
    workload = step.workload
    if workload.meaning in OVER:
        log.info("%s has already ended (%s): nothing is submitted", workload.name, workload.phase)
        return workload
    hook.run(submission.verify(workload, order))
    log.info("adopted %s (id %s, phase %s): nothing is submitted", workload.name, workload.id, workload.phase)
    if workload.meaning is Meaning.SUSPENDED and (workload.try_number or tries.first) < tries.first:
        # Whoever suspended it, somebody has cleared the task since. A mere retry undoes nobody's decision.
        hook.run(patiently(lambda: control_plane.resume(workload)))
        log.info("%s was suspended: resumed, because the task was cleared", workload.name)
    return workload


def identity(context: Context) -> TaskIdentity:
    """Return who this task instance is, the same for all of its tries."""
    ti = context["ti"]
    map_index = -1 if ti.map_index is None else ti.map_index
    return TaskIdentity(configuration.option("instance_name"), ti.dag_id, ti.run_id, ti.task_id, map_index)


def tries_of(context: Context) -> Tries:
    """Return the present try and the first one since the last clear (a clear raises ``max_tries``)."""
    ti = context["ti"]
    retries = int(getattr(context["task"], "retries", 0) or 0)
    first = int(getattr(ti, "max_tries", 0) or 0) - retries + 1
    return Tries(current=ti.try_number, first=max(1, min(first, ti.try_number)))


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


def _about(context: Context) -> Mapping[str, str]:
    """Variables by which the workload knows its origin; Airflow's own names for them."""
    ti = context["ti"]
    about: dict[str, Any] = {"DAG_ID": ti.dag_id, "TASK_ID": ti.task_id, "DAG_RUN_ID": ti.run_id}
    return {f"AIRFLOW_CTX_{key}": str(value) for key, value in about.items()}
