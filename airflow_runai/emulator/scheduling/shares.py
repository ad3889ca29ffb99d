"""A queue's quota, limit and fair share in one cycle, and how it compares with other queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from airflow_runai.emulator.scheduling.fair_share import fair_shares
from airflow_runai.emulator.scheduling.jobs import Queue, exact

#: The weight of a GPU that a queue uses without any share.
_WITHOUT_SHARE = 1000.0
QueueRank = tuple[bool, bool, float, float, float, int]


@dataclass(frozen=True)
class QueueShare:
    """
    What one queue may have.

    :param age: 0 for the oldest queue.
    :param deserved: its quota.
    :param ceiling: its limit.
    :param fair: its fair share.
    """

    age: int
    deserved: float
    ceiling: float
    fair: float

    @cached_property
    def entitled(self) -> float:
        """The fair share, but never less than the quota nor more than the limit."""
        return min(self.ceiling, max(self.deserved, self.fair))

    def rank(self, used: float, need: float) -> QueueRank:
        """Compare queues by need; the least comes first."""
        total = exact(used + need)
        return self._rank(
            total,
            measured=total,
            used=used,
        )

    def excess(self, used: float, taken: float) -> QueueRank:
        """Compare queues by what they have too much of; the greatest loses a job first."""
        return self._rank(
            used,
            measured=exact(used - taken),
            used=used,
        )

    def _rank(
        self,
        judged: float,
        measured: float,
        used: float,
    ) -> QueueRank:
        return (
            judged > self.deserved,  # queues within their quota come first,
            self.entitled == 0 and judged > 0,  # those without any share last;
            self._part(measured),  # then the least use in proportion to the share,
            self._part(used),
            self.entitled,
            self.age,  # and the older queue
        )

    def _part(self, gpus: float) -> float:
        return gpus / self.entitled if self.entitled else gpus * _WITHOUT_SHARE


QueueShares = dict[str, QueueShare]


def queue_shares(
    gpus: float, queues: Sequence[Queue], requested: Mapping[str, float]
) -> QueueShares:
    """
    Compute all shares; a queue that only a job names has no quota and is the youngest.

    :param requested: GPUs that all jobs of a queue want, for each queue that has jobs.
    """
    configured = {queue.name for queue in queues}
    unknown = [Queue(name, 0.0) for name in requested if name not in configured]
    # Where all else is equal the older queue goes first, so each needs an age.
    by_age = [*queues, *unknown]
    fair = fair_shares(gpus, by_age, requested)
    return {
        queue.name: QueueShare(age, queue.deserved, queue.ceiling, fair[queue.name])
        for age, queue in enumerate(by_age)
    }
