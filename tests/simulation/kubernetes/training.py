"""A training on a cluster: its Job, and what became of its pods."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.history import Life
from tests.simulation.kubernetes.scripts import Script
from tests.simulation.world import Workload

PERSON = "a person"
#: The label by which ours find what they have made.
MANAGED = "app.kubernetes.io/managed-by"


@dataclass(eq=False)
class Training(Workload):
    """
    A Job and its whole past.

    :param maker: who created it.
    :param runs: (from, until) of each pod, by uid: from its placing to the end of its container.
    :param failed_at: when it ended by itself with a code other than 0.
    :param leaving: when each pod was told to go, by uid.
    :param last: the pod that ended last, by uid.
    :param cut_short: when its last pod was told to go, if that ended with exit code 0 then.
    :param seen: pods that ours have seen, by uid.
    :param named: pods of which an event says that KAI took them, by uid.
    """

    maker: str = ""
    script: Script = field(default_factory=lambda: Script(Life(), 5.0))
    runs: dict[str, list[float]] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)
    preempted: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    failed_at: list[float] = field(default_factory=list)
    leaving: dict[str, float] = field(default_factory=dict)
    last: str = ""
    cut_short: float | None = None
    seen: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)

    @property
    def task(self) -> tuple[str, ...]:
        """The task instance that made it; what people make belongs to none, whatever it says."""
        return () if self.maker == PERSON else super().task

    def failures(self, moment: float) -> int:
        """Tell how many of its pods had failed."""
        return sum(at <= moment for at in self.failed_at)
