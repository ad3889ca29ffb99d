"""What waiting may cost: each goal a row, checked by ``test_waiting.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.waiting_figures import Figures
from tests.benchmarks.waiting_scenarios import SCENARIOS, Scenario

MS, KB, MB = 1e-3, 1000.0, 1e6


@dataclass(frozen=True)
class Goal:
    """
    A figure of a scenario, and what it must not exceed.

    :param figure: from the figures of a run.
    :param qualify: too many waits for each change; checked by ``make qualify``.
    """

    scenario: str
    waits: int
    name: str
    figure: Callable[[Figures], float]
    bound: float
    qualify: bool = False

    @property
    def run(self) -> Scenario:
        return SCENARIOS[self.scenario].with_waits(self.waits)

    def __str__(self) -> str:
        return f"{self.scenario}, {self.waits:,} waits: {self.name} <= {self.bound:g}"


def _detection(figures: Figures) -> float:
    """An end that nobody saw counts for ever."""
    return figures.detection_p99 if figures.seen == figures.expected else float("inf")


def _not_ended_well(figures: Figures) -> float:
    """Waits that ended for another reason than their workload's end."""
    return sum(number for what, number in figures.outcomes.items() if what != "succeeded")


def _fault(figures: Figures) -> float:
    assert figures.fault is not None, "this scenario has a fault"
    return figures.fault


def _aftermath(figures: Figures) -> float:
    assert figures.aftermath is not None, "this scenario has a fault"
    return figures.aftermath


def _writes(figures: Figures) -> float:
    return figures.messages.get("SetXCom", 0)


REQUESTS = "requests a waiter-hour"
CPU = "processor seconds a waiter-hour"
LAG_P99, LAG_MAX = "p99 of the lag, s", "largest lag, s"
SEEN = "p99 of the time until an end is seen, s"
DURING = "requests during the fault, times calm"
AFTER = "requests in the minute after it, times calm"
WRONG = "waits that ended without an end"

GOALS = (
    Goal("calm", 1000, REQUESTS, lambda f: f.per_hour, 0.72),
    Goal("calm-delta", 1000, REQUESTS, lambda f: f.per_hour, 0.40),
    Goal("projects-50-delta", 1000, "lists a waiter-hour", lambda f: f.lists_per_hour, 0.40),
    Goal("ends", 5000, SEEN, _detection, 11.0),
    Goal("ends-delta", 5000, SEEN, _detection, 11.0),
    Goal("mixed", 20, SEEN, _detection, 11.0),
    Goal("projects-50-delta", 1000, SEEN, _detection, 11.0),
    Goal("connections-3", 300, SEEN, _detection, 11.0),
    Goal("calm", 5000, CPU, lambda f: f.cpu, 0.006),
    Goal("calm", 5000, LAG_P99, lambda f: f.lag_p99, 10 * MS),
    Goal("calm", 5000, LAG_MAX, lambda f: f.lag_max, 50 * MS),
    Goal("calm", 10_000, LAG_P99, lambda f: f.lag_p99, 20 * MS, qualify=True),
    Goal("calm", 10_000, LAG_MAX, lambda f: f.lag_max, 100 * MS, qualify=True),
    Goal("strangers", 1000, CPU, lambda f: f.cpu, 0.05),
    Goal("strangers", 1000, LAG_MAX, lambda f: f.lag_max, 10 * MS),
    Goal("strangers", 1000, "growth of memory, MB", lambda f: f.peak_kb * 1024 / MB, 40.0),
    *(Goal(f"list-{fault}", 1000, DURING, _fault, 1.0) for fault in ("429", "429-delta")),
    *(Goal(f"list-{fault}", 1000, AFTER, _aftermath, 1.0) for fault in ("429", "429-delta")),
    *(
        Goal(f"list-{lie}{delta}", 1000, name, figure, 2.0)
        for lie in ("empty", "shrunken")
        for delta in ("", "-delta")
        for name, figure in ((DURING, _fault), (AFTER, _aftermath))
    ),
    *(
        Goal(f"list-{lie}{delta}", 1000, WRONG, _not_ended_well, 0)
        for lie in ("empty", "shrunken")
        for delta in ("", "-delta")
    ),
    Goal("storm", 1050, "timeline writes", _writes, 1000),
    Goal("storm", 1050, SEEN, _detection, 15.0),
)
#: Bytes that one more wait may take; measured by ``make qualify``.
MEMORY_OF_A_WAIT = 5 * KB
