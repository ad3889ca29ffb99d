"""How long a workload may stay in which condition."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Timeouts:
    """
    Upper bounds of the clocks, seconds; ``None`` means no timeout.

    A clock ends the wait only while it ticks: a workload that runs is not stopped because it
    queued too long before anyone looked. While the phase is unknown, so are the clocks that tick:
    then only ``total`` counts. While the control plane does not answer, no timeout can be enforced:
    it ends the wait when the control plane answers again.

    :param queue: from submission to the first run.
    :param interruption: one stretch of not running after the first run.
    :param interrupted_total: all such stretches together.
    :param running: time in which it actually ran.
    :param total: everything since submission, outages included.
    :param starting: one stretch in a phase from which a platform should move on by itself
        (creating, resuming, pulling an image, going down); beyond it the workload is ``stalled``.
    :param progress: running without a new step in the checkpoints, from the first new step of an
        incarnation on; beyond it the workload is ``stalled``.
    :param room: waiting for room before the submission; no clock of the workload, which does not
        exist yet.
    """

    queue: float | None = None
    interruption: float | None = None
    interrupted_total: float | None = None
    running: float | None = None
    total: float | None = None
    starting: float | None = None
    progress: float | None = None
    room: float | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None and not value > 0:
                raise ValueError(
                    f"timeouts.{item.name}: {value!r}; "
                    "allowed: seconds greater than 0, or leave it out"
                )
