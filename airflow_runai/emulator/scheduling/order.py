"""
Who is next: among those who wait, and among those who could be stopped.

A priority counts inside a queue only. Between queues it is need: who stays within the quota, then
who has the least in proportion to the share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from airflow_runai.emulator.scheduling.jobs import Job, exact

#: What a GPU weighs that is used without any share.
_WITHOUT_SHARE = 1000.0
Rank = tuple[bool, bool, float, float, float, int]


@dataclass(frozen=True)
class QueueShare:
    """
    A queue in one cycle.

    :param age: 0 for the oldest queue.
    :param deserved: its quota.
    :param ceiling: its limit.
    :param fair: its fair share.
    :param share: what it is measured by.
    """

    age: int
    deserved: float
    ceiling: float
    fair: float

    @cached_property
    def share(self) -> float:
        """What its use is measured by: the fair share, but never less than the quota nor more than the limit."""
        return min(self.ceiling, max(self.deserved, self.fair))

    def rank(self, used: float, need: float) -> Rank:
        """Tell how far behind a queue is that uses so much and whose next job needs so much."""
        total = exact(used + need)
        return (
            total > self.deserved,
            self.share == 0 and total > 0,
            self._part(total),
            self._part(used),
            self.share,
            self.age,
        )

    def excess(self, used: float, taken: float) -> Rank:
        """Tell how far ahead a queue is that uses so much, of which so much is taken away with the next victim."""
        return (
            used > self.deserved,
            self.share == 0 and used > 0,
            self._part(exact(used - taken)),
            self._part(used),
            self.share,
            self.age,
        )

    def _part(self, gpus: float) -> float:
        return gpus / self.share if self.share else gpus * _WITHOUT_SHARE


QueueShares = dict[str, QueueShare]


def in_turn(
    jobs: Iterable[Job], shares: QueueShares, used: Callable[[str], float]
) -> Iterator[Job]:
    """
    Give the jobs in the order in which they are tried.

    :param used: GPUs that a queue uses, asked anew before every job.
    """

    def rank(name: str) -> tuple[bool, Rank]:
        first = lines[name][-1]
        return (not first.claims, shares[name].rank(used(name), first.gpus))

    lines = _lines(sorted(jobs, key=_foremost, reverse=True))
    while lines:
        yield _pop(lines, min(lines, key=rank))


def by_dispensability(
    jobs: Iterable[Job], shares: QueueShares, used: Callable[[str], float]
) -> Iterator[Job]:
    """Give the jobs in the order in which they are stopped: from the queue that has the most, the least important."""

    def excess(name: str) -> Rank:
        return shares[name].excess(used(name), taken[name] + lines[name][-1].gpus)

    lines = _lines(sorted(jobs, key=_foremost))
    taken = dict.fromkeys(lines, 0.0)
    while lines:
        name = max(lines, key=excess)
        taken[name] += lines[name][-1].gpus
        yield _pop(lines, name)


def _foremost(job: Job) -> tuple[bool, int, float, str]:
    return (not job.claims, -job.priority, job.submitted, job.name or job.id)


def _lines(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    """Sort jobs into their queues; the next one of each is the last."""
    lines: dict[str, list[Job]] = {}
    for job in jobs:
        lines.setdefault(job.project, []).append(job)
    return lines


def _pop(lines: dict[str, list[Job]], name: str) -> Job:
    job = lines[name].pop()
    if not lines[name]:
        del lines[name]
    return job
