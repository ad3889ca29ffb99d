"""
Who gets which GPU, who waits and who must go: one pure step over a picture of a cluster.

It follows the rules of KAI, the scheduler of Run:ai, as version 0.13.0 was seen to decide: fair shares with weights and
limits, reclaim between projects, preemption by priority inside one, consolidation, gangs. It does not know processes,
phases or time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from airflow_runai.emulator.scheduling.cycle import Cycle
from airflow_runai.emulator.scheduling.jobs import Decision, Evict, Job, Place, Queue, Wait
from airflow_runai.emulator.scheduling.reasons import OVER_LIMIT, OVER_QUOTA

__all__ = ["OVER_LIMIT", "OVER_QUOTA", "Decision", "Evict", "Job", "Place", "Queue", "Wait", "plan"]


def plan(
    nodes: Mapping[str, int], queues: Sequence[Queue], jobs: Iterable[Job], *, flaws: bool = False
) -> list[Decision]:
    """
    Decide once about every waiting job.

    :param nodes: GPUs per node.
    :param queues: the oldest first.
    :param jobs: all jobs that hold or want GPUs.
    :param flaws: decide as KAI does also where that is held to be wrong.
    :return: decisions in the order in which they were taken, and at the end a :class:`Wait` for each job that goes on
        waiting. Applying them in this order is safe: each job is named once.
    """
    cycle = Cycle(nodes, queues, jobs, flaws)
    cycle.allocate()
    cycle.consolidate()
    cycle.reclaim()
    cycle.preempt()
    return cycle.close()
