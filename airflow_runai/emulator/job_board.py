"""
Workloads as jobs of the scheduler, kept from one cycle to the next.

Most of them are the same in the next cycle; describing all of them anew took longer than to decide.
"""

from __future__ import annotations

from airflow_runai.emulator import phases, scheduler
from airflow_runai.emulator.agenda import is_in_step
from airflow_runai.emulator.records import EmulatedWorkload
from airflow_runai.emulator.scheduler import Job
from airflow_runai.emulator.world import World


class JobBoard:
    """
    What the scheduler sees of a world's workloads.

    :param world: where they are.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[str, None] = {}
        self._changed: set[str] = set()
        self._placed: set[str] = set()
        self._clusters = self._empty()
        # Clusters about whose jobs the scheduler has not decided yet.
        self._undecided: set[str] = set()

    def note(self, workload: EmulatedWorkload) -> None:
        """Record that a workload has changed."""
        self._changed.add(workload.id)

    def placed(self, workload: EmulatedWorkload) -> None:
        """
        Record that the scheduler has placed a workload.

        It may lose its place again before anybody looks. Then it is as the scheduler saw it last,
        and has to be decided about nevertheless.
        """
        self._placed.add(workload.id)
        self.note(workload)

    def renew(self) -> None:
        """Describe the workloads that have changed, the oldest first."""
        self._follow()
        changed = [one for one in self._changed if one in self._known]
        # In the order of creation, as in a list of all of them.
        changed.sort(key=lambda one: self._world.workloads[one].created_at)
        for workload_id in changed:
            self._describe(self._world.workloads[workload_id])
        self._changed.clear()
        self._placed.clear()

    def undecided(self, cluster_id: str) -> scheduler.Census | None:
        """
        Return a cluster's jobs.

        None if the scheduler has already seen exactly these: it would decide the same again.
        """
        if cluster_id not in self._undecided:
            return None
        self._undecided.remove(cluster_id)
        return self._clusters[cluster_id]

    def _describe(self, workload: EmulatedWorkload) -> None:
        # A stored workload may belong to a cluster that is no longer configured.
        census = self._clusters.get(workload.cluster_id)
        job = self._job(workload)
        is_seen = workload.id not in self._placed
        if census is None or (is_seen and job == census.jobs.get(workload.id)):
            return
        if job is None:
            census.drop(workload.id)
        else:
            census.put(job)
        self._undecided.add(workload.cluster_id)

    def _empty(self) -> dict[str, scheduler.Census]:
        return {cluster.id: scheduler.Census(cluster.nodes) for cluster in self._world.clusters}

    def _job(self, workload: EmulatedWorkload) -> Job | None:
        if not _wants_gpus(workload):
            return None
        return _described(workload, self._world.project_of(workload).name)

    def _follow(self) -> None:
        """Take in workloads that others have added; after any is gone, begin anew."""
        workloads = self._world.workloads
        if is_in_step(self._known, workloads):
            return
        if self._known.keys() - workloads.keys():
            self._known = {}
            self._clusters = self._empty()
            self._undecided = set(self._clusters)
        self._changed.update(workloads.keys() - self._known.keys())
        self._known = dict.fromkeys(workloads)


def _wants_gpus(workload: EmulatedWorkload) -> bool:
    """Whether a workload waits in its queue, or has pods."""
    if workload.deleted_at is not None or workload.is_at_rest:
        return False
    pending = workload.phase == phases.PENDING and workload.desired == "Running"
    is_held = bool(workload.not_before or workload.missing_claim)
    return bool(workload.live_pods) or (pending and not is_held)


def _described(workload: EmulatedWorkload, queue: str) -> Job:
    return Job(
        id=workload.id,
        name=workload.name,
        project=queue,
        pods=workload.gpu_demand,
        priority=workload.priority,
        preemptible=workload.preemptible,
        submitted=workload.created_at,
        placed=tuple(pod.slot for pod in workload.live_pods),
        leaving=workload.departure is not None,
        avoid=frozenset(workload.last_nodes),
        claims=workload.claims and workload.desired == "Running",
    )
