"""
Submitting exactly once: look, create, and after any doubt look again and adopt.

A create is never repeated blindly. After a time-out, a lost answer, a 5xx, 400 or 409 the name is
looked up; the workload found is adopted if its fingerprint agrees, and refused with a readable
difference if not. Only when the control plane has answered that the name is free is the create sent
again; should both have arrived after all, the name stops the second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from airflow_runai.backends import control_plane
from airflow_runai.backends.organization import Project
from airflow_runai.core.flow import Flow, Sleep
from airflow_runai.core.marks import Mark
from airflow_runai.core.note import Note
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.submission import Numbered, age_key, differences
from airflow_runai.core.workload import FINGERPRINT_VARIABLE, TRY_VARIABLE, Workload, fingerprint_in
from airflow_runai.errors import (
    ForeignWorkload,
    Missing,
    NotFound,
    NotResolved,
    Refused,
    RunaiError,
    Throttled,
    Unreachable,
    Untrusted,
)

T = TypeVar("T")

#: Pauses (seconds) before looking again after a doubtful create; lists of the control plane lag.
LOOKUP_DELAYS = (1.0, 2.0, 4.0, 8.0, 15.0)
#: A create is sent at most this often.
MAX_CREATES = 5
#: Ceiling (seconds) of a pause that the server asks for: a worker is held meanwhile.
MAX_PAUSE = 60.0
#: Pauses (seconds) while a workload may be alive and the control plane refuses or is silent: about
#: four minutes.
LONG_LOOKUP_DELAYS = (*LOOKUP_DELAYS, 30.0, 60.0, 60.0, 60.0)
#: Refusals that say more about the identity, or the moment, than about the workload.
MAY_PASS = (401, 403, 404)
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


def generations(project: Project, digest: str, note: Note | None = None) -> Flow[list[Numbered]]:
    """
    Return all workloads of a task instance, the deleted ones included, as they are now.

    Lists lag, so the newest living one is read again by itself; if the lists lack the noted one, it
    is looked up by its id.
    """
    listed = yield from _list_generations(project, digest)
    ids = {workload.id for _, workload in listed}
    if note and note.workload_id and note.workload_id not in ids:
        noted = yield from present_state(note.workload_id, note.name)
        return [*listed, (note.generation, noted)] if noted else listed
    return (yield from _with_newest_read(listed))


def _list_generations(project: Project, digest: str) -> Flow[list[Numbered]]:
    alive = yield from retry_while_unreachable(
        lambda: control_plane.find_generations(project, digest)
    )
    deleted = yield from retry_while_unreachable(
        lambda: control_plane.find_generations(project, digest, deleted=True)
    )
    deleted_ids = {workload.id for _, workload in deleted}
    return [*deleted, *(pair for pair in alive if pair[1].id not in deleted_ids)]


def _with_newest_read(listed: list[Numbered]) -> Flow[list[Numbered]]:
    newest = max(listed, key=age_key, default=None)
    if newest is None or newest[1].deleted:
        return listed
    generation, workload = newest
    read = yield from present_state(workload.id, workload.name)
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
    workload_id: str, name: str | None, pauses: tuple[float, ...] = LOOKUP_DELAYS
) -> Flow[Workload | None]:
    """
    Read a workload, among the deleted ones too.

    :param name: ``None`` if it is not known: then only the present ones are searched.
    :return: ``None`` if it cannot be found for as long as lists may lag.
    """
    for pause in (0.0, *pauses):
        if pause:
            yield Sleep(pause, jitter=0.2)
        try:
            return (yield from retry_while_unreachable(lambda: control_plane.get(workload_id)))
        except NotFound:
            deleted = yield from retry_while_unreachable(lambda: _among_deleted(workload_id, name))
        if deleted:
            return deleted
    return None


def _among_deleted(workload_id: str, name: str | None) -> Flow[Workload | None]:
    if not name:
        return None
    listed = yield from control_plane.find(Project("", "", ""), name, exact=True, deleted=True)
    return next((workload for workload in listed if workload.id == workload_id), None)


def create_or_adopt(project: Project, request: SubmissionRequest) -> Flow[Workload]:
    """
    Submit ``request``; return the one workload of that name, whoever's request made it.

    :raises Refused: if the control plane says no and there is no workload of that name.
    :raises ForeignWorkload: if the name is taken by another specification.
    :raises Unreachable: if it does not answer; nothing is known then, and trying again later is
        safe.
    """
    doubt: Unreachable | None = None
    for _ in range(MAX_CREATES):
        try:
            return (yield from _create(project, request))
        except Untrusted:
            raise
        except Unreachable as error:
            doubt = error
            yield Sleep(_asked_pause(error), jitter=0.2)
            existing = yield from _search(project, request.name, LOOKUP_DELAYS[:3])
        except Refused as error:
            existing = yield from _search_refused(project, request.name, error, doubt)
        if existing:
            yield from verify(existing, request)
            return existing
    raise doubt or Unreachable("not asked")


def _create(project: Project, request: SubmissionRequest) -> Flow[Workload]:
    kind, name = request.spec.kind, request.name
    return (yield from control_plane.create(project, kind, name, request.body()))


def _search_refused(
    project: Project, name: str, error: Refused, doubt: Unreachable | None
) -> Flow[Workload]:
    """
    Look for the workload that may be why a create was refused.

    :param doubt: an earlier create had no answer, so it may have arrived.
    """
    if error.status not in (400, 409):
        raise doubt or error from None
    is_taken = _says_taken(error)
    existing = yield from _search(project, name, LOOKUP_DELAYS if is_taken else LOOKUP_DELAYS[:1])
    if existing:
        return existing
    if is_taken:
        raise Missing(f"{error}; but it cannot be found") from error
    if doubt:
        raise doubt from error
    raise error


def _says_taken(error: Refused) -> bool:
    detail = error.detail.lower()
    return error.status == 409 or any(word in detail for word in _TAKEN)


def _search(project: Project, name: str, pauses: tuple[float, ...]) -> Flow[Workload | None]:
    trouble: RunaiError | None = None
    for pause in pauses:
        yield Sleep(pause, jitter=0.2)
        try:
            workloads = yield from control_plane.find(project, name, exact=True)
            trouble = None
        except (Unreachable, Refused) as error:
            trouble = error
            continue
        if workloads:
            return workloads[-1]
    if isinstance(trouble, Refused):
        raise Unreachable(f"whether {name} was created is not known: {trouble}") from trouble
    if trouble:
        raise trouble
    return None


def verify(workload: Workload, request: SubmissionRequest, noted: str | None = None) -> Flow[None]:
    """
    Accept only a workload made from the specification of ``request``.

    It must agree in image and command, not only in the fingerprint that it carries: anyone can
    write that.

    :param noted: the fingerprint that was noted for it at its submission.
    :raises ForeignWorkload: with a readable difference.
    """
    theirs: Mapping[str, Any] = {}
    if not workload.deleted:  # else its specification cannot be read any more
        theirs = yield from steadfastly(lambda: control_plane.get_spec(workload))
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


def retry_while_unreachable(
    make: Callable[[], Flow[T]], pauses: tuple[float, ...] = LOOKUP_DELAYS
) -> Flow[T]:
    """
    Run a flow again after each pause while the control plane is unreachable.

    :param make: returns a fresh flow for each attempt; repeating it must be harmless.
    """
    for pause in pauses:
        try:
            return (yield from make())
        except Untrusted:
            raise
        except Unreachable as error:
            yield Sleep(max(pause, _asked_pause(error)), jitter=0.2)
    return (yield from make())


def steadfastly(
    make: Callable[[], Flow[T]], pauses: tuple[float, ...] = LONG_LOOKUP_DELAYS
) -> Flow[T]:
    """Retry refusals, too: a rotated secret must not cost a workload that may be alive."""
    for pause in pauses:
        try:
            return (yield from retry_while_unreachable(make, ()))
        except Refused as error:
            if error.status not in MAY_PASS:
                raise
        except (Unreachable, NotResolved) as error:
            pause = max(pause, _asked_pause(error))
        yield Sleep(pause, jitter=0.2)
    return (yield from make())


def _asked_pause(error: RunaiError) -> float:
    """Return the seconds that the server asked us to wait, within reason."""
    asked = error.retry_after if isinstance(error, Throttled) else None
    return min(asked or 0.0, MAX_PAUSE)
