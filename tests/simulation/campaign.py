"""Many seeds, one summary."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

from tests.simulation.invariants import is_wanted, judge, left_behind
from tests.simulation.open_classes import OPEN
from tests.simulation.random_history import histories_on
from tests.simulation.simulation import play


@dataclass
class Tally:
    """
    What many seeds came to.

    :param requests: of workers and triggerers.
    :param requests_aside: of reaper and listener.
    :param kept: workloads that go on, or stay suspended, because an author or a person wanted it.
    """

    seeds: int = 0
    requests: int = 0
    requests_aside: int = 0
    kept: int = 0
    workloads: int = 0
    hours: float = 0.0
    broken: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


def tally(first: int, count: int, platform: str = "runai") -> Tally:
    """Play and judge seeds."""
    history_of = histories_on(platform)
    found = Tally()
    for seed in range(first, first + count):
        played = play(history_of(seed))
        found.seeds += 1
        found.requests += played.requests
        found.requests_aside += played.requests_aside
        found.kept += sum(is_wanted(view, w) for view in played.views for w in left_behind(view))
        found.workloads += len(played.world.workloads)
        found.hours += played.story.facts[-1].at / 3600
        for kind in {violation.kind for violation in judge(played)}:
            found.broken[kind].append(seed)
    return found


def hunt(first: int, count: int, kind: str, platform: str = "runai") -> int:
    """Play the seeds below ``count``, beginning with ``first``, until one breaks a promise in this way; say which."""
    history_of = histories_on(platform)
    for seed in (*range(first, count), *range(min(first, count))):
        found = sorted({v.kind for v in judge(play(history_of(seed))) if v.kind.startswith(kind)})
        if found:
            print(f"caught: {found[0]} by seed {seed}")
            return 1
    return 0


def campaign(first: int, count: int, platform: str = "runai") -> int:
    """Print a summary; 1 if a promise was broken that is not known to be open."""
    began = time.process_time()
    found = tally(first, count, platform)
    spent = time.process_time() - began
    print(
        f"{found.seeds} seeds, {found.hours:.0f} simulated hours, {spent / found.seeds:.3f} CPU s per seed\n"
        f"{found.workloads} workloads, of which {found.kept} were kept on purpose\n"
        f"{found.requests} requests ({found.requests / found.workloads:.1f} per workload), and {found.requests_aside} "
        "of reaper and listener"
    )
    # What a network delivers late is the one class that is open, and no cluster's histories have it.
    known = {case.kind for case in OPEN} if platform == "runai" else set()
    for kind, seeds in sorted(found.broken.items(), key=lambda item: -len(item[1])):
        mark = "open" if kind in known else "NEW"
        print(f"{len(seeds):6} {mark:<4}  {kind:<50} {' '.join(map(str, seeds[:5]))}")
    return int(bool(set(found.broken) - known))
