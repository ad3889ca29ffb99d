"""Many seeds, one summary."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

from tests.simulation.invariants import judge
from tests.simulation.random_history import history_of
from tests.simulation.simulation import play


@dataclass
class Tally:
    """What many seeds came to."""

    seeds: int = 0
    requests: int = 0
    workloads: int = 0
    hours: float = 0.0
    broken: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


def tally(first: int, count: int) -> Tally:
    """Play and judge seeds."""
    found = Tally()
    for seed in range(first, first + count):
        played = play(history_of(seed))
        found.seeds += 1
        found.requests += played.requests
        found.workloads += len(played.world.workloads)
        found.hours += played.story.facts[-1].at / 3600
        for kind in {violation.kind for violation in judge(played)}:
            found.broken[kind].append(seed)
    return found


def campaign(first: int, count: int) -> int:
    """Print a summary; 1 if a promise was broken."""
    began = time.process_time()
    found = tally(first, count)
    spent = time.process_time() - began
    print(
        f"{found.seeds} seeds, {found.hours:.0f} simulated hours, {found.workloads} workloads, "
        f"{found.requests} requests, {spent / found.seeds:.3f} CPU s per seed"
    )
    for kind, seeds in sorted(found.broken.items(), key=lambda item: -len(item[1])):
        print(f"{len(seeds):6}  {kind:<60} {' '.join(map(str, seeds[:5]))}")
    return int(bool(found.broken))
