"""
What a workload costs in requests, and whether another package asks less often in the same histories.

A package that breaks a promise may save requests by it, and one that makes more workloads asks more
often. So two packages are compared where both kept all promises and made as many workloads; what
all seeds say is told beside it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import httpx

from tests.simulation.history import History, Machinery, Platform
from tests.simulation.invariants import judge
from tests.simulation.process import ASIDE, here
from tests.simulation.random_history import history_of
from tests.simulation.simulation import Simulation
from tests.simulation.wire import Wire

ROOT = Path(__file__).parents[2]
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Cost:
    """
    What one history cost.

    :param sound: whether every promise was kept.
    :param calls: how often each kind of process sent each kind of request.
    """

    seed: int
    workloads: int
    sound: bool
    calls: dict[str, int]

    @property
    def requests(self) -> int:
        """All requests but those of reaper and listener, for which nobody waits."""
        return sum(count for call, count in self.calls.items() if not call.startswith(ASIDE))


class Meter(Wire):
    """Carries requests, and counts them by who sends what."""

    calls: Counter[str]

    @classmethod
    def on(cls, simulation: Simulation) -> Meter:
        """Take the place of a simulation's wire."""
        wire = simulation.wire
        meter = cls(wire.loop, wire.server, wire.story, wire.chance, wire.aside)
        meter.calls = Counter()
        simulation.wire = meter
        return meter

    async def carry(self, request: httpx.Request) -> httpx.Response:
        """Count one request, and send it."""
        process = here()
        who = process.name.rstrip("-0123456789") if process else "nobody"
        self.calls[f"{who:<9} {_shape(request)}"] += 1
        return await super().carry(request)


def _shape(request: httpx.Request) -> str:
    """Say what kind of request it is: ids and names make no difference."""
    asked = request.url.params
    path = _ID.sub("{id}", request.url.path.removeprefix("/api/v1"))
    fields = re.findall(r"(\w+(?:==|=@|=\^|!=))", asked.get("filterBy", ""))
    return " ".join(
        [
            request.method,
            path,
            *dict.fromkeys(fields),
            *(["deleted"] if asked.get("deleted") else []),
        ]
    )


def cost_of(seed: int, *, fair: bool) -> Cost:
    """Play a seed and count; in fair weather nothing goes wrong and nobody interferes."""
    history = history_of(seed)
    simulation = Simulation(in_fair_weather(history) if fair else history)
    meter = Meter.on(simulation)
    played = simulation.play()
    made = sum(bool(workload.task) for workload in played.world.workloads)
    return Cost(seed, made, not judge(played), dict(meter.calls))


def in_fair_weather(history: History) -> History:
    """
    Leave of a history the task, and what becomes of its workloads: queueing, preemption, failure.
    """
    calm = Platform(grace=history.platform.grace)
    return replace(history, platform=calm, machinery=Machinery(), acts=(), troubles=())


def measure(first: int, count: int, *, fair: bool) -> Iterator[Cost]:
    """Play seeds and count."""
    return (cost_of(seed, fair=fair) for seed in range(first, first + count))


def spend(first: int, count: int, *, fair: bool, package: Path | None, as_json: bool) -> int:
    """
    Print what seeds cost, beside what they cost with the package in another folder if one is named.
    """
    ours = list(measure(first, count, fair=fair))
    if as_json:
        print(json.dumps([asdict(cost) for cost in ours]))
    elif package is None:
        print("\n".join([_summary("all seeds", ours), *_table(ours, [])]))
    else:
        print("\n".join(compared(ours, _elsewhere(package, first, count, fair=fair))))
    return 0


def _elsewhere(package: Path, first: int, count: int, *, fair: bool) -> list[Cost]:
    """
    Measure with the ``airflow_runai`` in a folder, and with its ``tests/simulation`` if it has one.
    """
    command = [
        sys.executable,
        "-m",
        "tests.simulation",
        "--requests",
        str(count),
        "--first",
        str(first),
        "--json",
    ]
    around = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package.resolve()), str(ROOT)])}
    told = subprocess.run(
        [*command, *(["--fair"] if fair else [])],
        cwd=package,
        env=around,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [Cost(**cost) for cost in json.loads(told.stdout.splitlines()[-1])]


def compared(ours: Sequence[Cost], theirs: Sequence[Cost]) -> Iterator[str]:
    """Say by how much the costs of the same seeds differ, and in which requests."""
    pairs = list(zip(ours, theirs, strict=True))
    alike = [
        (mine, other)
        for mine, other in pairs
        if mine.workloads == other.workloads and mine.sound and other.sound
    ]
    for words, chosen in (("as many workloads, nothing broken", alike), ("all seeds", pairs)):
        mine, other = [pair[0] for pair in chosen], [pair[1] for pair in chosen]
        yield _summary(words, mine)
        yield _summary("  there", other) + f": {100 * (_each(mine) / _each(other) - 1):+.1f} %"
    yield from _table([pair[0] for pair in alike], [pair[1] for pair in alike])


def _summary(words: str, costs: Sequence[Cost]) -> str:
    requests, workloads = (
        sum(cost.requests for cost in costs),
        sum(cost.workloads for cost in costs),
    )
    return f"{words}: {len(costs)} seeds, {workloads} workloads, {requests} requests, {_each(costs):.2f} per workload"


def _each(costs: Iterable[Cost]) -> float:
    counted = list(costs)
    return sum(cost.requests for cost in counted) / max(1, sum(cost.workloads for cost in counted))


def _table(ours: Iterable[Cost], theirs: Iterable[Cost]) -> Iterator[str]:
    mine, other = _added(ours), _added(theirs)
    yield f"{'here':>7} {'there':>7} {'':>7}"
    for call in sorted({*mine, *other}, key=lambda call: (-abs(mine[call] - other[call]), call)):
        yield f"{mine[call]:7} {other[call]:7} {mine[call] - other[call]:+7}  {call}"


def _added(costs: Iterable[Cost]) -> Counter[str]:
    total: Counter[str] = Counter()
    for cost in costs:
        total.update(cost.calls)
    return total
