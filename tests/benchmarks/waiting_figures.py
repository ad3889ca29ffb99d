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
    "start req, CPU ms",
    "TLS",
)


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
    def of(
        cls,
        scenario: Scenario,
        *,
        work: float,
        lag: Lag,
        requests: Counter[str],
        detection: Sequence[float],
        expected: int,
        messages: Mapping[str, int],
        faults: tuple[float, float] | None,
        outcomes: Sequence[str],
        start: tuple[int, float, Mapping[str, int]],
        opened: int,
        memory: tuple[int, int, int],
    ) -> Figures:
        """Work the figures out."""
        hours = scenario.waits * scenario.window / 3600
        return cls(
            scenario.name,
            scenario.waits,
            dict(requests),
            requests.total() / hours,
            (requests["list"] + requests["delta"]) / hours,
            work / hours,
            lag.exceeded_by(0.01, scenario.window),
            lag.exceeded_by(0.001, scenario.window),
            lag.max,
            expected,
            len(detection),
            *(percentile(detection, share) for share in (0.5, 0.99, 1.0)),
            *(faults or (None, None)),
            dict(Counter(outcomes)),
            dict(messages),
            start[0],
            start[1] / scenario.waits,
            start[2],
            opened,
            memory[1],
            memory[2] - memory[0],
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
            f"{self.start_requests}, {1000 * self.start_cpu:.2f}",
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
