"""
Who is next: among the jobs that wait, and among those that could be stopped.

A priority counts only inside a queue. Between queues need counts: queues within their quota come
first, then those that use the least in proportion to their share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache

from airflow_runai.emulator.scheduling.jobs import Job
from airflow_runai.emulator.scheduling.shares import QueueRank, QueueShares

Used = Callable[[str], float]


def in_queue_order(jobs: Iterable[Job], shares: QueueShares, used: Used) -> Iterator[Job]:
    """
    Give the jobs in the order in which they are tried.

    :param used: GPUs that a queue uses, read again before every job.
    """
    # Most jobs that wait side by side compare alike; computing it again would be most of the work.
    part = cache(lambda queue, used, need: shares[queue].rank(used, need))

    def rank(queue: str) -> tuple[bool, QueueRank]:
        job = lines[queue][-1]
        return (not job.claims, part(queue, used(queue), job.gpus))

    lines = _lines(
        sorted(
            jobs,
            key=_precedence,
            reverse=True,
        )
    )
    while lines:
        yield _pop(lines, min(lines, key=rank))


def in_victim_order(jobs: Iterable[Job], shares: QueueShares, used: Used) -> Iterator[Job]:
    """Give the jobs as they are stopped: the least important of the queue that has the most."""

    def excess(queue: str) -> QueueRank:
        return shares[queue].excess(used(queue), taken[queue] + lines[queue][-1].gpus)

    lines = _lines(sorted(jobs, key=_precedence))
    # Victims count as gone at once, or one queue would lose them all.
    taken = dict.fromkeys(lines, 0.0)
    while lines:
        queue = max(lines, key=excess)
        taken[queue] += lines[queue][-1].gpus
        yield _pop(lines, queue)


def _precedence(job: Job) -> tuple[bool, int, float, str]:
    return (not job.claims, -job.priority, job.submitted, job.name or job.id)


def _lines(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    """Sort jobs into their queues; the next one of each is the last."""
    lines: dict[str, list[Job]] = {}
    for job in jobs:
        lines.setdefault(job.project, []).append(job)
    return lines


def _pop(lines: dict[str, list[Job]], queue: str) -> Job:
    job = lines[queue].pop()
    if not lines[queue]:
        del lines[queue]
    return job
