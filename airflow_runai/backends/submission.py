"""
Submitting exactly once: look, create, and after any doubt look again and adopt.

A create is never repeated blindly. After a time-out, a lost answer, a 5xx, 400 or 409 the name is
looked up; the workload found is adopted if its fingerprint agrees, and refused with a readable
difference if not. Only when the control plane has answered that the name is free is the create sent
again; should both have arrived after all, the name stops the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_runai.backends import control_plane
from airflow_runai.backends.organization import Project
from airflow_runai.backends.patience import LOOKUP_DELAYS, Outage, Patience
from airflow_runai.core.flow import Flow, Sleep
from airflow_runai.core.marks import Mark
from airflow_runai.core.note import Note
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.submission import Numbered, age_key, differences
from airflow_runai.core.workload import FINGERPRINT_VARIABLE, TRY_VARIABLE, Workload, fingerprint_in
from airflow_runai.errors import (
    ForeignWorkload,
    Missing,
    NameTaken,
    NotFound,
    Refused,
    Throttled,
    Unreachable,
)

#: A submission is patient; where a workload may be alive, with refusals, too.
PATIENT, STEADFAST = Patience(), Patience(refusals=True)
_TAKEN = ("exist", "already", "duplicate")
#: Fields in which a workload that claims to be ours must agree, if the server shows them.
_ESSENTIAL = ("spec.image:", "spec.command:", "spec.args:")


@dataclass(frozen=True)
class SubmissionRequest:
    """
    One generation, ready to be submitted.

    :param try_number: of the Airflow try that submits it.
    :param mark: how the workload may end when its task has.
    """

    name: str
    spec: WorkloadSpec
    try_number: int
    mark: Mark | None = None

    @property
    def fingerprint(self) -> str:
        """Return what tells this specification from any other."""
        return self.spec.fingerprint()

    def body(self) -> dict[str, Any]:
        """Return the request body; its variables hold fingerprint, try and mark."""
        own = {FINGERPRINT_VARIABLE: self.fingerprint, TRY_VARIABLE: str(self.try_number)}
        own |= self.mark.to_environment() if self.mark else {}
        return self.spec.with_environment(own).to_wire()


def generations(
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
    listed = yield from _list_generations(project, digest, patience, deleted)
    ids = {workload.id for _, workload in listed}
    if note and note.workload_id and note.workload_id not in ids:
        noted = yield from present_state(note.workload_id, note.name, patience)
        return [*listed, (note.generation, noted)] if noted else listed
    return (yield from _with_newest_read(listed, patience))


def _list_generations(
    project: Project, digest: str, patience: Patience, deleted: bool
) -> Flow[list[Numbered]]:
    alive = yield from patience.retry(lambda: control_plane.find_generations(project, digest))
    if not deleted:
        return alive
    gone = yield from patience.retry(
        lambda: control_plane.find_generations(project, digest, deleted=True)
    )
    gone_ids = {workload.id for _, workload in gone}
    return [*gone, *(pair for pair in alive if pair[1].id not in gone_ids)]


def _with_newest_read(listed: list[Numbered], patience: Patience) -> Flow[list[Numbered]]:
    newest = max(listed, key=age_key, default=None)
    if newest is None or newest[1].deleted:
        return listed
    generation, workload = newest
    read = yield from present_state(workload.id, workload.name, patience)
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
    workload_id: str,
    name: str | None,
    patience: Patience = PATIENT,
    pauses: tuple[float, ...] = LOOKUP_DELAYS,
) -> Flow[Workload | None]:
    """
    Read a workload, among the deleted ones too.

    :param name: ``None`` if it is not known: then only the present ones are searched.
    :param pauses: seconds before each further look at one that cannot be found.
    :return: ``None`` if it cannot be found for as long as lists may lag.
    """
    for pause in (0.0, *pauses):
        if pause:
            yield Sleep(pause, jitter=0.2)
        try:
            return (yield from patience.retry(lambda: control_plane.get(workload_id)))
        except NotFound:
            deleted = yield from patience.retry(lambda: _among_deleted(workload_id, name))
        if deleted:
            return deleted
    return None


def _among_deleted(workload_id: str, name: str | None) -> Flow[Workload | None]:
    if not name:
        return None
    listed = yield from control_plane.find(Project("", "", ""), name, exact=True, deleted=True)
    return next((workload for workload in listed if workload.id == workload_id), None)


def create_or_adopt(
    project: Project, request: SubmissionRequest, patience: Patience = PATIENT
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
    while True:
        try:
            return (yield from _create(project, request))
        except Throttled as error:
            # It was turned away, not lost: there is nothing to look for, and a look would be one
            # more request to a server that asks for fewer.
            yield from outage.outlast(error)
            continue
        except Unreachable as error:
            doubt = error
            yield from outage.outlast(error)
            existing = yield from _search(project, request.name, LOOKUP_DELAYS[:3], patience)
        except Refused as error:
            existing = yield from _search_refused(project, request.name, error, doubt, patience)
        if existing:
            yield from verify(existing, request)
            return existing


def find_created(project: Project, request: SubmissionRequest) -> Flow[Workload | None]:
    """Look once for what a create may have made whose answer nobody waits for any more."""
    at_once = Patience(0.0)
    existing = yield from _search(project, request.name, (0.0,), at_once)
    if existing:
        yield from verify(existing, request, patience=at_once)
    return existing


def _create(project: Project, request: SubmissionRequest) -> Flow[Workload]:
    kind, name = request.spec.kind, request.name
    return (yield from control_plane.create(project, kind, name, request.body()))


def _search_refused(
    project: Project,
    name: str,
    error: Refused,
    doubt: Unreachable | None,
    patience: Patience,
) -> Flow[Workload]:
    """
    Look for the workload that may be why a create was refused.

    :param doubt: an earlier create had no answer, so it may have arrived.
    """
    if error.status not in (400, 409):
        raise doubt or error from None
    is_taken = _says_taken(error)
    pauses = LOOKUP_DELAYS if is_taken else LOOKUP_DELAYS[:1]
    existing = yield from _search(project, name, pauses, patience)
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
    project: Project, name: str, pauses: tuple[float, ...], patience: Patience
) -> Flow[Workload | None]:
    """Look for a name after each pause, because lists lag."""

    def look() -> Flow[list[Workload]]:
        try:
            return (yield from control_plane.find(project, name, exact=True))
        except Refused as error:
            raise Unreachable(f"whether {name} was created is not known: {error}") from error

    for pause in pauses:
        yield Sleep(pause, jitter=0.2)
        if workloads := (yield from patience.retry(look)):
            return workloads[-1]
    return None


def verify(
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
        theirs = yield from patience.retry(lambda: control_plane.get_spec(workload))
    # Some lists leave variables out.
    fingerprint = workload.fingerprint or fingerprint_in(theirs) or noted
    listed = list(differences(request.body()["spec"], theirs)) if theirs else []
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
