"""
The truth about the cluster, read from the model's store: workloads are Jobs, and their phases follow from their pods.

What the package believes plays no part in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.model.clock import BEGIN
from tests.model.cluster import Cluster as Model
from tests.model.conditions import condition
from tests.model.kubelet import Life as Container
from tests.model.kubelet import phase_of
from tests.model.resources import JOBS, NAMESPACES, PODS, Object
from tests.model.store import Change
from tests.simulation.clock import VirtualLoop
from tests.simulation.history import Cluster, Life
from tests.simulation.kubernetes.connection import NAMESPACE
from tests.simulation.kubernetes.scripts import Script
from tests.simulation.kubernetes.training import MANAGED, PERSON, Training
from tests.simulation.world import Workload, World

OWNER = "batch.kubernetes.io/controller-uid"
PLATFORM = "platform"
ENDED = ("Succeeded", "Failed")
#: No history needs more.
ROOM = 64


class ClusterClock:
    """The cluster's own time, right or wrong, on a virtual loop."""

    def __init__(self, loop: VirtualLoop, off: float) -> None:
        self._loop, self._off = loop, off
        self.after = loop.after

    def now(self) -> float:
        return BEGIN + self._off + self._loop.time()


@dataclass(eq=False)
class ClusterWorld(World):
    """
    All Jobs, alive and dead, on a cluster of the model.

    :param acting: whose request is being answered.
    """

    cluster: Cluster = field(kw_only=True)
    acting: str = PLATFORM

    def __post_init__(self) -> None:
        self._by_uid: dict[str, Training] = {}
        self._script: Life | None = None
        self.model = Model(
            ClusterClock(self.loop, self.platform.clock_off),
            gpus=ROOM,
            quotas={NAMESPACE: ROOM, "team-b": 0},
            life_of=self._container,
            eviction_condition=self.cluster.names_evictions,
            turn=self._turn,
        )
        self.model.kai.is_mute = self.cluster.is_mute
        self.model.server.forbidden |= {_right(word) for word in self.cluster.forbidden}
        self.model.store.listen(self._hear)

    def now_by_its_clock(self, moment: float) -> float:
        """Tell epoch seconds as the cluster has them."""
        return BEGIN + moment + self.platform.clock_off

    @property
    def trainings(self) -> Iterator[Training]:
        """Yield all workloads as what they are here."""
        return iter(self._by_uid.values())

    # What people do

    def create(
        self, name: str, spec: Mapping[str, Any], who: str, life: Life | None = None
    ) -> Workload | None:
        """Make a Job as a person does; ``None`` if the name is taken."""
        return self.make(plain_job(name), life)

    def make(self, job: Object, life: Life | None = None) -> Workload | None:
        """Make a Job that a person has written; ``None`` if its name is taken, or its namespace goes."""
        home = self.model.store.find(NAMESPACES, "", NAMESPACE)
        is_there = home is not None and "deletionTimestamp" not in home["metadata"]
        if self.job(job["metadata"]["name"]) or not is_there:
            return None
        self._script = life
        with_acting = self._as(PERSON, partial(self.model.store.create, JOBS, job))
        self._script = None
        return self._by_uid[with_acting["metadata"]["uid"]]

    def delete(self, workload: Workload, who: str, policy: str = "Background") -> None:
        """Begin to remove it."""
        if job := self.job_of(workload):
            self._as(who, partial(self.model.deletion.delete, JOBS, job, policy))

    def delete_namespace(self) -> None:
        """Begin to remove all that there is."""
        self._as(PERSON, partial(self.model.namespaces.delete, NAMESPACE))

    def suspend(self, workload: Workload, who: str) -> None:
        """Stop its pods, keep the Job."""
        self.edit(workload, lambda job: job["spec"].update(suspend=True), who)

    def resume(self, workload: Workload, who: str) -> None:
        """Let it queue again."""
        self.edit(workload, lambda job: job["spec"].update(suspend=False), who)

    def edit(self, workload: Workload, change: Any, who: str = PERSON) -> None:
        """Edit a Job."""
        if job := self.job_of(workload):
            self._as(who, partial(self.model.store.change, JOBS, job, change))

    def relabel(self, pod: Object, key: str) -> None:
        """Take a label off a pod."""
        self.model.store.change(PODS, pod, lambda one: one["metadata"]["labels"].pop(key, None))

    def reclaim(self, pod: Object, words: str = "") -> None:
        """Let KAI take a pod for another queue."""
        if not self.model.kai.is_mute:
            self._of(pod).named.add(pod["metadata"]["uid"])
        self.model.kai.reclaim(pod, words)

    def _as(self, who: str, work: Any) -> Any:
        was, self.acting = self.acting, who
        try:
            return work()
        finally:
            self.acting = was

    def job(self, name: str) -> Object | None:
        """Return the Job of a name."""
        return self.model.job(NAMESPACE, name)

    def job_of(self, workload: Workload) -> Object | None:
        """Return the Job of a workload; ``None`` if it is gone."""
        job = self.job(workload.name)
        return job if job and job["metadata"]["uid"] == workload.id else None

    def pods_of(self, workload: Workload) -> list[Object]:
        """Return its pods, those that were let go, too."""
        labels = [(one, one["metadata"].get("labels") or {}) for one in self.model.store.all(PODS)]
        return [one for one, own in labels if own.get(OWNER) == workload.id]

    # What the containers do

    def _turn(self, pod: Object) -> float:
        return self._of(pod).script.turn()

    def _container(self, pod: Object) -> Container:
        return self._of(pod).script.container()

    def _of(self, pod: Object) -> Training:
        return self._by_uid[pod["metadata"]["labels"][OWNER]]

    def _preempt(self, training: Training, uid: str) -> None:
        for pod in self.pods_of(training):
            if pod["metadata"]["uid"] == uid and _runs(pod):
                training.preempted.add(uid)
                words = training.script.life.words.replace("\ud83d", "")
                self.reclaim(pod, f" {words}")

    # What happens

    def _hear(self, change: Change) -> None:
        if change.resource == JOBS:
            self._hear_job(change)
        elif change.resource == PODS:
            self._hear_pod(change)

    def _hear_job(self, change: Change) -> None:
        old, new = change.old, change.new
        if old is None and new is not None:
            self._born(new)
            return
        job = new or old
        assert job is not None, "a change is about something"
        training = self._by_uid[job["metadata"]["uid"]]
        if new is None or "deletionTimestamp" in new["metadata"]:
            self._condemn(training)
        if new is None:
            training.deleted = self.now()
            return
        was, is_ = (bool((one or {})["spec"].get("suspend")) for one in (old, new))
        if was != is_ and (training.is_alive if is_ else not training.is_over):
            kind = "suspended" if is_ else "resumed"
            self._note(kind, training, phase=training.phase)
        training.is_disowned = MANAGED not in new["metadata"].get("labels", {})
        self._show(training)

    def _born(self, job: Object) -> None:
        metadata, template = job["metadata"], job["spec"]["template"]["spec"]
        spec = {"environmentVariables": template["containers"][0].get("env") or ()}
        made = Training(
            metadata["uid"],
            metadata["name"],
            spec,
            self.now(),
            len(self.workloads),
            maker=self.acting,
        )
        self.workloads.append(made)
        self._by_uid[made.id] = made
        made.script = Script(self._script or self._life_of(made), self.platform.grace)
        self._note("created", made, beside=self._beside(made))
        self._enter(made, "Creating")

    def _condemn(self, training: Training) -> None:
        if training.condemned is not None:
            return
        self._note("deleted", training, phase=training.phase)
        training.condemned = self.now()
        if training.phase not in ("Completed", "Failed"):
            self._enter(training, "Deleting")

    def _note(self, kind: str, training: Training, **about: Any) -> None:
        self.story.note(
            kind, self.acting, workload=training.name, ordinal=training.ordinal, **about
        )

    def _hear_pod(self, change: Change) -> None:
        pod = change.new or change.old
        assert pod is not None, "a change is about something"
        training = self._of(pod)
        uid, now = pod["metadata"]["uid"], self.now()
        if pod["spec"].get("nodeName") and uid not in training.runs:
            training.runs[uid] = [now, float("inf")]
            training.pods.append(training.runs[uid])
        if _runs(pod) and uid not in training.begun:
            training.begun[uid] = now
            if training.script.is_preempted:
                self.loop.after(training.script.left, partial(self._preempt, training, uid))
        if "deletionTimestamp" in pod["metadata"]:
            training.leaving.setdefault(uid, now)
        is_over = change.new is None or phase_of(pod) in ENDED
        if is_over and uid in training.runs and training.runs[uid][1] > now:
            training.runs[uid][1] = now
            has_succeeded = phase_of(pod) == "Succeeded"
            training.cut_short = training.leaving.get(uid) if has_succeeded else None
            training.last = uid
        if (is_over or uid in training.leaving) and uid in training.begun:
            self._stopped(training, pod)
        self._show(training)

    def _stopped(self, training: Training, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if uid in training.stopped:
            return
        training.stopped.add(uid)
        failed = phase_of(pod) == "Failed" and "deletionTimestamp" not in pod["metadata"]
        training.failed_at += [self.now()] if failed else []
        training.script.stopped(
            self.now() - training.begun[uid], preempted=uid in training.preempted, failed=failed
        )

    def _show(self, training: Training) -> None:
        """Enter the phase that follows from what is."""
        job = self.job_of(training)
        if job is None or training.condemned is not None:
            return
        phase = _phase(job, self.pods_of(training), training)
        if phase != training.phase:
            self._enter(training, phase)

    def _enter(self, workload: Workload, phase: str, message: str = "") -> None:
        # Clocks follow from what the pods say: whatever was can be known, but a run only as long as
        # its pod is there.
        if phase != "Running":
            workload.told[len(workload.phases)] = self.now()
        super()._enter(workload, phase, message)

    def was_seen(self, pod: Object) -> None:
        """Take note that somebody who waits has seen a pod."""
        training, uid = self._of(pod), pod["metadata"]["uid"]
        training.seen.add(uid)
        begun = training.begun.get(uid)
        if phase_of(pod) != "Pending":
            for place, (at, phase, _) in enumerate(training.phases):
                if phase == "Running" and at == begun:
                    training.told.setdefault(place, self.now())


def _phase(job: Object, pods: list[Object], training: Training) -> str:
    for end, phase in (("Complete", "Completed"), ("Failed", "Failed")):
        if condition(job, end):
            return phase
    standing = [pod for pod in pods if phase_of(pod) not in ENDED]
    if job["spec"].get("suspend"):
        return "Stopping" if standing else "Stopped"
    leaving = [pod for pod in standing if "deletionTimestamp" in pod["metadata"]]
    if leaving or condition(job, "FailureTarget") or condition(job, "SuccessCriteriaMet"):
        return training.phase if not standing else "Terminating"
    if any(map(_runs, standing)):
        return "Running"
    if any(pod["spec"].get("nodeName") for pod in standing):
        return "Initializing"
    if any(phase_of(pod) == "Succeeded" for pod in pods):
        return training.phase  # the Job controller is about to count it
    return "Pending" if pods else training.phase if training.phase == "Creating" else "Pending"


def _runs(pod: Object) -> bool:
    return phase_of(pod) == "Running" and "deletionTimestamp" not in pod["metadata"]


def _right(word: str) -> tuple[str, str]:
    verb, plural = word.split()
    return verb, plural


def plain_job(name: str) -> Object:
    """Return a Job as people write it who know nothing of us."""
    labels = {"kai.scheduler/queue": NAMESPACE}
    container = {"name": "work", "image": "registry.example/work:1"}
    pod = {"schedulerName": "kai-scheduler", "restartPolicy": "Never", "containers": [container]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {"backoffLimit": 0, "template": template},
    }
