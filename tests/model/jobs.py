"""
The Job controller: makes pods, counts their ends, waits after failures, and says when a Job is over.

As the real one it keeps the waits in its memory only, and writes a status 1 s after a pod's end.
"""

from __future__ import annotations

from tests.model.clock import moment
from tests.model.conditions import condition
from tests.model.controller import Agenda
from tests.model.deletion import Deletion
from tests.model.events import Recorder
from tests.model.job_looks import ENDED, LONGEST_WAIT, Failures, Look
from tests.model.pods_of_jobs import controlled_by, made_for
from tests.model.resources import JOBS, PODS, Object
from tests.model.store import Change, Store

#: Seconds until a pod that the controller deletes loses its finalizer.
_HESITATION = 0.05


class JobController:
    """
    Acts on all Jobs.

    :param problem: why no pod can be made now, as a quota says it; empty if there is none.
    """

    def __init__(self, store: Store, deletion: Deletion) -> None:
        self._store, self._deletion = store, deletion
        self._recorder = Recorder(store, "job-controller")
        self._failures: dict[str, Failures] = {}
        self._refused: dict[str, int] = {}
        self.agenda = Agenda(store.clock, self._look)
        self.problem = ""
        store.listen(self._hear)

    def restart(self) -> None:
        """Forget the waits, and look at all Jobs."""
        self._failures.clear()
        self.agenda.resume()
        for job in self._store.all(JOBS):
            self.agenda.add(job["metadata"]["uid"])

    def _hear(self, change: Change) -> None:
        thing = change.new or change.old
        if thing is None:
            return
        if change.resource == JOBS:
            self.agenda.add(thing["metadata"]["uid"], 0.004)
        elif change.resource == PODS and (owner := controlled_by(thing)):
            ended = (thing.get("status") or {}).get("phase") in ENDED
            self.agenda.add(owner, 1.0 if ended or change.new is None else 0.01)

    def _look(self, uid: str) -> None:
        job = next((one for one in self._store.all(JOBS) if one["metadata"]["uid"] == uid), None)
        pods = [one for one in self._store.all(PODS) if controlled_by(one) == uid]
        if job is None or "deletionTimestamp" in job["metadata"]:
            for pod in pods:
                self._deletion.release(pod)
            return
        wanted = Look(
            self._store.clock.now(), job, pods, self._failures.setdefault(uid, Failures())
        )
        if condition(job, "Complete") or condition(job, "Failed"):
            self._expire(job)
            return
        status = wanted.decide()
        # The status is written before a finalizer goes, so that no end is counted twice or lost.
        self._store.change(JOBS, job, lambda one: one.update(status=status))
        for pod in wanted.counted:
            self._deletion.release(pod)
        for pod in wanted.to_suspend:
            self._deletion.release(pod)
            self._deletion.delete(PODS, pod)
        for pod in wanted.to_end:
            self._end(pod)
        self._make_pods(job, wanted)

    def _end(self, pod: Object) -> None:
        self._deletion.delete(PODS, pod)
        self._store.clock.after(_HESITATION, lambda: self._deletion.release(pod))

    def _make_pods(self, job: Object, wanted: Look) -> None:
        uid = job["metadata"]["uid"]
        if wanted.next_start > self._store.clock.now():
            self.agenda.add(uid, wanted.next_start - self._store.clock.now())
        if wanted.deadline is not None:
            self.agenda.add(uid, max(0.0, wanted.deadline - self._store.clock.now()))
        for index in wanted.to_make:
            pod = made_for(job, index, self._store.version)
            if self.problem:
                self._tell_problem(job, pod)
                break
            self._refused.pop(uid, None)
            self._store.create(PODS, pod)

    def _tell_problem(self, job: Object, pod: Object) -> None:
        text = f'Error creating: pods "{pod["metadata"]["name"]}" is forbidden: {self.problem}'
        self._recorder.tell(job, "Warning", "FailedCreate", text)
        uid = job["metadata"]["uid"]
        tries = self._refused[uid] = self._refused.get(uid, -1) + 1
        self.agenda.add(uid, min(LONGEST_WAIT, 2.0**tries))

    def _expire(self, job: Object) -> None:
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is None:
            return
        over = condition(job, "Complete") or condition(job, "Failed") or {}
        due = moment(over["lastTransitionTime"]) + seconds
        if due <= self._store.clock.now():
            self._deletion.delete(JOBS, job, "Foreground")
        else:
            self.agenda.add(job["metadata"]["uid"], due - self._store.clock.now())
