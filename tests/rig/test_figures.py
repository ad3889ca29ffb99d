"""
What a cluster costs: shown by `make qualify`, and held to bounds that no busy machine can break.
"""

from __future__ import annotations

import time

import psutil
import pytest

from tests.rig.cluster import Cluster
from tests.rig.processes import marked

pytestmark = [pytest.mark.rig, pytest.mark.slow, pytest.mark.qualify]
IDLE_SECONDS = 60
MOST_MEMORY = 1.3 * 2**30
MOST_IDLE_SHARE = 0.06


def test_a_whole_cluster_costs_little(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    with Cluster() as cluster:
        ready = time.monotonic() - began
        parts = {name: cluster.processes.find(name) for name in cluster.parts}
        before = {name: _spent(process) for name, process in parts.items() if process}
        since = time.monotonic()
        time.sleep(IDLE_SECONDS)
        passed = time.monotonic() - since
        shares = {
            name: (_spent(process) - before[name]) / passed
            for name, process in parts.items()
            if process
        }
        memory = {process.pid: process.memory_info().rss for process in marked(cluster.folder)}
    with capsys.disabled():
        print(
            f"\nready after {ready:.1f} s, {sum(memory.values()) >> 20} MiB, idle {sum(shares.values()):.2%} of a core"
        )
        print(", ".join(f"{name} {share:.2%}" for name, share in shares.items()))
    assert len(shares) == len(parts)
    assert sum(memory.values()) < MOST_MEMORY
    assert sum(shares.values()) < MOST_IDLE_SHARE  # process time: what others do does not count


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
