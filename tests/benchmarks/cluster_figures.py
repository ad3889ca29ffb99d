"""What a side of the comparison on Kubernetes was found to take, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

SIDES = {
    "idle": "triggers that only sleep",
    "ours": "`RunaiWorkloadTrigger`",
    "stock": "`KubernetesJobTrigger`",
}


@dataclass(frozen=True)
class ClusterFigures:
    """
    One side; times are seconds.

    :param start: calls until all have looked, by kind.
    :param quiet: calls in the quiet window, by kind.
    :param start_cpu: of a wait, until then.
    :param cpu: share of a core while nothing happens.
    :param memory: kB of each further wait.
    :param seen_p50: from the call that ends a Job to the event of its trigger.
    :param watch_p50: to the line of a bare watch, for the same ends.
    :param lost: ends while the server forgot its history; ``lost_seen`` of them were seen.
    """

    side: str
    waits: int
    start: Mapping[str, int]
    quiet: Mapping[str, int]
    window: float
    start_cpu: float
    cpu: float
    memory: float
    seen_p50: float = 0.0
    seen_p99: float = 0.0
    watch_p50: float = 0.0
    watch_p99: float = 0.0
    end_cpu: float = 0.0
    lost: int = 0
    lost_seen: int = 0


def table(measured: Sequence[ClusterFigures]) -> str:
    """Render what was measured, a column a side."""
    idle = measured[0]
    sides = measured[1:]
    rows: dict[str, Callable[[ClusterFigures], str]] = {
        "waits": lambda one: f"{one.waits:,}",
        "calls until all have looked": lambda one: _said(one.start),
        f"calls in {idle.window:.0f} quiet seconds": lambda one: _said(one.quiet),
        "CPU meanwhile, ms per wait and hour": lambda one: f"{_hourly(one, idle):.2f}",
        "CPU meanwhile, share of a core, all": lambda one: f"{one.cpu - idle.cpu:.3%}",
        "memory, kB per wait": lambda one: f"{one.memory - idle.memory:.1f}",
        "start, CPU ms per wait": lambda one: f"{1000 * one.start_cpu:.2f}",
        "an end is seen after, p50 / p99 ms": lambda one: _times(one.seen_p50, one.seen_p99),
        "by a bare watch meanwhile": lambda one: _times(one.watch_p50, one.watch_p99),
        "CPU of an end, ms": lambda one: f"{1000 * one.end_cpu:.1f}",
        "ends beside a restart with a 410": lambda one: f"{one.lost_seen} of {one.lost}",
    }
    lines = [f"| | {' | '.join(SIDES[one.side] for one in sides)} |", f"|{' --- |' * 3}"]
    for what, show in rows.items():
        lines.append(f"| {what} | {' | '.join(map(show, sides))} |")
    return "\n".join(lines)


def _hourly(one: ClusterFigures, idle: ClusterFigures) -> float:
    return 1000 * 3600 * (one.cpu - idle.cpu) / one.waits


def _said(calls: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {kind}" for kind, number in calls.items()) or "none"


def _times(p50: float, p99: float) -> str:
    return f"{1000 * p50:,.0f} / {1000 * p99:,.0f}"
