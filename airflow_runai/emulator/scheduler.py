"""
Who gets which GPU, who waits and who must go: one pure step over a picture of a cluster.

Run:ai's scheduler is KAI. These are the rules of its version 0.13.0: fair shares with weights and
limits, the order of queues and of victims, consolidation, reclaim, preemption by priority, gangs.
``tests/scheduling`` compares what is decided with recordings. It does not know processes, phases or
time, no CPU or memory, no departments, no gangs that shrink.

Three of KAI's rules are held to be flaws, and followed on demand only:

- Whether a queue gets what a victim frees is judged by its first waiting job, even if that can
  never run and another one asks. So a queue starves within its quota.
- Who had to stop others forgets it: in the next cycle what they freed is given out anew. KAI needs
  the first rule to foresee to whom; without both, two queues that wait with many jobs evict each
  other for ever. Here the one that room is made for keeps a claim, and so does one that is moved.
- A job that is refused for its quota stands for all that are like it, whatever their class or
  queue.

Two things are never followed: the order of a Go map, and to stop in a cycle what was started in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from airflow_runai.emulator.scheduling.cycle import Cycle
from airflow_runai.emulator.scheduling.jobs import Assign, Decision, Evict, Job, Queue, Wait
from airflow_runai.emulator.scheduling.reasons import OVER_LIMIT, OVER_QUOTA

__all__ = [
    "OVER_LIMIT",
    "OVER_QUOTA",
    "Decision",
    "Evict",
    "Job",
    "Assign",
    "Queue",
    "Wait",
    "schedule",
]


def schedule(
    nodes: Mapping[str, int], queues: Sequence[Queue], jobs: Iterable[Job], *, flaws: bool = False
) -> list[Decision]:
    """
    Decide once about every waiting job.

    :param nodes: GPUs per node.
    :param queues: the oldest first.
    :param jobs: all jobs that hold or want GPUs.
    :param flaws: decide as KAI does also where that is held to be wrong. Only for whole GPUs: with
        shares of them the cluster may never come to rest.
    :return: decisions in the order in which they were taken, and at the end a :class:`Wait` for
        each job that goes on waiting. Applying them in this order is safe: each job is named once.
    """
    cycle = Cycle(nodes, queues, jobs, flaws)
    cycle.allocate()
    cycle.consolidate()
    cycle.reclaim()
    cycle.preempt()
    return cycle.close()
