"""
What lists, watches and direct looks have shown of one namespace: the small state behind all waits.

Order between streams means nothing, and whatever is shown twice is known once. Whoever feeds a
mirror says what was read and when; what follows from it is asked with :meth:`Mirror.case`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from airflow_runai.core.kubernetes.case import Case
from airflow_runai.core.kubernetes.eviction_words import EvictionWords
from airflow_runai.core.kubernetes.facts import unite
from airflow_runai.core.kubernetes.job_facts import JobFacts, read_job
from airflow_runai.core.kubernetes.objects import at, version, word
from airflow_runai.core.kubernetes.pod_facts import PodFacts, read_pod
from airflow_runai.core.kubernetes.presence import Presence
from airflow_runai.core.kubernetes.queue_facts import QueueFacts, read_workload
from airflow_runai.core.kubernetes.successors import in_order
from airflow_runai.core.kubernetes.uid_index import UidIndex

#: Kinds that a mirror understands; others are ignored.
KINDS = ("Job", "JobSet", "Pod", "Workload", "Event")
#: Seconds by which a successor is surely newer than what it replaces.
_LATER = 1e-3
_Kept = TypeVar("_Kept", PodFacts, JobFacts)


class _Listed(NamedTuple):
    """The newest complete list of one kind."""

    version: int
    at: float
    uids: frozenset[str]


class Mirror:
    """The objects of one namespace that belong to trainings of ours."""

    def __init__(self) -> None:
        self._pods: dict[str, PodFacts] = {}
        self._jobs: dict[str, JobFacts] = {}
        self._queues: dict[str, QueueFacts] = {}
        self._listed: dict[str, _Listed] = {}
        self._through: dict[str, int] = {}
        self._pods_through: dict[str, int] = {}
        self._missed: dict[tuple[str, str], float] = {}
        self._words = EvictionWords()
        self._refused: set[str] = set()
        self._pods_of, self._jobs_of = UidIndex[str](), UidIndex[str]()
        # By name alone: a key of kind and name would be one more object for each training.
        self._named = UidIndex[str]()

    def through(self, kind: str) -> int:
        """Return the version from which a watch of this kind goes on; 0 before the first list."""
        return self._through.get(kind, 0)

    def listed(self, kind: str, items: Iterable[Any], version: int, now: float) -> None:
        """
        Take a complete list, all its pages together.

        :param version: the list's own, of its first page.
        :param now: when it came, epoch seconds; so everywhere here.
        """
        self.complete(kind, self._all(kind, items, version, now), version, now)

    def complete(self, kind: str, uids: Iterable[str], version: int, now: float) -> list[str]:
        """
        Take the end of a complete list whose objects were taken one by one.

        :return: uids of trainings of which it lacks something.
        """
        self._refused.discard(kind)
        self.reach(kind, version)
        if version < self._listed.get(kind, _Listed(0, 0.0, frozenset())).version:
            return []
        before = self._present(kind)
        self._listed[kind] = _Listed(version, now, frozenset(uids))
        return [before[uid] for uid in before.keys() - self._present(kind).keys()]

    def listed_of(
        self, uid: str, kind: str, items: Iterable[Any], version: int, now: float
    ) -> None:
        """Take a complete list of what belongs to one training: its pods, or a set's Jobs."""
        shown = self._all(kind, items, version, now)
        if kind == "Pod":
            self._pods_through[uid] = max(version, self._pods_through.get(uid, 0))
            for one in {*self._pods_of.of(uid)} - shown:
                self._pods[one] = _lacking(self._pods[one], version, now)
        elif kind == "Job":
            for one in {*self._jobs_of.of(uid)} - shown:
                self._jobs[one] = _lacking(self._jobs[one], version, now)

    def line(self, kind: str, event: object, now: float) -> bool:
        """Take one line of a watch; return whether it goes on: if not, only a new list helps."""
        self._refused.discard(kind)
        form, found = word(event, "type"), at(event, "object")
        if form == "ERROR":
            return False
        seen = version(found)
        if form == "DELETED":
            # The object is shown as it was before.
            self.take(kind, found, Presence(left=seen, left_at=now))
        elif form in ("ADDED", "MODIFIED"):
            self.take(kind, found, Presence(seen=seen, seen_at=now))
        self.reach(kind, seen)
        return True

    def found(self, kind: str, item: object, now: float) -> None:
        """Take one object from the answer to a read, a create, a patch or a delete."""
        self.take(kind, item, Presence(seen=version(item), seen_at=now, found_at=now))

    def missed(self, kind: str, name: str, now: float) -> None:
        """Take the answer that there is no such object."""
        key = kind, name
        self._missed[key] = max(now, self._missed.get(key, 0.0))

    def events(self, items: Iterable[Any], now: float, about: str = "") -> None:
        """
        Take a list of events.

        :param about: what it was asked for: a PodGroup, or a training's uid for its pods.
        """
        for item in items:
            if isinstance(item, Mapping):
                self._words.take(item, about)
        if about:
            self._words.note_question(about, now)

    def refused(self, kind: str) -> None:
        """Take that these rights do not show a kind, until it is shown after all."""
        self._refused.add(kind)

    def allowed(self, kind: str) -> None:
        """Take that these rights show a kind."""
        self._refused.discard(kind)

    def __contains__(self, uid: object) -> bool:
        """Whether a Job or JobSet was seen."""
        return uid in self._jobs

    def case(self, uid: str) -> Case | None:
        """Return all that is known of a Job or JobSet; ``None`` if it was never seen."""
        if uid not in self._jobs:
            return None
        training = self._job(uid)
        members = {one: self._job(one) for one in self._jobs_of.of(uid)}
        jobs = members if training.kind == "JobSet" else {uid: training}
        uids = set[str]().union(*(self._pods_of.of(one) for one in (uid, *jobs)))
        pods = [self._standing("Pod", self._pods[one]) for one in uids]
        return Case(
            training=training,
            jobs=jobs,
            pods=in_order(pods, training),
            queue=self._queues.get(uid),
            words=self._words.of(uid, pods),
            asked=self._words.asked(uid, pods),
            unreadable=frozenset(self._refused),
            pods_through=max(self.through("Pod"), self._pods_through.get(uid, 0)),
        )

    def forget(self, uid: str) -> None:
        """Forget a training that nobody waits for any more."""
        self._pods_through.pop(uid, None)
        self._words.forget(uid)
        for job in (uid, *self._jobs_of.pop(uid, ())):
            for pod in self._pods_of.pop(job, ()):
                if facts := self._pods.pop(pod, None):
                    self._words.forget_pod(facts)
            self._queues.pop(job, None)
            if facts_of_job := self._jobs.pop(job, None):
                self._named.discard(facts_of_job.name, job)
                self._missed.pop((facts_of_job.kind, facts_of_job.name), None)

    def forget_ended(self, awaited: Container[str]) -> None:
        """Forget trainings that have ended, and pods that have outlived theirs, if not awaited."""
        ended = [one.uid for one in self.trainings() if _is_over(one)]
        # The training of a pod that goes on may be seen only later, and so may a set.
        pods = (one for one in self._pods.values() if one.end is not None and not one.set_uid)
        ended += [one.job_uid for one in pods if one.job_uid not in self._jobs]
        for uid in dict.fromkeys(ended):
            if uid not in awaited:
                self.forget(uid)

    def trainings(self) -> list[JobFacts]:
        """Return the Jobs and JobSets that no other object made, oldest first."""
        own = [self._job(uid) for uid, job in self._jobs.items() if not job.set_uid]
        return sorted(own, key=lambda job: (job.made, job.name, job.uid))

    def reach(self, kind: str, version: int) -> None:
        """Take that all up to a version has been shown."""
        self._through[kind] = max(version, self.through(kind))

    def take(self, kind: str, item: object, presence: Presence) -> str:
        """
        Take one sighting, wherever it comes from.

        :return: uid of the training that it is news of; empty if it is none.
        """
        if not isinstance(item, Mapping) or kind not in KINDS:
            return ""
        if kind == "Event":
            self._words.take(item)
            return ""
        if kind == "Workload":
            return self._take_queue(read_workload(item))
        if kind == "Pod":
            return self._take_pod(read_pod(item, presence))
        return self._take_job(read_job(item, kind, presence))

    def _take_queue(self, queue: QueueFacts) -> str:
        known = self._queues.get(queue.owner)
        united = self._queues[queue.owner] = unite(known, queue) if known else queue
        return queue.owner if known is None or united.news != known.news else ""

    def _take_pod(self, pod: PodFacts) -> str:
        owners = [uid for uid in (pod.job_uid, pod.set_uid) if uid]
        if not pod.uid:
            return ""
        known = self._pods.get(pod.uid)
        united = self._pods[pod.uid] = unite(known, pod) if known else pod
        for uid in owners:
            self._pods_of.note(uid, pod.uid)
        return _training_of(united) if _is_news(known, united) else ""

    def _take_job(self, job: JobFacts) -> str:
        if not job.uid:
            return ""
        known = self._jobs.get(job.uid)
        united = self._jobs[job.uid] = unite(known, job) if known else job
        self._named.note(job.name, job.uid)
        if job.set_uid:
            self._jobs_of.note(job.set_uid, job.uid)
        return _training_of(united) if _is_news(known, united) else ""

    def _all(self, kind: str, items: Iterable[Any], version: int, now: float) -> set[str]:
        """Take the objects of a list; return their uids."""
        uids = set()
        for item in items:
            uids.add(word(item, "metadata", "uid"))
            self.take(kind, item, Presence(seen=version, seen_at=now))
        return uids

    def _present(self, kind: str) -> dict[str, str]:
        """Return the objects of a kind that are still there: uid, and that of the training."""
        pods = self._pods.values() if kind == "Pod" else ()
        jobs = [self._standing(kind, job) for job in self._jobs.values() if job.kind == kind]
        standing: list[JobFacts | PodFacts] = [*jobs, *(self._standing(kind, one) for one in pods)]
        return {one.uid: _training_of(one) for one in standing if not one.presence.is_gone}

    def _job(self, uid: str) -> JobFacts:
        job = self._standing(self._jobs[uid].kind, self._jobs[uid])
        presence = job.presence
        missed = self._missed.get((job.kind, job.name), 0.0)
        # Of several objects of one name, only the newest can still be there.
        namesakes = [self._jobs[one] for one in self._named.of(job.name)]
        if max(one.presence.seen for one in namesakes if one.kind == job.kind) > presence.seen:
            missed = max(missed, presence.left_at, presence.seen_at + _LATER)
        return replace(job, presence=replace(presence, missed_at=missed))

    def _standing(self, kind: str, facts: _Kept) -> _Kept:
        """Return facts with what the newest list says about the object's presence."""
        newest = self._listed.get(kind)
        if newest is None or facts.uid in newest.uids:
            return facts
        return _lacking(facts, newest.version, newest.at)


def _lacking(facts: _Kept, version: int, at: float) -> _Kept:
    return replace(facts, presence=facts.presence.lacking(version, at))


def _training_of(facts: PodFacts | JobFacts) -> str:
    own = facts.job_uid if isinstance(facts, PodFacts) else facts.uid
    return facts.set_uid or own


def _is_news(known: _Kept | None, united: _Kept) -> bool:
    """Whether a sighting shows a state that was not seen before."""
    if known is None or known.now != united.now:
        return True
    return known.presence.is_gone != united.presence.is_gone


def _is_over(job: JobFacts) -> bool:
    return job.presence.is_gone or bool(job.now and job.now.is_over)
