"""
Waiting on a real API server beside the stock ``KubernetesJobTrigger``, in one run on one cluster.

``make bench PLATFORM=kubernetes`` runs it, on the control plane that ``make rig`` builds. Each side
waits for suspended Jobs, in a process of its own with the heap of a triggerer. The server itself
counts what it was asked. A third side only sleeps: what it takes is taken off the others. Seconds
until an end is seen stand beside those of a bare watch, which a busy machine delays as much.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks import cluster_jobs
from tests.benchmarks.cluster_figures import SIDES, ClusterFigures, table
from tests.benchmarks.waiting_figures import percentile
from tests.rig import faults
from tests.rig.cluster import Cluster
from tests.rig.waiting import until
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
#: Ends that are timed, how long after each other, and ends during which the server forgets.
ENDS, APART, LOST = 100, 0.2, 40
#: A trigger of ours does not fire within its first 10 s.
EARLIEST = 12.0
#: Seconds without a new call after which triggers that have not all looked never will.
STUCK = 300.0


class Process:
    """A side in a process of its own, and what it says."""

    def __init__(self, *words: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env={**os.environ, "_AIRFLOW_PROCESS_CONTEXT": "client", "NO_PROXY": "127.0.0.1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ended: dict[str, dict[str, Any]] = {}
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                said = json.loads(line)
                if "name" in said:
                    self.ended[said["name"]] = said
                else:
                    self._said.put(said)

    def begin(self, seconds: float) -> None:
        """Let it measure for so many seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()

    def answer(self, patience: float = 600.0) -> dict[str, Any]:
        """Return what it says next."""
        return self._said.get(timeout=patience)

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()


class Comparison:
    """The sides on one cluster, one after the other, each in namespaces of its own."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self._began = Counter[str]()

    def measure(self, side: str, waits: int, window: float) -> ClusterFigures:
        """Measure a side, from its start to ends that fall into a restart."""
        few = max(1, waits // 10)
        with self._waiting(side, few) as (process, _, _):
            process.begin(2)
            less = process.answer()["resident"]
        with self._waiting(side, waits) as (process, namespace, start):
            rested = self._counted()
            process.begin(window)
            calm = process.answer()
            figures = ClusterFigures(
                side=side,
                waits=waits,
                start=_calls(rested - self._began),
                quiet=_calls(self._counted() - rested),
                window=window,
                start_cpu=start,
                cpu=calm["cpu"],
                memory=(calm["resident"] - less) * 1.024 / (waits - few),
            )
            ends: Mapping[str, Any] = (
                {} if side == "idle" else self._ends(process, namespace, waits)
            )
        return replace(figures, **ends)

    @contextmanager
    def _waiting(self, side: str, waits: int) -> Iterator[tuple[Process, str, float]]:
        """Start a side; go on when all have looked, with what a wait has cost until then."""
        namespace = f"{side}-{waits}"
        self.cluster.add_namespace(namespace)
        uids = self.folder / namespace
        jobs = 0 if side == "idle" else waits  # a sleeper needs none
        made = cluster_jobs.create(self.cluster.api, namespace, jobs)
        uids.write_text(json.dumps(made or dict.fromkeys(map(cluster_jobs.name_of, range(waits)))))
        where = ["--namespace", namespace, "--uids", str(uids)]
        # The stock trigger reads jobs/status, for which ours needs no right.
        user = "admin" if side == "stock" else "airflow"
        where += ["--kubeconfig", str(self.cluster.kubeconfig(user))]
        self._began = self._counted()
        process = Process("tests.benchmarks.cluster_side", "--side", side, *where)
        try:
            self._await_rest(side, waits)
            process.begin(0)
            yield process, namespace, process.answer()["start"]
        finally:
            process.end()

    def _await_rest(self, side: str, waits: int) -> None:
        began, before = self._began, self._counted()
        last = time.monotonic()
        has_looked = partial(_has_looked, side, began, waits)
        while not (has_looked(before) and time.monotonic() - last >= EARLIEST):
            if not has_looked(before) and time.monotonic() - last > STUCK:
                raise TimeoutError(f"{side}: not all of {waits} waits have looked: {before}")
            time.sleep(1)
            now = self._counted()
            if now != before and not (side == "stock" and has_looked(now)):
                last = time.monotonic()
            before = now

    def _counted(self) -> Counter[str]:
        return cluster_jobs.counted(self.cluster.api)

    def _ends(self, process: Process, namespace: str, waits: int) -> dict[str, Any]:
        names = list(map(cluster_jobs.name_of, range(waits)))
        timed, lost = names[: min(ENDS, waits // 4)], names[-min(LOST, waits // 4) :]
        watch = Process("tests.benchmarks.bare_watch", self._administrator, namespace)
        try:
            watch.answer()
            process.begin(len(timed) * APART)
            ended = dict(self._ended(namespace, timed))
            work = process.answer()["cpu"] * len(timed) * APART
            seen, bare = _delays(ended, process), _delays(ended, watch)
        finally:
            watch.end()
        return {
            "seen_p50": percentile(seen, 0.5),
            "seen_p99": percentile(seen, 0.99),
            "watch_p50": percentile(bare, 0.5),
            "watch_p99": percentile(bare, 0.99),
            "end_cpu": work / len(timed),
            "lost": len(lost),
            "lost_seen": self._lost(process, namespace, lost),
        }

    @property
    def _administrator(self) -> str:
        return str(self.cluster.kubeconfig())

    def _ended(self, namespace: str, names: Sequence[str]) -> Iterator[tuple[str, float]]:
        for name in names:
            yield name, cluster_jobs.end(self.cluster.api, namespace, name)
            time.sleep(APART)

    def _lost(self, process: Process, namespace: str, names: Sequence[str]) -> int:
        """End Jobs while the server forgets its history; return how many of the ends were seen."""

        def end(name: str) -> None:
            until(lambda: cluster_jobs.end(self.cluster.api, namespace, name), f"the end of {name}")

        with ThreadPoolExecutor(1) as thread:
            ending = [thread.submit(end, name) for name in names]
            faults.expire_history(self.cluster)
            for one in ending:
                one.result()
        _await_all(names, process)
        good = ("succeeded", "success")
        return sum(process.ended[name]["status"] in good for name in names)


def _has_looked(side: str, began: Counter[str], waits: int, now: Counter[str]) -> bool:
    """Whether all triggers have looked once, by what the server counts."""
    if side == "ours":
        return min(now["open WATCH jobs"], now["open WATCH pods"]) > 0
    return side == "idle" or now["GET jobs"] - began["GET jobs"] >= waits


def _await_all(names: Iterable[str], process: Process) -> None:
    wait_until(lambda: set(names) <= process.ended.keys(), "all ends are seen")


def _delays(ended: Mapping[str, float], process: Process) -> list[float]:
    _await_all(ended, process)
    return [process.ended[name]["at"] - asked for name, asked in ended.items()]


def _calls(counts: Counter[str]) -> dict[str, int]:
    return {kind: number for kind, number in sorted(counts.items()) if number}


def compare(waits: int, stock: int, window: float) -> list[ClusterFigures]:
    """Measure all sides on one cluster."""
    with cluster_jobs.quiet_cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(cluster, Path(folder))
        found = []
        for side in SIDES:
            found.append(comparison.measure(side, stock if side == "stock" else waits, window))
            print(json.dumps(asdict(found[-1])), flush=True)
        return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waits", type=int, default=1000)
    parser.add_argument("--stock", type=int, default=100, help="waits of the stock trigger")
    parser.add_argument("--window", type=float, default=100.0, help="seconds that are measured")
    chosen = parser.parse_args()
    measured = compare(chosen.waits, chosen.stock, chosen.window)
    print(table(measured))


if __name__ == "__main__":
    main()
