"""
Submitting exactly once: look, create, and after any doubt look again and adopt.

A create is never repeated blindly. After a time-out, a lost answer, a 5xx, 400 or 409 the name is
looked up; the workload found is adopted if its fingerprint agrees, and refused with a readable
difference if not. Only when the control plane has answered that the name is free is the create sent
again; should both have arrived after all, the name stops the second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from airflow_runai.backends.patience import LOOKUP_DELAYS, Outage, Patience
from airflow_runai.core.backend import Workloads
from airflow_runai.core.flow import Flow, Sleep
from airflow_runai.core.note import Note
from airflow_runai.core.project import Project
from airflow_runai.core.submission import Numbered, age_key, differences
from airflow_runai.core.submission_request import SubmissionRequest
from airflow_runai.core.workload import Workload, fingerprint_in
from airflow_runai.errors import (
    ForeignWorkload,
    Missing,
    NameTaken,
    NotFound,
    QuotaExceeded,
    Refused,
    Throttled,
    Unreachable,
)

#: A submission is patient; where a workload may be alive, with refusals, too.
PATIENT, STEADFAST = Patience(), Patience(refusals=True)
_TAKEN = ("exist", "already", "duplicate")
#: Fields in which a workload that claims to be ours must agree, if the server shows them.
_ESSENTIAL = ("spec.image:", "spec.command:", "spec.args:")


def generations(
    backend: Workloads,
    project: Project,
    digest: str,
    note: Note | None = None,
    patience: Patience = PATIENT,
    deleted: bool = True,
) -> Flow[list[Numbered]]:
    """
    Return all workloads of a task instance as they are now.

    Lists lag, so the newest living one is read again by itself; if the lists lack the noted one, it
    is looked up by its id.

    :param deleted: ask for the deleted ones, too.
    """
    listed = yield from _list_generations(backend, project, digest, patience, deleted)
    ids = {workload.id for _, workload in listed}
    if note and note.workload_id and note.workload_id not in ids:
        noted = yield from present_state(backend, note.workload(), patience)
        return [*listed, (note.generation, noted)] if noted else listed
    return (yield from _with_newest_read(backend, listed, patience))


def _list_generations(
    backend: Workloads, project: Project, digest: str, patience: Patience, deleted: bool
) -> Flow[list[Numbered]]:
    alive = yield from patience.retry(lambda: backend.find_generations(project, digest))
    if not deleted:
        return alive
    gone = yield from patience.retry(
        lambda: backend.find_generations(project, digest, deleted=True)
    )
    gone_ids = {workload.id for _, workload in gone}
    return [*gone, *(pair for pair in alive if pair[1].id not in gone_ids)]


def _with_newest_read(
    backend: Workloads, listed: list[Numbered], patience: Patience
) -> Flow[list[Numbered]]:
    newest = max(listed, key=age_key, default=None)
    if newest is None or newest[1].deleted:
        return listed
    generation, workload = newest
    read = yield from present_state(backend, workload, patience)
    if read is None:
        return listed
    others = [pair for pair in listed if pair is not newest]
    return [*others, (generation, _completed(read, workload))]


def _completed(read: Workload, listed: Workload) -> Workload:
    """Fill in variables and type, which some servers show in lists only."""
    return replace(
        read,
        kind=read.kind or listed.kind,
        fingerprint=read.fingerprint or listed.fingerprint,
        try_number=read.try_number or listed.try_number,
    )


def present_state(
    backend: Workloads,
    workload: Workload,
    patience: Patience = PATIENT,
    pauses: tuple[float, ...] = LOOKUP_DELAYS,
) -> Flow[Workload | None]:
    """
    Read a workload, among the deleted ones too.

    :param workload: without a name, only the present ones are searched.
    :param pauses: seconds before each further look at one that cannot be found.
    :return: ``None`` if it cannot be found for as long as lists may lag.
    """
    reader = backend.reader(workload)
    for pause in (0.0, *pauses):
        if pause:
            yield Sleep(pause, jitter=0.2)
        try:
            return (yield from patience.retry(lambda: reader.read(workload.id)))
        except NotFound:
            deleted = yield from patience.retry(lambda: reader.find_deleted(workload.id))
        if deleted:
            return deleted
    return None


def create_or_adopt(
    backend: Workloads,
    project: Project,
    request: SubmissionRequest,
    patience: Patience = PATIENT,
) -> Flow[Workload]:
    """
    Submit ``request``; return the one workload of that name, whoever's request made it.

    :raises Refused: if the control plane says no and there is no workload of that name.
    :raises NameTaken: if the name is taken by none that is present, and certainly not by ours.
    :raises Missing: if it may be taken by ours.
    :raises ForeignWorkload: if the name is taken by another specification.
    :raises Unreachable: if it does not answer; nothing is known then, and trying again later is
        safe.
    """
    doubt: Unreachable | None = None
    outage = Outage(patience)
    look = partial(_search, backend, project, request.name, patience)
    while True:
        try:
            return (yield from backend.create(project, request))
        except (Throttled, QuotaExceeded) as error:
            # It was turned away, not lost: there is nothing to look for, and a look would be one
            # more request to a server that asks for fewer.
            yield from outage.outlast(error)
            continue
        except Unreachable as error:
            doubt = error
            yield from outage.outlast(error)
            existing = yield from look(LOOKUP_DELAYS[:3])
        except Refused as error:
            existing = yield from _search_refused(look, error, doubt)
        if existing:
            yield from verify(backend, existing, request)
            return existing


def find_created(
    backend: Workloads, project: Project, request: SubmissionRequest
) -> Flow[Workload | None]:
    """Look once for what a create may have made whose answer nobody waits for any more."""
    at_once = Patience(0.0)
    existing = yield from _search(backend, project, request.name, at_once, (0.0,))
    if existing:
        yield from verify(backend, existing, request, patience=at_once)
    return existing


def _search_refused(
    look: Callable[[tuple[float, ...]], Flow[Workload | None]],
    error: Refused,
    doubt: Unreachable | None,
) -> Flow[Workload]:
    """
    Look for the workload that may be why a create was refused.

    :param look: looks for its name after each pause.
    :param doubt: an earlier create had no answer, so it may have arrived.
    """
    if error.status not in (400, 409):
        raise doubt or error from None
    is_taken = _says_taken(error)
    pauses = LOOKUP_DELAYS if is_taken else LOOKUP_DELAYS[:1]
    existing = yield from look(pauses)
    if existing:
        return existing
    if is_taken:
        # After a doubtful create it may be ours that has the name.
        kind = Missing if doubt else NameTaken
        raise kind(f"{error}; but it cannot be found") from error
    if doubt:
        raise doubt from error
    raise error


def _says_taken(error: Refused) -> bool:
    detail = error.detail.lower()
    return error.status == 409 or any(word in detail for word in _TAKEN)


def _search(
    backend: Workloads,
    project: Project,
    name: str,
    patience: Patience,
    pauses: tuple[float, ...],
) -> Flow[Workload | None]:
    """Look for a name after each pause, because lists lag."""

    def look() -> Flow[list[Workload]]:
        try:
            return (yield from backend.find(project, name, exact=True))
        except Refused as error:
            raise Unreachable(f"whether {name} was created is not known: {error}") from error

    for pause in pauses:
        yield Sleep(pause, jitter=0.2)
        if workloads := (yield from patience.retry(look)):
            return workloads[-1]
    return None


def verify(
    backend: Workloads,
    workload: Workload,
    request: SubmissionRequest,
    noted: str | None = None,
    patience: Patience = STEADFAST,
) -> Flow[None]:
    """
    Accept only a workload made from the specification of ``request``.

    It must agree in image and command, not only in the fingerprint that it carries: anyone can
    write that.

    :param noted: the fingerprint that was noted for it at its submission.
    :raises ForeignWorkload: with a readable difference.
    """
    theirs: Mapping[str, Any] = {}
    if not workload.deleted:  # else its specification cannot be read any more
        theirs = yield from patience.retry(lambda: backend.get_spec(workload))
    # Some lists leave variables out.
    fingerprint = workload.fingerprint or fingerprint_in(theirs) or noted
    salt = workload.name.rpartition("-g")[0]
    listed = list(differences(request.body()["spec"], theirs, salt=salt)) if theirs else []
    if fingerprint == request.fingerprint and not any(
        line.startswith(_ESSENTIAL) for line in listed
    ):
        return
    listed = listed or ["its fingerprint (no visible field differs)"]
    differing = "\n  - ".join(listed[:20])
    raise ForeignWorkload(
        f"workload {workload.name} exists (phase {workload.phase}), "
        f"but was made from another specification:\n  - {differing}\n"
        "Clear the task with on_clear='restart' to replace it, restore the specification, "
        "or delete the workload."
    )
