"""The JobSet controller: makes a Job for each member, and makes all of them anew when one has failed."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from tests.model.conditions import condition, set_condition
from tests.model.controller import Agenda
from tests.model.deletion import Deletion
from tests.model.resources import JOBS, JOBSETS, Object
from tests.model.store import Change, Store

ATTEMPT = "jobset.sigs.k8s.io/restart-attempt"
IGNORE, FAIL = "RestartJobSetAndIgnoreMaxRestarts", "FailJobSet"


class JobSetController:
    """Acts on all JobSets, with the restart strategy BlockingRecreate."""

    def __init__(self, store: Store, deletion: Deletion) -> None:
        self._store, self._deletion = store, deletion
        self.agenda = Agenda(store.clock, self._look)
        store.listen(self._hear)

    def _hear(self, change: Change) -> None:
        thing = change.new or change.old
        if thing is None:
            return
        if change.resource == JOBSETS:
            self.agenda.add(thing["metadata"]["uid"], 0.01)
        elif change.resource == JOBS:
            for owner in thing["metadata"].get("ownerReferences") or ():
                self.agenda.add(owner["uid"], 0.05)

    def _look(self, uid: str) -> None:
        found = (one for one in self._store.all(JOBSETS) if one["metadata"]["uid"] == uid)
        whole = next(found, None)
        is_over = whole and (condition(whole, "Completed") or condition(whole, "Failed"))
        if whole is None or is_over or "deletionTimestamp" in whole["metadata"]:
            return
        attempt = str((whole.get("status") or {}).get("restarts") or 0)
        jobs = [one for one in self._store.all(JOBS) if _owner(one) == uid]
        current = [one for one in jobs if one["metadata"]["labels"][ATTEMPT] == attempt]
        old = [one for one in jobs if one not in current]
        for one in old:
            if "deletionTimestamp" not in one["metadata"]:
                self._deletion.delete(JOBS, one, "Foreground")
        if old:
            return  # the next attempt begins when nothing is left of this one
        if failed := next((one for one in current if condition(one, "Failed")), None):
            self._fail(whole, failed)
        elif not current:
            for job in _members(whole, attempt):
                self._store.create(JOBS, job)
        elif all(condition(one, "Complete") for one in current):
            self._conclude(whole, "Completed", "AllJobsCompleted", "jobset completed successfully")
        else:
            self._suspend(whole, current)

    def _fail(self, whole: Object, job: Object) -> None:
        reason = (condition(job, "Failed") or {})["reason"]
        policy = whole["spec"].get("failurePolicy") or {}
        rules = (
            one["action"]
            for one in policy.get("rules") or ()
            if reason in one.get("onJobFailureReasons", [reason])
        )
        action, status = next(rules, ""), whole.get("status") or {}
        charged = int(status.get("restartsCountTowardsMax") or 0)
        if action == FAIL or (action != IGNORE and charged >= policy.get("maxRestarts", 0)):
            words = f"jobset failed due to {reason} (first failed job: {job['metadata']['name']})"
            self._conclude(whole, "Failed", "FailedJobs", words)
            return
        restarts = int(status.get("restarts") or 0) + 1
        numbers = {"restarts": restarts, "restartsCountTowardsMax": charged + (action != IGNORE)}
        self._store.change(JOBSETS, whole, lambda one: one.setdefault("status", {}).update(numbers))

    def _conclude(self, whole: Object, form: str, reason: str, words: str) -> None:
        now = self._store.clock.now()
        self._store.change(JOBSETS, whole, lambda one: set_condition(one, now, form, reason, words))
        for job in list(self._store.all(JOBS)):
            if form == "Failed" and _owner(job) == whole["metadata"]["uid"]:
                self._deletion.delete(JOBS, job, "Foreground")

    def _suspend(self, whole: Object, jobs: list[Object]) -> None:
        wanted = bool(whole["spec"].get("suspend"))
        for job in jobs:
            self._store.change(JOBS, job, lambda one: one["spec"].update(suspend=wanted))
        if wanted or condition(whole, "Suspended"):
            now, value = self._store.clock.now(), "True" if wanted else "False"
            reason = "SuspendedJobs" if wanted else "ResumeJobs"
            self._store.change(
                JOBSETS, whole, lambda one: set_condition(one, now, "Suspended", reason, "", value)
            )


def _owner(job: Object) -> str:
    owners = job["metadata"].get("ownerReferences") or ()
    return next((one["uid"] for one in owners if one["kind"] == "JobSet"), "")


def _members(whole: Object, attempt: str) -> Iterator[Object]:
    metadata, number = whole["metadata"], 0
    for member in whole["spec"]["replicatedJobs"]:
        for index in range(member.get("replicas", 1)):
            job = copy.deepcopy(member["template"])
            labels = {
                "jobset.sigs.k8s.io/jobset-name": metadata["name"],
                "jobset.sigs.k8s.io/jobset-uid": metadata["uid"],
                "jobset.sigs.k8s.io/replicatedjob-name": member["name"],
                "jobset.sigs.k8s.io/job-global-index": str(number),
                ATTEMPT: attempt,
            }
            for one in (job, job["spec"]["template"]):
                own = one.setdefault("metadata", {})
                own["labels"] = {**(own.get("labels") or {}), **labels}
            reference = {"apiVersion": whole["apiVersion"], "kind": "JobSet", "controller": True}
            job["metadata"] |= {
                "name": f"{metadata['name']}-{member['name']}-{index}",
                "namespace": metadata["namespace"],
                "ownerReferences": [
                    {**reference, "name": metadata["name"], "uid": metadata["uid"]}
                ],
            }
            job["spec"]["suspend"] = bool(whole["spec"].get("suspend"))
            number += 1
            yield job
