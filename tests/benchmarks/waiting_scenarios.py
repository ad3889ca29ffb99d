"""What the waits of a bench meet: one row for each scenario."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.benchmarks.faulty_server import Fault, Row
from tests.simulation.clock import BEGIN

CALM, DELTA = "nothing happens", ", newer server"
#: The phase in which a workload ends.
END = "Completed"


@dataclass(frozen=True)
class Scenario:
    """
    A number of waits, what they wait for, and what happens.

    Seconds count from the start of the window, which begins when all waits are at rest.

    :param title: says in the documentation what happens.
    :param waits: workloads that somebody waits for.
    :param intervals: poll intervals (s), dealt out in turns.
    :param strangers: workloads in the same projects that nobody waits for.
    :param delta: the server filters lists by ``phaseUpdatedAt``.
    :param settle: seconds between the start of the waits and the window.
    :param window: seconds that are measured.
    :param ends: workloads that end, evenly spread over ``ends_between``; none of the preempted.
    :param preempted: workloads that are preempted and back within ``storm`` seconds.
    :param faults: what goes wrong; moments count from the start of the window.
    :param allowed: requests a second that the server allows; 0 for any number.
    :param broken: rows that cannot be read.
    :param get_logs: what of the workloads' logs the waits read.
    :param supervised: Airflow's supervisor takes the time for an answer that it really takes.
    """

    name: str
    title: str = ""
    waits: int = 1000
    projects: int = 1
    connections: int = 1
    intervals: tuple[float, ...] = (10.0,)
    strangers: int = 0
    delta: bool = False
    settle: float = 60.0
    window: float = 300.0
    ends: int = 0
    ends_between: tuple[float, float] = (0.0, 120.0)
    preempted: int = 0
    storm: float = 45.0
    faults: tuple[Fault, ...] = ()
    allowed: float = 0.0
    retry_after: int | None = None
    broken: int = 0
    get_logs: str = "off"
    supervised: bool = False
    latency: float = 0.03
    timeouts: tuple[tuple[str, float], ...] = ()

    def script(self, waited: Sequence[Row]) -> Iterator[tuple[float, Row, str]]:
        """Yield what happens to the workloads: seconds after the window began, which, its phase."""
        first, last = self.ends_between
        for number, row in enumerate(spread(waited[self.preempted :], self.ends)):
            yield first + (last - first) * (number + 0.5) / self.ends, row, END
        for number, row in enumerate(waited[: self.preempted]):
            begin = self.storm * number / self.preempted / 3
            yield begin, row, "Terminating"
            yield begin + 10, row, "Pending"
            yield begin + 20, row, "Initializing"
            yield begin + 30, row, "Running"

    def with_waits(self, waits: int) -> Scenario:
        """Return the same scenario with another number of waits."""
        return replace(self, waits=waits)


def spread(rows: Sequence[Row], number: int) -> Sequence[Row]:
    """Choose this many rows, from all over."""
    return rows[:: max(1, len(rows) // number)][:number] if number else ()


def _fault(kind: str, since: float = 60.0, seconds: float = 30.0, **more: object) -> Fault:
    return Fault(kind, since, since + seconds, **more)  # type: ignore[arg-type]


def at(fault: Fault, window: float) -> Fault:
    """Place a fault of a scenario whose window begins at this moment of the loop's clock."""
    begin = BEGIN + window
    return replace(fault, since=begin + fault.since, until=begin + fault.until)


_DAY = 86400.0
_SLOW = Fault("slow", -_DAY, _DAY, everything=True, seconds=2.0)

_STORM = Scenario(
    "storm",
    "1,000 of them are preempted within 45 s, the others end",
    waits=1050,
    supervised=True,
    settle=300.0,
    preempted=1000,
    ends=50,
    ends_between=(15.0, 45.0),
    window=200.0,
)

_STRANGERS = Scenario(
    "strangers",
    "among 20,000 workloads of others",
    strangers=20_000,
    settle=30.0,
    window=70.0,
    ends=40,
    ends_between=(0.0, 50.0),
)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("calm", CALM),
        Scenario("calm-delta", f"{CALM}{DELTA}", delta=True),
        Scenario("calm-short", CALM, settle=30.0, window=100.0),
        Scenario("timeouts", timeouts=(("interruption", 3 * _DAY), ("running", 2 * _DAY))),
        Scenario("ends", "100 of them end", ends=100, settle=30.0, window=150.0),
        Scenario(
            "ends-delta", f"100 of them end{DELTA}", delta=True, ends=100, settle=30.0, window=150.0
        ),
        Scenario(
            "mixed",
            "one looks each 300 s, 19 each 10 s",
            waits=20,
            intervals=(300.0, *(10.0,) * 19),
            ends=19,
        ),
        Scenario("projects-50", projects=50, ends=40),
        Scenario("projects-50-delta", f"in 50 projects{DELTA}", projects=50, delta=True, ends=40),
        Scenario("projects-100-delta", projects=100, delta=True, ends=40),
        Scenario("connections-3", "with 3 connections", waits=300, connections=3, ends=40),
        _STRANGERS,
        replace(_STRANGERS, name="strangers-delta", delta=True, window=200.0),
        Scenario("list-429", "lists answer 429 for 30 s", window=150.0, faults=(_fault("429"),)),
        Scenario(
            "list-429-delta",
            f"lists answer 429 for 30 s{DELTA}",
            delta=True,
            window=150.0,
            faults=(_fault("429"),),
        ),
        Scenario("list-429-retry-after", retry_after=7, window=150.0, faults=(_fault("429"),)),
        Scenario("list-500", window=150.0, faults=(_fault("500"),)),
        Scenario("list-empty", "lists are empty for 30 s", window=150.0, faults=(_fault("empty"),)),
        Scenario(
            "list-empty-delta",
            f"lists are empty for 30 s{DELTA}",
            delta=True,
            window=150.0,
            faults=(_fault("empty"),),
        ),
        Scenario(
            "list-shrunken",
            "lists lack half their rows for 30 s",
            window=150.0,
            faults=(_fault("shrunken"),),
        ),
        Scenario(
            "list-shrunken-delta",
            f"lists lack half their rows for 30 s{DELTA}",
            delta=True,
            window=150.0,
            faults=(_fault("shrunken"),),
        ),
        Scenario("outage", window=150.0, faults=(_fault("down", everything=True),), ends=40),
        Scenario("slow", waits=3000, faults=(_SLOW,), ends=40),
        Scenario("hanging-list", window=150.0, faults=(_fault("slow", seconds=25.0),), ends=40),
        Scenario("broken-rows", waits=300, broken=10, ends=40),
        Scenario("limited-start", allowed=10.0, settle=0.0, window=600.0, ends=40),
        _STORM,
        replace(_STORM, name="storm-delta", delta=True),
        Scenario("start", supervised=True, settle=200.0, window=100.0),
    )
}
