"""
Asks the scheduler which workloads get GPUs, and carries out what it decides.

The scheduler knows no workloads, only jobs; this is where the one becomes the other.
"""

from __future__ import annotations

from collections.abc import Callable

from airflow_runai.emulator import lifecycle, scheduler
from airflow_runai.emulator.job_board import JobBoard
from airflow_runai.emulator.records import EmulatedWorkload
from airflow_runai.emulator.world import EmulatedCluster, World


class Dispatcher:
    """
    Schedules a world's workloads.

    :param preempt: begins to stop a workload; takes the message and the time.
    :param placed: is called with each workload that got its GPUs.
    """

    def __init__(
        self,
        world: World,
        preempt: Callable[
            [
                EmulatedWorkload,
                str,
                float,
            ],
            object,
        ],
        placed: Callable[[EmulatedWorkload], None],
    ) -> None:
        self._world = world
        self._preempt = preempt
        self._placed = placed
        self._board = JobBoard(world)
        self._dirty = True

    def note(self, workload: EmulatedWorkload) -> None:
        """Record that a workload has changed, so that scheduling makes sense again."""
        self._dirty = True
        self._board.note(workload)

    def schedule(self, now: float) -> None:
        """Let the scheduler decide once for each cluster, if anything has changed."""
        # Its decisions depend on workloads only, not on the time.
        if not self._dirty:
            return
        self._dirty = False
        self._board.renew()
        for cluster in self._world.clusters:
            self._schedule(cluster, now)

    def _schedule(self, cluster: EmulatedCluster, now: float) -> None:
        projects = [one for one in self._world.projects if one.cluster_id == cluster.id]
        queues = [project.queue for project in projects]
        census = self._board.undecided(cluster.id)
        if census is None:
            return
        for decision in scheduler.decide(queues, census):
            workload = self._world.workloads[decision.job]
            self._apply(decision, workload, now)

    def _apply(
        self,
        decision: scheduler.Decision,
        workload: EmulatedWorkload,
        now: float,
    ) -> None:
        match decision:
            case scheduler.Assign():
                workload.claims = False
                lifecycle.place(workload, decision.slots, now)
                # What the scheduler itself has decided is no reason to ask it again.
                self._board.placed(workload)
                self._placed(workload)
            case scheduler.Evict():
                workload.claims = decision.claims
                self._preempt(workload, decision.message, now)
            case scheduler.StayQueued():
                self._leave_queued(workload, decision)

    def _leave_queued(self, workload: EmulatedWorkload, decision: scheduler.StayQueued) -> None:
        # Most go on waiting as before; to describe them anew would be most of the work.
        if workload.claims != decision.claims:
            workload.claims = decision.claims
            self._board.note(workload)
        lifecycle.explain(workload, decision.reason, decision.message)
