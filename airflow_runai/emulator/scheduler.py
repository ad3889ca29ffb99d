"""
Which job gets which GPUs, which waits and which must go: one pure step over a cluster's state.

Run:ai's scheduler is KAI. These are the rules of its version 0.13.0: fair shares with weights and
limits, the order of queues and of victims, consolidation, reclaim, preemption by priority, gangs.
``tests/scheduling`` compares the decisions with recordings. The scheduler knows no processes,
phases or time, no CPU or memory, no departments, and no gangs that shrink.

Three of KAI's rules are considered flaws and are followed on demand only:

- Whether a queue gets the GPUs that a victim frees is judged by its first waiting job, even if that
  job can never run and another one asks. So a queue can starve within its quota.
- A job that made others stop is forgotten: the next cycle gives out anew what they freed. KAI needs
  the first rule to foresee to whom; without both, two queues with many waiting jobs evict each
  other for ever. Here the job that room is made for keeps a claim, and so does a job that moves.
- A job refused for its quota stands for all jobs like it, whatever their class or queue.

Two habits are never followed: the order of a Go map, and stopping a job in the cycle that started
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from airflow_runai.emulator.scheduling.census import Census
from airflow_runai.emulator.scheduling.cycle import Cycle
from airflow_runai.emulator.scheduling.jobs import Assign, Decision, Evict, Job, Queue, StayQueued
from airflow_runai.emulator.scheduling.reasons import OVER_LIMIT, OVER_QUOTA

__all__ = [
    "OVER_LIMIT",
    "OVER_QUOTA",
    "Assign",
    "Census",
    "Decision",
    "Evict",
    "Job",
    "Queue",
    "StayQueued",
    "decide",
    "schedule",
]


def schedule(
    nodes: Mapping[str, int],
    queues: Sequence[Queue],
    jobs: Iterable[Job],
    *,
    flaws: bool = False,
) -> list[Decision]:
    """
    Decide once about each waiting job.

    :param nodes: GPUs per node.
    :param queues: the oldest first.
    :param jobs: all jobs that hold or want GPUs.
    :param flaws: follow KAI also where it is considered wrong. Only for whole GPUs: with shares of
        GPUs the cluster may never come to rest.
    :return: decisions in the order in which they were made, then a :class:`StayQueued` for each job
        that goes on waiting. Applying them in this order is safe: each job is named once.
    """
    return decide(queues, Census(nodes, jobs), flaws=flaws)


def decide(queues: Sequence[Queue], census: Census, *, flaws: bool = False) -> list[Decision]:
    """Decide as :func:`schedule` does about jobs that are counted already; the census stays."""
    if not census.waiting:
        return []
    cycle = Cycle(queues, census, flaws)
    cycle.allocate()
    cycle.consolidate()
    cycle.reclaim()
    cycle.preempt()
    return cycle.close()
