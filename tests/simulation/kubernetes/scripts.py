"""What the containers of trainings do: a history's lives, pod by pod."""

from __future__ import annotations

from dataclasses import dataclass

from tests.model.kubelet import Life as Container
from tests.simulation.history import Life

#: Seconds until a pod is placed that need not queue, and from there until its container runs.
AT_ONCE, START = 2.0, 3.0
#: Seconds until a container fails by itself, at the latest; and what it says then.
SOON, FAILURE = 30.0, 3


@dataclass(eq=False)
class Script:
    """
    What becomes of one training, if nobody interferes.

    :param grace: seconds from SIGTERM to its end.
    :param place: stretch in which it is.
    :param done: seconds of it that its pods have worked.
    :param crashes: that are left.
    :param has_left: it was told to leave before.
    """

    life: Life
    grace: float
    place: int = 0
    done: float = 0.0
    crashes: int = 0
    has_left: bool = False
    has_queued: int = -1

    def __post_init__(self) -> None:
        self.crashes = self.life.crashes

    @property
    def _is_last(self) -> bool:
        return self.place == len(self.life.stretches) - 1

    @property
    def left(self) -> float:
        """Seconds that the present stretch still takes."""
        return max(1.0, self.life.stretches[self.place][1] - self.done)

    @property
    def is_preempted(self) -> bool:
        """Whether KAI ends the present stretch."""
        return not self._is_last

    def turn(self) -> float:
        """Return the seconds for which a new pod queues."""
        if self.has_queued == self.place:
            return AT_ONCE
        self.has_queued = self.place
        return self.life.stretches[self.place][0]

    def container(self) -> Container:
        """Return what the container of a pod does that was just placed."""
        leaves = self.grace, 0 if self.life.leaves_with_0 and not self.has_left else 143
        if self.is_preempted:
            return Container(START, float("inf"), on_sigterm=leaves)
        if self.crashes:
            return Container(START, min(SOON, self.left), FAILURE, on_sigterm=leaves)
        code = 0 if self.life.end == "Completed" else FAILURE
        return Container(START, self.left, code, on_sigterm=leaves)

    def stopped(self, seconds: float, *, preempted: bool, failed: bool) -> None:
        """Take note that a pod has ended, or was told to, after so many seconds."""
        self.done += seconds
        if preempted:
            self.place, self.done = self.place + 1, 0.0
        elif failed:
            self.crashes = max(0, self.crashes - 1)
        else:
            self.has_left = True
