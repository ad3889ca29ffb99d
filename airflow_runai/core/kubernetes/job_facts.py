"""What the sightings of one Job or JobSet say."""

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
    newest_of,
    unite,
)
from airflow_runai.core.kubernetes.objects import (
    at,
    conditions,
    controller,
    count,
    holds,
    moment,
    number,
    rows,
    sentence,
    shared_word,
    version,
    word,
)
from airflow_runai.core.kubernetes.pod_facts import attempt_of
from airflow_runai.core.kubernetes.presence import Presence
from airflow_runai.core.kubernetes.training_container import own_variables
from airflow_runai.core.workload import TRY_VARIABLE

#: Annotation of a Job or JobSet in which its history is kept.
HISTORY = "airflow-runai/history"
FINGERPRINT, BUDGET = "airflow-runai/fingerprint", "airflow-runai/backoff-limit"
#: Characters of it that are kept for reading; a longer one is not ours.
LONGEST_HISTORY = 64 * 1024
#: Label that names the queue of Kueue's.
QUEUE = "kueue.x-k8s.io/queue-name"
#: The first says that the verdict is sure, the second that nothing runs any more.
_SUCCESS = ("SuccessCriteriaMet", "Complete", "Completed")
_FAILURE = ("FailureTarget", "Failed")


class Conclusion(NamedTuple):
    """What the platform says of the end: in which version it did first, and since when it holds."""

    version: int
    at: float
    reason: str
    message: str


class JobNow(NamedTuple):
    """
    The newest state of a Job or JobSet.

    :param succeeded: pods that the Job controller has counted as successes.
    """

    version: int
    is_suspended: bool
    parallelism: int
    active: int
    ready: int
    terminating: int
    succeeded: int
    failed: int
    restarts: int
    is_over: bool


@dataclass(frozen=True, slots=True)
class JobFacts:
    """
    What is known of one Job or JobSet.

    :param set_uid: of the JobSet that made this Job.
    :param pauses: versions in which it was suspended, or its parallelism was 0.
    :param paused_at: when it was suspended, as its condition says.
    :param resumed_at: when it was resumed.
    :param deadline: when its activeDeadlineSeconds are over, once it has failed.
    :param leaving: when its deletion began.
    :param queue: the queue of Kueue's that decides when it runs.
    :param history: version and text of its history annotation.
    :param fingerprint: of the specification that it says it was made from.
    :param made_by: number of the try that made it; -1 if it does not say.
    :param budget: failures that its author allows; -1 if it does not say.
    :param yields: its author wants it to end when it is preempted.
    :param limit: version, and how many failures Kubernetes allows; ``None`` for a set.
    """

    uid: Word
    kind: Word = ""
    name: Word = ""
    namespace: Word = ""
    set_uid: Word = ""
    attempt: NewestVersion = -1
    made: Greatest = 0.0
    pauses: Annotated[tuple[int, ...], newest_of] = ()
    paused_at: Annotated[tuple[float, ...], newest_of] = ()
    resumed_at: Annotated[tuple[float, ...], newest_of] = ()
    success: Annotated[Conclusion | None, earlier] = None
    failure: Annotated[Conclusion | None, earlier] = None
    deadline: Greatest = 0.0
    leaving: Smallest = NEVER
    queue: Word = ""
    now: Annotated[JobNow | None, later] = None
    history: Annotated[tuple[int, str] | None, later] = None
    fingerprint: Word = ""
    made_by: NewestVersion = -1
    budget: NewestVersion = -1
    yields: Ever = False
    limit: Annotated[tuple[int, int] | None, later] = None
    presence: Annotated[Presence, unite] = field(default_factory=Presence)


def read_job(job: Mapping[str, Any], kind: str, presence: Presence) -> JobFacts:
    """
    Return what one sighting says.

    :param kind: ``Job`` or ``JobSet``; items of a list do not carry it.
    """
    seen, known = version(job), conditions(job)
    is_paused = at(job, "spec", "suspend") is True or number(job, "spec", "parallelism") == 0
    suspended = known.get("Suspended")
    since = moment(suspended, "lastTransitionTime")
    changed = (since,) if since else ()
    failure = _conclusion(known, _FAILURE, seen)
    return JobFacts(
        uid=word(job, "metadata", "uid"),
        kind=kind,
        name=word(job, "metadata", "name"),
        namespace=shared_word(job, "metadata", "namespace"),
        set_uid=controller(job, "JobSet"),
        attempt=attempt_of(job),
        made=moment(job, "metadata", "creationTimestamp") or 0.0,
        pauses=(seen,) if is_paused else (),
        paused_at=changed if holds(suspended) else (),
        resumed_at=changed if not holds(suspended) else (),
        success=_conclusion(known, _SUCCESS, seen),
        failure=failure,
        deadline=_deadline(job) if failure else 0.0,
        leaving=moment(job, "metadata", "deletionTimestamp") or NEVER,
        queue=shared_word(job, "metadata", "labels", QUEUE),
        now=_now(job, known, seen),
        history=_history(job, seen),
        fingerprint=word(job, "metadata", "annotations", FINGERPRINT),
        made_by=_whole(own_variables(job).get(TRY_VARIABLE, "")),
        budget=_whole(word(job, "metadata", "annotations", BUDGET)),
        yields=_yields(job),
        limit=_limit(job, seen),
        presence=presence,
    )


def _conclusion(
    known: Mapping[str, Mapping[str, Any]], types: tuple[str, ...], seen: int
) -> Conclusion | None:
    true = [known[one] for one in types if holds(known.get(one))]
    if not true:
        return None
    when = min(moment(one, "lastTransitionTime") or 0.0 for one in true)
    return Conclusion(seen, when, word(true[0], "reason"), sentence(true[0], "message"))


def _deadline(job: Mapping[str, Any]) -> float:
    started = moment(job, "status", "startTime")
    return started + count(job, "spec", "activeDeadlineSeconds") if started else 0.0


def _now(job: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]], seen: int) -> JobNow:
    wanted = number(job, "spec", "parallelism")
    return JobNow(
        seen,
        at(job, "spec", "suspend") is True or wanted == 0,
        1 if wanted is None else wanted,
        count(job, "status", "active"),
        count(job, "status", "ready"),
        count(job, "status", "terminating"),
        count(job, "status", "succeeded") + _uncounted(job),
        count(job, "status", "failed"),
        count(job, "status", "restarts"),
        any(holds(known.get(one)) for one in ("Complete", "Completed", "Failed")),
    )


def _uncounted(job: Mapping[str, Any]) -> int:
    """Return the successes that the controller has seen, and will add to its count."""
    uids = at(job, "status", "uncountedTerminatedPods", "succeeded")
    return len(uids) if isinstance(uids, list) else 0


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else -1


def _yields(job: Mapping[str, Any]) -> bool:
    rules = (
        rows(job, "spec", "podFailurePolicy", "rules"),
        rows(job, "spec", "failurePolicy", "rules"),
    )
    return any(word(one, "action") in ("FailJob", "FailJobSet") for some in rules for one in some)


def _limit(job: Mapping[str, Any], seen: int) -> tuple[int, int] | None:
    limit = number(job, "spec", "backoffLimit")
    return None if limit is None else (seen, limit)


def _history(job: Mapping[str, Any], seen: int) -> tuple[int, str] | None:
    text = at(job, "metadata", "annotations", HISTORY)
    return (seen, text) if isinstance(text, str) and len(text) <= LONGEST_HISTORY else None
