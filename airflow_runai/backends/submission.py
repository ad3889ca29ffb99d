"""
Submitting exactly once: look, create, and after any doubt look again and adopt.

A create is never repeated blindly. After a time-out, a lost answer, a 5xx, 400 or 409 the name is looked up; what is
found is adopted if its fingerprint agrees and refused with a readable difference if not. Only when the control plane
has answered that there is nothing of that name is the create sent again; should both have arrived after all, the name
stops the second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_runai.backends import control_plane
from airflow_runai.backends.organization import Project
from airflow_runai.core.flow import Flow, Sleep, now
from airflow_runai.core.marks import Mark
from airflow_runai.core.phases import FINAL, Meaning
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.submission import differences
from airflow_runai.core.workload import FINGERPRINT_VARIABLE, TRY_VARIABLE, Workload, fingerprint_in
from airflow_runai.errors import ForeignWorkload, NotFound, Refused, RunaiError, Throttled, Unreachable, Untrusted

T = TypeVar("T")

#: Pauses (seconds) before looking again after a doubtful create; lists of the control plane lag.
LOOKS = (1.0, 2.0, 4.0, 8.0, 15.0)
#: How often a create is sent at most.
MOST_CREATES = 5
#: Ceiling (seconds) of a pause that the server asks for: a worker is held meanwhile.
LONGEST_PAUSE = 60.0
#: How long (seconds) a replaced workload may take to go away, its grace period included.
LONGEST_GOODBYE = 900.0


@dataclass(frozen=True)
class Order:
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
        """Return the request body; the workload carries its fingerprint, try and mark as variables."""
        own = {FINGERPRINT_VARIABLE: self.fingerprint, TRY_VARIABLE: str(self.try_number)}
        own |= self.mark.to_environment() if self.mark else {}
        return self.spec.with_environment(own).to_wire()


def generations(project: Project, base: str) -> Flow[list[Workload]]:
    """Return all workloads of a task instance, the deleted ones included."""
    alive = yield from patiently(lambda: control_plane.find(project, f"{base}-g"))
    gone = yield from patiently(lambda: control_plane.find(project, f"{base}-g", deleted=True))
    known = {workload.id for workload in alive}
    return [*alive, *(workload for workload in gone if workload.id not in known)]


def create_or_adopt(project: Project, order: Order) -> Flow[Workload]:
    """
    Submit ``order``; return the one workload of that name, whoever's request made it.

    :raises Refused: if the control plane says no and there is no workload of that name.
    :raises ForeignWorkload: if the name is taken by another specification.
    :raises Unreachable: if it does not answer; nothing is known then, and trying again later is safe.
    """
    doubt: RunaiError = Unreachable("not asked yet")
    for _ in range(MOST_CREATES):
        try:
            return (yield from control_plane.create(project, order.spec.kind, order.name, order.body()))
        except Untrusted:
            raise
        except Unreachable as error:
            doubt = error
            yield Sleep(_asked_pause(error), jitter=0.2)
            found = yield from _search(project, order.name, LOOKS[:3])
        except Refused as error:
            if error.status not in (400, 409):
                raise
            doubt = error
            found = yield from _search(project, order.name, LOOKS if _says_taken(error) else LOOKS[:1])
        if found:
            yield from verify(found, order)
            return found
        if isinstance(doubt, Refused):
            raise doubt
    raise doubt


def _says_taken(error: Refused) -> bool:
    words = error.detail.lower()
    return error.status == 409 or "exist" in words or "already" in words or "duplicate" in words


def _search(project: Project, name: str, pauses: tuple[float, ...]) -> Flow[Workload | None]:
    trouble: Unreachable | None = None
    for pause in pauses:
        yield Sleep(pause, jitter=0.2)
        try:
            found = yield from control_plane.find(project, name, exact=True)
            trouble = None
        except Unreachable as error:
            trouble = error
            continue
        if found:
            return found[-1]
    if trouble:
        raise trouble
    return None


def verify(found: Workload, order: Order) -> Flow[None]:
    """
    Let pass only a workload made from the specification of ``order``.

    :raises ForeignWorkload: with a readable difference.
    """
    if found.fingerprint == order.fingerprint:
        return
    theirs = yield from patiently(lambda: control_plane.get_spec(found))
    if found.fingerprint is None and fingerprint_in(theirs) == order.fingerprint:
        return  # this server's lists leave variables out
    listed = list(differences(order.body()["spec"], theirs)) or ["its fingerprint (no field differs that can be seen)"]
    raise ForeignWorkload(
        f"workload {found.name} exists (phase {found.phase}), but was made from another specification:\n  - "
        + "\n  - ".join(listed[:20])
        + "\nClear the task with on_clear='restart' to replace it, restore the specification, or delete the workload."
    )


def end_and_wait(workload: Workload) -> Flow[None]:
    """
    Delete a workload and wait until it holds nothing any more, so that two never write one checkpoint folder.

    :raises Unreachable: if it is still there after :data:`LONGEST_GOODBYE` seconds.
    """
    if workload.meaning is not Meaning.DELETING:
        yield from patiently(lambda: control_plane.delete(workload))
    started = yield from now()
    while True:
        try:
            found = yield from control_plane.get(workload.id)
        except NotFound:
            return
        except Unreachable:
            found = workload
        if found.meaning in FINAL or found.deleted:
            return
        if (yield from now()) - started > LONGEST_GOODBYE:
            raise Unreachable(
                f"workload {workload.name} is still {found.phase} {LONGEST_GOODBYE:.0f} s after its deletion"
            )
        yield Sleep(2.0, jitter=0.2)


def patiently(make: Callable[[], Flow[T]], pauses: tuple[float, ...] = LOOKS) -> Flow[T]:
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


def _asked_pause(error: Unreachable) -> float:
    """Return how long the server asked us to wait, within reason."""
    asked = error.retry_after if isinstance(error, Throttled) else None
    return min(asked or 0.0, LONGEST_PAUSE)
