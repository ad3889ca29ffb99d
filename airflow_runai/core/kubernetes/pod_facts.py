"""What the sightings of one pod say about its life and, above all, about who ended it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

from airflow_runai.core.kubernetes.facts import (
    NEVER,
    Ever,
    Greatest,
    NewestVersion,
    Smallest,
    Word,
    earlier,
    later,
    unite,
)
from airflow_runai.core.kubernetes.objects import (
    TRACKING,
    at,
    conditions,
    controller,
    count,
    holds,
    moment,
    number,
    rows,
    sentence,
    version,
    word,
)
from airflow_runai.core.kubernetes.presence import Presence

#: By which a pod says to which set it belongs, and to which of its attempts.
JOBSET_UID = "jobset.sigs.k8s.io/jobset-uid"
ATTEMPT = "jobset.sigs.k8s.io/restart-attempt"
_JOB_UID = "batch.kubernetes.io/controller-uid"
_TRAINING_CONTAINER = "kubectl.kubernetes.io/default-container"
_OVER = ("Succeeded", "Failed")


class PodEnd(NamedTuple):
    """
    How the training's container ended, or the pod without it.

    :param unread: whether no exit code is known; of several sightings the one that knows it counts.
    :param code: the exit code, -1 if no container ever ended.
    :param at: epoch seconds, 0 if not known.
    """

    unread: bool
    version: int
    code: int
    reason: str
    message: str
    at: float


class Disruption(NamedTuple):
    """The condition by which the platform says that it takes a pod away."""

    version: int
    reason: str
    message: str
    at: float


class PodNow(NamedTuple):
    """The newest state of a pod, for its phase."""

    version: int
    phase: str
    is_ready: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PodFacts:
    """
    What is known of one pod.

    :param job_uid: of the Job that made it; it stays known when a deletion orphans the pod.
    :param attempt: number of its JobSet's attempt, -1 outside of one.
    :param group: name of its PodGroup.
    :param first: oldest version in which it was seen.
    :param began: when its deletion began: the smallest deletionTimestamp minus its grace, because
        the server moves the timestamp back before the end.
    :param taken: oldest version in which it was being taken away.
    :param status_reason: why the node or a controller ended the pod, such as ``Evicted``.
    :param by_itself: it had ended in a version in which nobody was taking it away.
    :param released: the Job controller let go of it before it ended: its own doing.
    :param held: it was being deleted while the Job controller still counted on it.
    :param unnamed: it was being deleted, alive, in a version that does not name a disruption.
    """

    uid: Word
    name: Word = ""
    namespace: Word = ""
    job_uid: Word = ""
    set_uid: Word = ""
    attempt: NewestVersion = -1
    group: Word = ""
    scheduler: Word = ""
    node: Word = ""
    made: Greatest = 0.0
    started: Smallest = NEVER
    first: Smallest = NEVER
    began: Smallest = NEVER
    taken: Smallest = NEVER
    end: Annotated[PodEnd | None, earlier] = None
    disruption: Annotated[Disruption | None, earlier] = None
    now: Annotated[PodNow | None, later] = None
    status_reason: Word = ""
    by_itself: Ever = False
    released: Ever = False
    held: Ever = False
    unnamed: Ever = False
    presence: Annotated[Presence, unite] = field(default_factory=Presence)

    @property
    def key(self) -> str:
        """Its name as events write it."""
        return f"{self.namespace}/{self.name}"

    @property
    def exit_code(self) -> int | None:
        """The training's exit code, if one is known."""
        return None if self.end is None or self.end.unread else self.end.code

    @property
    def until(self) -> float:
        """Version in which nothing but its end was left: it was being taken away, or was gone."""
        return min(self.taken, self.presence.left or NEVER)

    @property
    def until_at(self) -> float:
        """The same in epoch seconds."""
        return self.began if self.began < NEVER else self.presence.left_at or NEVER

    @property
    def is_taken(self) -> bool:
        """Whether it was seen being taken away; a disruption that was only announced may be off."""
        return self.began < NEVER


def read_pod(pod: Mapping[str, Any], presence: Presence) -> PodFacts:
    """Return what one sighting of a pod says."""
    seen = version(pod)
    end, disruption, tracked = _end(pod, seen), _disruption(pod, seen), _is_tracked(pod)
    began, is_deleted = _began(pod), at(pod, "metadata", "deletionTimestamp") is not None
    job_uid = controller(pod, "Job") or word(pod, "metadata", "labels", _JOB_UID)
    released = not tracked and end is None and bool(job_uid)
    return PodFacts(
        uid=word(pod, "metadata", "uid"),
        name=word(pod, "metadata", "name"),
        namespace=word(pod, "metadata", "namespace"),
        job_uid=job_uid,
        set_uid=word(pod, "metadata", "labels", JOBSET_UID),
        attempt=attempt_of(pod),
        group=word(pod, "metadata", "annotations", "pod-group-name"),
        scheduler=word(pod, "spec", "schedulerName"),
        node=word(pod, "spec", "nodeName"),
        made=moment(pod, "metadata", "creationTimestamp") or 0.0,
        started=_started(pod),
        first=seen,
        began=began,
        taken=seen if is_deleted or released else NEVER,
        end=end,
        disruption=disruption,
        now=_now(pod, seen),
        status_reason=word(pod, "status", "reason"),
        by_itself=end is not None and not is_deleted and disruption is None,
        released=released,
        held=is_deleted and tracked,
        unnamed=is_deleted and disruption is None and end is None,
        presence=presence,
    )


def attempt_of(found: Mapping[str, Any]) -> int:
    """Return the number of a JobSet's attempt that a Job or pod belongs to, -1 outside of one."""
    label = word(found, "metadata", "labels", ATTEMPT)
    return int(label) if label.isdecimal() and len(label) < 10 else -1


def _is_tracked(pod: Mapping[str, Any]) -> bool:
    finalizers = at(pod, "metadata", "finalizers")
    return isinstance(finalizers, list) and TRACKING in finalizers


def _began(pod: Mapping[str, Any]) -> float:
    deleted = moment(pod, "metadata", "deletionTimestamp")
    return (
        NEVER if deleted is None else deleted - count(pod, "metadata", "deletionGracePeriodSeconds")
    )


def _disruption(pod: Mapping[str, Any], seen: int) -> Disruption | None:
    condition = conditions(pod).get("DisruptionTarget")
    if condition is None or not holds(condition):
        return None
    when = moment(condition, "lastTransitionTime") or 0.0
    return Disruption(seen, word(condition, "reason"), sentence(condition, "message"), when)


def _containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the states of the containers: the training's, others, init containers."""
    specified = [word(one, "name") for one in rows(pod, "spec", "containers")]
    first = word(pod, "metadata", "annotations", _TRAINING_CONTAINER)
    order = {name: place for place, name in enumerate([*reversed(specified), first])}
    statuses = sorted(
        rows(pod, "status", "containerStatuses"), key=lambda one: -order.get(word(one, "name"), -1)
    )
    return [*statuses, *rows(pod, "status", "initContainerStatuses")]


def _end(pod: Mapping[str, Any], seen: int) -> PodEnd | None:
    """Return the end of the training's container, or of the first other one where it never ran."""
    phase, training = word(pod, "status", "phase"), next(iter(_containers(pod)), {})
    stays = at(pod, "spec", "restartPolicy") in (None, "Never")
    has_ended = phase in _OVER or (stays and at(training, "state", "terminated") is not None)
    if not has_ended:
        return None
    for end in (at(one, "state", "terminated") for one in _containers(pod)):
        code, when = number(end, "exitCode"), moment(end, "finishedAt") or 0.0
        if code is not None:
            return PodEnd(False, seen, code, word(end, "reason"), sentence(end, "message"), when)
    return PodEnd(True, seen, -1, "", sentence(pod, "status", "message"), 0.0)


def _started(pod: Mapping[str, Any]) -> float:
    training = next(iter(_containers(pod)), {})
    states = (at(training, "state", form) for form in ("running", "terminated"))
    return min((when for state in states if (when := moment(state, "startedAt"))), default=NEVER)


def _now(pod: Mapping[str, Any], seen: int) -> PodNow:
    known = conditions(pod)
    waiting = (at(status, "state", "waiting") for status in _containers(pod))
    blocked = next((one for one in waiting if word(one, "message")), None)
    scheduled = known.get("PodScheduled")
    if blocked is None and scheduled is not None and not holds(scheduled):
        blocked = scheduled
    return PodNow(
        seen,
        word(pod, "status", "phase"),
        holds(known.get("Ready")),
        word(blocked, "reason"),
        sentence(blocked, "message"),
    )
