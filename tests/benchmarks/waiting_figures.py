"""What a run of the waiting bench found, and how it is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.virtual_loop import Lag
from tests.benchmarks.waiting_scenarios import Scenario

COLUMNS = (
    "scenario",
    "N",
    "req/wh",
    "lists/wh",
    "CPU s/wh",
    "lag p99 / 99.9 % / max ms",
    "seen",
    "detection p50 / p99 / max s",
    "fault x / after x",
    "single, history",
    "XCom set, get",
    "start req, asked, CPU ms",
    "TLS",
)


@dataclass(frozen=True)
class Start:
    """
    What happened until all waits were at rest.

    :param resident: KiB before the first wait.
    """

    requests: int
    work: float
    messages: Mapping[str, int]
    resident: int


@dataclass(frozen=True)
class Window:
    """
    What happened while it was measured.

    :param detection: seconds from each end on the server to the event of its trigger.
    :param expected: ends on the server.
    :param messages: to Airflow's supervisor, by kind.
    :param faults: requests during a fault and after it, as multiples of calm.
    :param opened: connections.
    """

    work: float
    lag: Lag
    requests: Counter[str]
    detection: Sequence[float]
    expected: int
    messages: Mapping[str, int]
    faults: tuple[float, float] | None
    outcomes: Sequence[str]
    opened: int
    memory: Mapping[str, int]


@dataclass(frozen=True)
class Figures:
    """
    The figures of one run; those of time are seconds.

    :param requests: by kind, in the window.
    :param per_hour: requests per waiter-hour; ``lists_per_hour`` of lists with and without delta.
    :param cpu: processor seconds per waiter-hour.
    :param fault: requests during a fault, as a multiple of calm; ``aftermath`` in the minute after.
    :param outcomes: how many triggers fired with which outcome.
    :param peak_kb: growth of the memory at its worst, since before the waits were started.
    """

    scenario: str
    waits: int
    requests: Mapping[str, int]
    per_hour: float
    lists_per_hour: float
    cpu: float
    lag_p99: float
    lag_p999: float
    lag_max: float
    expected: int
    seen: int
    detection_p50: float
    detection_p99: float
    detection_max: float
    fault: float | None
    aftermath: float | None
    outcomes: Mapping[str, int]
    messages: Mapping[str, int]
    start_requests: int
    start_cpu: float
    start_messages: Mapping[str, int]
    opened: int
    resident_kb: int
    peak_kb: int

    @classmethod
    def of(cls, scenario: Scenario, start: Start, window: Window) -> Figures:
        """Work the figures out."""
        requests, times = window.requests, window.detection

        def an_hour(amount: float) -> float:
            return amount * 3600 / (scenario.waits * scenario.window)

        return cls(
            scenario=scenario.name,
            waits=scenario.waits,
            requests=dict(requests),
            per_hour=an_hour(requests.total()),
            lists_per_hour=an_hour(requests["list"] + requests["delta"]),
            cpu=an_hour(window.work),
            lag_p99=window.lag.exceeded_by(0.01, scenario.window),
            lag_p999=window.lag.exceeded_by(0.001, scenario.window),
            lag_max=window.lag.max,
            expected=window.expected,
            seen=len(times),
            detection_p50=percentile(times, 0.5),
            detection_p99=percentile(times, 0.99),
            detection_max=percentile(times, 1.0),
            fault=window.faults[0] if window.faults else None,
            aftermath=window.faults[1] if window.faults else None,
            outcomes=dict(Counter(window.outcomes)),
            messages=dict(window.messages),
            start_requests=start.requests,
            start_cpu=start.work / scenario.waits,
            start_messages=dict(start.messages),
            opened=window.opened,
            resident_kb=window.memory["VmRSS"],
            peak_kb=window.memory["VmHWM"] - start.resident,
        )

    def line(self) -> str:
        """Render a row of the table."""
        lag = " / ".join(
            f"{1000 * value:.1f}" for value in (self.lag_p99, self.lag_p999, self.lag_max)
        )
        times = (self.detection_p50, self.detection_p99, self.detection_max)
        cells = (
            self.scenario,
            f"{self.waits:,}",
            f"{self.per_hour:.2f}",
            f"{self.lists_per_hour:.2f}",
            f"{self.cpu:.4f}",
            lag,
            f"{self.seen} of {self.expected}",
            " / ".join(f"{value:.1f}" for value in times) if self.seen else "",
            "" if self.fault is None else f"{self.fault:.2f} / {self.aftermath:.2f}",
            f"{self.requests.get('single', 0)}, {self.requests.get('history', 0)}",
            f"{self.messages.get('SetXCom', 0)}, {self.messages.get('GetXCom', 0)}",
            f"{self.start_requests}, {sum(self.start_messages.values())}, {1000 * self.start_cpu:.2f}",
            str(self.opened),
        )
        return f"| {' | '.join(cells)} |"


def header() -> str:
    """Render the head of the table."""
    return f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that this share of the values does not exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else 0.0


def resident() -> Mapping[str, int]:
    """Return what the kernel says about this process' memory, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {
        name: int(value.split()[0])
        for name, _, value in (line.partition(":") for line in lines)
        if name.startswith("Vm")
    }


def reset_peak() -> None:
    """Let ``VmHWM`` begin anew."""
    Path("/proc/self/clear_refs").write_text("5")
