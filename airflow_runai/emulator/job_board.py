"""
Workloads as jobs of the scheduler, kept from one cycle to the next.

Most of them are the same in the next cycle; describing all of them anew took longer than to decide.
"""

from __future__ import annotations

from airflow_runai.emulator import phases
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
        # By cluster, then by the workload's id, in the order of creation.
        self._jobs: dict[str, dict[str, Job | None]] = {}
        self._changed: set[str] = set()
        self._scheduled: dict[str, list[Job]] = {}

    def note(self, workload: EmulatedWorkload) -> None:
        """Record that a workload has changed."""
        self._changed.add(workload.id)

    def renew(self) -> None:
        """Describe the workloads that have changed."""
        self._follow()
        for workload_id in self._changed & self._known.keys():
            workload = self._world.workloads[workload_id]
            jobs = self._jobs[workload.cluster_id]
            job = self._job(workload)
            # An equal job stays the same object, so that comparing lists of them is quick.
            if job != jobs[workload_id]:
                jobs[workload_id] = job
        self._changed.clear()

    def jobs_to_schedule(self, cluster_id: str) -> list[Job]:
        """
        List a cluster's jobs, the oldest first.

        Empty if the scheduler has already seen exactly these: it would decide the same again.
        """
        every = self._jobs.get(cluster_id, {}).values()
        jobs = [job for job in every if job is not None]
        if jobs == self._scheduled.get(cluster_id):
            return []
        self._scheduled[cluster_id] = jobs
        return jobs

    def _job(self, workload: EmulatedWorkload) -> Job | None:
        if not _wants_gpus(workload):
            return None
        return _described(workload, self._world.project_of(workload).name)

    def _follow(self) -> None:
        """Take in workloads that others have added, and drop those that are gone."""
        workloads = self._world.workloads
        if is_in_step(self._known, workloads):
            return
        self._changed.update(workloads.keys() - self._known.keys())
        self._known = dict.fromkeys(workloads)
        before = self._jobs
        self._jobs = {}
        for workload in workloads.values():
            job = before.get(workload.cluster_id, {}).get(workload.id)
            self._jobs.setdefault(workload.cluster_id, {})[workload.id] = job


def _wants_gpus(workload: EmulatedWorkload) -> bool:
    """Whether a workload waits in its queue, or has pods."""
    if workload.deleted_at is not None or workload.is_at_rest:
        return False
    pending = workload.phase == phases.PENDING and workload.desired == "Running"
    return bool(workload.live_pods) or (pending and not workload.not_before)


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
