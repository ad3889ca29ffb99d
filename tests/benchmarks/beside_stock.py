"""
Waiting beside the stock ``KubernetesJobTrigger``, in one run: real sockets, TLS, the same machine.

``make bench`` runs it. Each side waits in a process of its own with the heap of a triggerer, on one
core where there are several; the server is another process. A third process only sleeps: what it
takes (the loop itself) is taken off both. A machine that others use makes both sides slower, the
ratio less so.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.benchmarks import real_server
from tests.benchmarks.waiting_figures import percentile
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
INTERVAL = 10.0
#: Looks an hour at that interval.
LOOKS = 3600 / INTERVAL
COLUMNS = (
    "trigger",
    "requests per wait and hour",
    "CPU per wait and hour, ms",
    "net of sleeping",
    "to the stock trigger at 360 looks",
    "start: CPU per wait, ms",
    "lag p99 / max, ms",
)
#: Seconds between two looks at how late the loop is.
PROBE = 0.05
#: What stands beside what; the last two wait for the same workloads.
SIDES = {
    "idle": "triggers that only sleep",
    "stock": "KubernetesJobTrigger",
    "project": "RunaiWorkloadTrigger, older server",
    "project-delta": "RunaiWorkloadTrigger, server that filters by `phaseUpdatedAt`",
}


@dataclass(frozen=True)
class Measured:
    """
    One side.

    :param requests: a waiter-hour.
    :param cpu: processor seconds a waiter-hour, those of the loop itself included.
    :param start_cpu: processor seconds per trigger until all have looked once.
    :param lag_p99: seconds; also shows who else is at work on this machine.
    """

    side: str
    requests: float
    cpu: float
    start_cpu: float
    lag_p99: float
    lag_max: float


class Side:
    """The triggers of one side, in this process."""

    def __init__(self, side: str, waits: int, folder: Path) -> None:
        self.side, self.waits, self.folder = side, waits, folder
        self.host = f"https://127.0.0.1:{(folder / 'port').read_text()}"

    async def measured(self, window: float) -> Measured:
        """Start, come to rest, and measure for ``window`` seconds."""
        began = time.process_time()
        tasks = [asyncio.create_task(self._run(number)) for number in range(self.waits)]
        await self._at_rest()
        start = (time.process_time() - began) / self.waits
        before, work, wall = await self._requests(), time.process_time(), time.monotonic()
        lags = await _lags(window)
        hours = self.waits * (time.monotonic() - wall) / 3600
        work = time.process_time() - work
        asked = (await self._requests()) - before
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        late = percentile(lags, 0.99), max(lags)
        return Measured(self.side, asked / hours, work / hours, start, *late)

    async def _run(self, number: int) -> None:
        if self.side == "idle":
            await asyncio.sleep(1e6)
            return
        trigger = _stock(number) if self.side == "stock" else _project(number)
        async for event in trigger.run():
            raise AssertionError(f"nothing has ended, and yet: {event}")

    async def _at_rest(self) -> None:
        """Wait until all have looked once, and nobody asks for anything but news."""
        while self.side != "idle":
            before = await self._counts()
            await asyncio.sleep(INTERVAL)
            after = await self._counts()
            news = {"list", "delta", "job"}
            others = [sum(n for k, n in c.items() if k not in news) for c in (before, after)]
            looked = (
                after.get("job", 0) >= self.waits if self.side == "stock" else after.get("list")
            )
            if looked and others[0] == others[1]:
                return

    async def _counts(self) -> dict[str, int]:
        # Another process asks, so that the question costs this one next to nothing.
        words = [sys.executable, "-c", _ASK, self.host]
        asking = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
        said, _ = await asking.communicate()
        counts: dict[str, int] = json.loads(said)
        return counts

    async def _requests(self) -> int:
        return sum((await self._counts()).values())


_ASK = """
import ssl, sys, urllib.request
trusting = ssl._create_unverified_context()
print(urllib.request.urlopen(sys.argv[1] + "/bench/requests", context=trusting).read().decode())
"""


async def _lags(window: float) -> list[float]:
    lags, until = [], time.monotonic() + window
    while (now := time.monotonic()) < until:
        await asyncio.sleep(PROBE)
        lags.append(time.monotonic() - now - PROBE)
    return lags


def _stock(number: int) -> Any:
    from airflow.providers.cncf.kubernetes.triggers.job import KubernetesJobTrigger

    return KubernetesJobTrigger(
        job_name=f"train-{number}",
        job_namespace="bench",
        pod_names=[f"train-{number}-0"],
        pod_namespace="bench",
        base_container_name="base",
        kubernetes_conn_id="kubernetes_default",
        poll_interval=INTERVAL,
    )


def _project(number: int) -> Any:
    from airflow_runai.triggers.workload import RunaiWorkloadTrigger

    policy = {"poll_interval": INTERVAL, "when_suspended": "wait", "timeouts": {}}
    workload = real_server.as_trigger_wants(number)
    trigger: Any = RunaiWorkloadTrigger("runai_default", workload, policy)
    trigger.task_instance = SimpleNamespace(
        dag_id="bench", task_id=f"train-{number}", run_id="run", map_index=-1, try_number=1
    )
    return trigger


def measure(side: str, waits: int, window: float, folder: Path) -> Measured:
    """Measure one side in this process."""
    from tests.benchmarks import supervisor
    from tests.benchmarks.waiting import load_heap

    load_heap()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[:1])
    gc.collect()
    triggers = Side(side, waits, folder)
    asked = supervisor.Supervisor()
    asked.connections = {
        "runai_default": supervisor.connection(
            "runai_default", triggers.host, ca_file=str(folder / "ca.pem")
        ),
        "kubernetes_default": _kubernetes(triggers.host, folder),
    }
    with supervisor.installed(asked):
        return asyncio.run(triggers.measured(window))


def _kubernetes(host: str, folder: Path) -> dict[str, Any]:
    """Describe a connection whose configuration names the server and its certificate."""
    context = {"cluster": "bench", "user": "bench", "namespace": "bench"}
    authority = str(folder / "ca.pem")
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "clusters": [
            {"name": "bench", "cluster": {"server": host, "certificate-authority": authority}}
        ],
        "users": [{"name": "bench", "user": {"token": "a-token"}}],
        "contexts": [{"name": "bench", "context": context}],
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config))
    known = dict.fromkeys(("host", "schema", "login", "password", "port"))
    extra = json.dumps({"kube_config_path": str(file)})
    return {**known, "conn_id": "kubernetes_default", "conn_type": "kubernetes", "extra": extra}


@contextmanager
def serving(waits: int, delta: bool) -> Iterator[Path]:
    """Run a server in another process; its folder holds port and certificate."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = [sys.executable, "-m", "tests.benchmarks.real_server", name, "--waits", str(waits)]
        words += ["--delta"] if delta else []
        process = subprocess.Popen(words, cwd=ROOT)
        try:
            wait_until(lambda: (folder / "port").exists(), "the server listens")
            yield folder
        finally:
            process.terminate()
            process.wait()


def measure_apart(side: str, waits: int, window: float) -> Measured:
    """Measure one side in a process of its own, with a server of its own."""
    with serving(waits, side.endswith("-delta")) as folder:
        words = ["--side", side, "--waits", str(waits), "--window", str(window)]
        home = {"AIRFLOW_HOME": str(folder / "airflow"), "_AIRFLOW_PROCESS_CONTEXT": "client"}
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.benchmarks.beside_stock",
                *words,
                "--folder",
                str(folder),
            ],
            cwd=ROOT,
            env={**os.environ, **home},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def table(measured: list[Measured]) -> str:
    """Render what was measured, and the ratios to the stock trigger."""
    by_side = {each.side: each for each in measured}
    idle, stock = by_side["idle"].cpu, by_side["stock"]
    # A busy machine lets it look less often than it should: what all its looks would have taken.
    whole = (stock.cpu - idle) * LOOKS / stock.requests
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    for side, each in by_side.items():
        net = each.cpu - idle
        cells = (
            SIDES[side],
            f"{each.requests:.2f}",
            f"{1000 * each.cpu:.1f}",
            "" if side == "idle" else f"{1000 * net:.1f}",
            "" if side in ("idle", "stock") else _ratio(net / whole),
            f"{1000 * each.start_cpu:.2f}",
            f"{1000 * each.lag_p99:.0f} / {1000 * each.lag_max:.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _ratio(share: float) -> str:
    # Less than a thousandth is within what two idle runs differ by.
    return f"1/{1 / share:.0f}" if share > 0.001 else "below 1/1000"


def main() -> None:
    """Print the table, or measure one side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waits", type=int, default=1000)
    parser.add_argument("--window", type=float, default=100.0, help="seconds that are measured")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.side:
        found = measure(chosen.side, chosen.waits, chosen.window, chosen.folder)
        print(json.dumps(asdict(found)))
        return
    measured = [measure_apart(side, chosen.waits, chosen.window) for side in SIDES]
    print(f"{chosen.waits:,} waits, poll interval {INTERVAL:.0f} s")
    print(table(measured))


if __name__ == "__main__":
    main()
