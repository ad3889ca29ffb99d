"""
Submitting exactly once: look, create, and after any doubt look again and adopt.

A create is never repeated blindly. After a time-out, a lost answer, a 5xx, 400 or 409 the name is
looked up; what is found is adopted if its fingerprint agrees and refused with a readable difference
if not. Only when the control plane has answered that there is nothing of that name is the create
sent again; should both have arrived after all, the name stops the second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from airflow_runai.backends import control_plane
from airflow_runai.backends.organization import Project
from airflow_runai.core.flow import Flow, Sleep
from airflow_runai.core.marks import Mark
from airflow_runai.core.note import Note
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.submission import Numbered, differences
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
#: How often a create is sent at most.
MAX_CREATES = 5
#: Ceiling (seconds) of a pause that the server asks for: a worker is held meanwhile.
MAX_PAUSE = 60.0
#: Pauses (seconds) while a workload may be alive and the control plane refuses or is silent: about
#: four minutes.
LONG_LOOKUP_DELAYS = (*LOOKUP_DELAYS, 30.0, 60.0, 60.0, 60.0)
#: Refusals that say more about the identity, or the moment, than about the workload.
MAY_PASS = (401, 403, 404)
#: Where a workload that claims to be ours must agree with the specification, if the server tells.
_ESSENTIAL = ("spec.image:", "spec.command:", "spec.args:")


@dataclass(frozen=True)
class SubmissionRequest:
    """
    One generation, ready to be created.

    :param try_number: the Airflow try that orders it.
    :param mark: what the workload shall say about its task.
    """

    name: str
    spec: WorkloadSpec
    try_number: int
    mark: Mark | None = None

    @property
    def fingerprint(self) -> str:
        """What tells this specification from any other."""
        return self.spec.fingerprint()

    def body(self) -> dict[str, Any]:
        """
        Return the request body; the workload carries its fingerprint, try and mark as variables.
        """
        own = {FINGERPRINT_VARIABLE: self.fingerprint, TRY_VARIABLE: str(self.try_number)}
        own |= self.mark.to_environment() if self.mark else {}
        return self.spec.with_environment(own).to_wire()


def generations(project: Project, digest: str, note: Note | None = None) -> Flow[list[Numbered]]:
    """
    Return all workloads of a task instance, the deleted ones included, as they are now.

    Lists lag. So the newest that lives is read again by itself, and the one that was noted is
    looked up by its id if the lists lack it, wherever it is.
    """
    alive = yield from retry_while_unreachable(
        lambda: control_plane.find_generations(project, digest)
    )
    gone = yield from retry_while_unreachable(
        lambda: control_plane.find_generations(project, digest, deleted=True)
    )
    known = {workload.id for _, workload in gone}
    listed = [*gone, *(pair for pair in alive if pair[1].id not in known)]
    if (
        note
        and note.workload_id
        and note.workload_id not in {workload.id for _, workload in listed}
    ):
        found = yield from present_state(note.workload_id, note.name)
        return [*listed, (note.generation, found)] if found else listed
    return (yield from _sharpened(listed))


def _sharpened(listed: list[Numbered]) -> Flow[list[Numbered]]:
    newest = max(
        listed, key=lambda pair: (pair[0], not pair[1].deleted, pair[1].created_at), default=None
    )
    if newest is None or newest[1].deleted:
        return listed
    found = yield from present_state(newest[1].id, newest[1].name)
    # Variables and type are told by lists only, or by single reads only.
    return [
        (newest[0], _united(newest[1], found)) if pair is newest and found else pair
        for pair in listed
    ]


def _united(listed: Workload, read: Workload) -> Workload:
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
    Read a workload, among the deleted ones too; ``None`` if it cannot be found for as long as lists may lag.

    :param name: ``None`` if it is not known: then only the present ones are asked.
    """
    for pause in (*pauses, None):
        try:
            return (yield from retry_while_unreachable(lambda: control_plane.get(workload_id)))
        except NotFound:
            found = yield from retry_while_unreachable(lambda: _among_deleted(workload_id, name))
        if found or pause is None:
            return found
        yield Sleep(pause, jitter=0.2)
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
            return (
                yield from control_plane.create(
                    project, request.spec.kind, request.name, request.body()
                )
            )
        except Untrusted:
            raise
        except Unreachable as error:
            doubt = error
            yield Sleep(_asked_pause(error), jitter=0.2)
            found = yield from _search(project, request.name, LOOKUP_DELAYS[:3])
        except Refused as error:
            if error.status not in (400, 409):
                raise doubt or error from None  # an earlier one may have arrived
            taken = _says_taken(error)
            found = yield from _search(
                project, request.name, LOOKUP_DELAYS if taken else LOOKUP_DELAYS[:1]
            )
            if not found:
                raise (
                    Missing(f"{error}; but it cannot be found") if taken else doubt or error
                ) from error
        if found:
            yield from verify(found, request)
            return found
    raise doubt or Unreachable("not asked")


def _says_taken(error: Refused) -> bool:
    words = error.detail.lower()
    return error.status == 409 or "exist" in words or "already" in words or "duplicate" in words


def _search(project: Project, name: str, pauses: tuple[float, ...]) -> Flow[Workload | None]:
    trouble: RunaiError | None = None
    for pause in pauses:
        yield Sleep(pause, jitter=0.2)
        try:
            found = yield from control_plane.find(project, name, exact=True)
            trouble = None
        except (Unreachable, Refused) as error:
            trouble = error
            continue
        if found:
            return found[-1]
    if isinstance(trouble, Refused):
        raise Unreachable(f"whether {name} was created is not known: {trouble}") from trouble
    if trouble:
        raise trouble
    return None


def verify(found: Workload, request: SubmissionRequest, noted: str | None = None) -> Flow[None]:
    """
    Let pass only a workload made from the specification of ``request``.

    What runs must agree in image and command, not only in the fingerprint that it carries: anybody
    may write that.

    :param noted: the fingerprint that was noted for it at its submission.
    :raises ForeignWorkload: with a readable difference.
    """
    # A specification of what is deleted cannot be read any more.
    theirs = (
        {} if found.deleted else (yield from steadfastly(lambda: control_plane.get_spec(found)))
    )
    fingerprint = (
        found.fingerprint or fingerprint_in(theirs) or noted
    )  # some lists leave variables out
    listed = list(differences(request.body()["spec"], theirs)) if theirs else []
    if fingerprint == request.fingerprint and not any(
        line.startswith(_ESSENTIAL) for line in listed
    ):
        return
    listed = listed or ["its fingerprint (no field differs that can be seen)"]
    raise ForeignWorkload(
        f"workload {found.name} exists (phase {found.phase}), but was made from another specification:\n  - "
        + "\n  - ".join(listed[:20])
        + "\nClear the task with on_clear='restart' to replace it, restore the specification, or delete the workload."
    )


def retry_while_unreachable(
    make: Callable[[], Flow[T]], pauses: tuple[float, ...] = LOOKUP_DELAYS
) -> Flow[T]:
    """
    Run a flow whose repetition is harmless, again after each pause while the control plane is unreachable.

    :param make: returns a fresh flow for each attempt.
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
    """Wait out refusals, too: for where a workload may be alive, which a secret that was rotated must not cost."""
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
    """Return how long the server asked us to wait, within reason."""
    asked = error.retry_after if isinstance(error, Throttled) else None
    return min(asked or 0.0, MAX_PAUSE)
