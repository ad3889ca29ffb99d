"""One look of the Job controller at a Job: what its status becomes, and what is done. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.model.clock import moment, timestamp
from tests.model.conditions import condition, set_condition
from tests.model.deletion import TRACKING
from tests.model.kubelet import finished_at, phase_of
from tests.model.pod_rules import FAIL_JOB, IGNORE, action_for
from tests.model.pods_of_jobs import INDEX
from tests.model.resources import Object

FIRST_WAIT, LONGEST_WAIT = 10.0, 600.0
ENDED = ("Succeeded", "Failed")


@dataclass
class Failures:
    """The failures of a Job since its last success, ignored ones too."""

    number: int = 0
    last: float = 0.0

    @property
    def next_start(self) -> float:
        """Return the moment before which no pod is made."""
        if not self.number:
            return 0.0
        return self.last + min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (self.number - 1))


class Look:
    """
    One look at a Job: what its status becomes, and what is done.

    :param counted: pods whose end is in the status now.
    :param to_suspend: pods that must go and do not count.
    :param to_end: pods that must go because the Job is over.
    :param to_make: completion indexes of the pods to make; ``None`` without indexes.
    """

    def __init__(self, now: float, job: Object, pods: list[Object], failures: Failures) -> None:
        self._now, self._job, self._pods, self._failures = now, job, pods, failures
        self._spec = job["spec"]
        self.counted: list[Object] = []
        self.to_suspend: list[Object] = []
        self.to_end: list[Object] = []
        self.to_make: list[int | None] = []
        self.next_start = 0.0
        self.deadline: float | None = None

    def decide(self) -> Object:
        """Return the new status, and fill in what is to be done."""
        draft = {"status": dict(self._job.get("status") or {})}
        draft["status"]["conditions"] = [
            dict(one) for one in draft["status"].get("conditions") or ()
        ]
        self._draft, self._status = draft, draft["status"]
        failing = self._count()
        self._suspend_or_resume()
        if failing is None:
            failing = self._limit()
        if failing or condition(draft, "FailureTarget"):
            self._fail(failing)
        elif self._succeeded >= (self._spec.get("completions") or 1):
            self._succeed()
        elif not self._spec.get("suspend"):
            self._plan_pods()
        self._describe()
        return self._status

    @property
    def _succeeded(self) -> int:
        return int(self._status.get("succeeded") or 0)

    @property
    def _standing(self) -> list[Object]:
        """Return the pods that have not ended, those that are leaving too."""
        return [pod for pod in self._pods if phase_of(pod) not in ENDED]

    @property
    def _active(self) -> list[Object]:
        return [pod for pod in self._standing if "deletionTimestamp" not in pod["metadata"]]

    def _count(self) -> tuple[str, str] | None:
        """Count ends; return why the Job fails by one of them."""
        failing = None
        for pod in self._pods:
            if TRACKING not in (pod["metadata"].get("finalizers") or ()) or not self._has_ended(
                pod
            ):
                continue
            self.counted.append(pod)
            if phase_of(pod) == "Succeeded":
                self._status["succeeded"] = self._succeeded + 1
                self._failures.number = 0
                self._note_index(pod)
                continue
            action, words = action_for(self._spec, pod)
            if action != IGNORE:
                self._status["failed"] = int(self._status.get("failed") or 0) + 1
            if action == FAIL_JOB:
                failing = ("PodFailurePolicy", words)
            self._failures.number += 1
            self._failures.last = max(self._failures.last, finished_at(pod) or self._now)
        return failing

    def _has_ended(self, pod: Object) -> bool:
        leaves = "deletionTimestamp" in pod["metadata"]
        unbound = leaves and not pod["spec"].get("nodeName")
        return phase_of(pod) in ENDED or unbound or (leaves and not self._waits_for_ends)

    @property
    def _waits_for_ends(self) -> bool:
        """Whether a leaving pod is replaced only when it has ended."""
        default = "Failed" if self._spec.get("podFailurePolicy") else "TerminatingOrFailed"
        return bool(self._spec.get("podReplacementPolicy", default) == "Failed")

    def _note_index(self, pod: Object) -> None:
        index = (pod["metadata"].get("annotations") or {}).get(INDEX)
        if index is not None:
            done = [*filter(None, self._status.get("completedIndexes", "").split(",")), index]
            self._status["completedIndexes"] = ",".join(sorted(set(done), key=int))

    def _suspend_or_resume(self) -> None:
        was = condition(self._draft, "Suspended")
        if self._spec.get("suspend"):
            self.to_suspend += self._active
            set_condition(self._draft, self._now, "Suspended", "JobSuspended", "Job suspended")
        elif was or "startTime" not in self._status:
            self._status["startTime"] = timestamp(self._now)
            if was:
                text = "Job resumed"
                set_condition(self._draft, self._now, "Suspended", "JobResumed", text, "False")

    def _limit(self) -> tuple[str, str] | None:
        if int(self._status.get("failed") or 0) > self._spec.get("backoffLimit", 6):
            return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        seconds, began = self._spec.get("activeDeadlineSeconds"), self._status.get("startTime")
        if seconds is None or began is None or self._spec.get("suspend"):
            return None
        self.deadline = moment(began) + seconds
        if self._now >= self.deadline:
            return "DeadlineExceeded", "Job was active longer than specified deadline"
        return None

    def _fail(self, why: tuple[str, str] | None) -> None:
        known = condition(self._draft, "FailureTarget")
        reason, message = why or (known["reason"], known["message"]) if known else why or ("", "")
        set_condition(self._draft, self._now, "FailureTarget", reason, message)
        self.deadline = None
        # They count as failed at once, while they still run.
        self._status["failed"] = int(self._status.get("failed") or 0) + len(self._active)
        self.to_end += self._active
        if not self._standing:
            set_condition(self._draft, self._now, "Failed", reason, message)

    def _succeed(self) -> None:
        reason, message = "CompletionsReached", "Reached expected number of succeeded pods"
        set_condition(self._draft, self._now, "SuccessCriteriaMet", reason, message)
        self.deadline = None
        self.to_end += self._active
        if not self._standing:
            set_condition(self._draft, self._now, "Complete", reason, message)
            self._status["completionTime"] = timestamp(self._now)

    def _plan_pods(self) -> None:
        in_the_way = self._standing if self._waits_for_ends else self._active
        parallel, completions = self._spec.get("parallelism", 1), self._spec.get("completions") or 1
        missing = min(parallel, completions - self._succeeded) - len(in_the_way)
        self.to_end += self._active[parallel:]
        if missing <= 0:
            return
        if self._failures.next_start > self._now:
            self.next_start = self._failures.next_start
            return
        self.to_make = self._indexes(missing, in_the_way)

    def _indexes(self, number: int, standing: list[Object]) -> list[int | None]:
        if self._spec.get("completionMode") != "Indexed":
            return [None] * number
        taken = {(pod["metadata"].get("annotations") or {}).get(INDEX) for pod in standing}
        taken |= set(self._status.get("completedIndexes", "").split(","))
        free = [index for index in range(self._spec["completions"]) if str(index) not in taken]
        return [*free[:number]]

    def _describe(self) -> None:
        leaving_soon = [*self.to_suspend, *self.to_end]
        active = [pod for pod in self._active if pod not in leaving_soon]
        numbers = {"active": len(active) + len(self.to_make), "ready": sum(map(_is_ready, active))}
        self._status |= {**numbers, "terminating": len(self._standing) - len(active)}
        for key in ("active", "ready"):
            if not self._status[key]:
                del self._status[key]


def _is_ready(pod: Object) -> bool:
    status: Any = pod.get("status") or {}
    return any(one["ready"] for one in status.get("containerStatuses") or ())
