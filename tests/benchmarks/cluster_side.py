"""
One side of the comparison on Kubernetes, in a process of its own with the heap of a triggerer.

It says on standard output what it has measured, a JSON object a line, and goes on when a line
comes on standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from tests.benchmarks import supervisor
from tests.benchmarks.cluster_figures import SIDES
from tests.benchmarks.waiting import load_heap
from tests.benchmarks.waiting_figures import resident

INTERVAL = 10.0


class ClusterSide:
    """The triggers of one side, in this process."""

    def __init__(
        self, side: str, namespace: str, uids: dict[str, str], airflow: supervisor.Supervisor
    ) -> None:
        self.side, self.namespace, self.uids = side, namespace, uids
        self._airflow = airflow

    async def measured(self) -> None:
        """Start, and measure what is asked for."""
        began = time.process_time()
        tasks = [asyncio.create_task(self._run(name)) for name in self.uids]
        await _asked()
        await self._silence()
        # What was told is in Airflow's memory in truth.
        self._airflow.xcoms.clear()
        _say(start=(time.process_time() - began) / len(tasks))
        gc.collect()
        while asked := await _asked():
            window = float(asked)
            work, wall = time.process_time(), time.monotonic()
            await asyncio.sleep(window)
            _say(
                cpu=(time.process_time() - work) / (time.monotonic() - wall),
                resident=resident()["VmRSS"],
            )

    async def _silence(self) -> None:
        """Wait until nobody tells Airflow anything: timelines of new waits are written in turns."""
        before, now = -1, 0
        while now != before:
            await asyncio.sleep(3)
            before, now = now, self._airflow.messages.total()

    async def _run(self, name: str) -> None:
        trigger = _TRIGGERS[self.side](self.namespace, name, self.uids[name])
        trigger.task_instance = SimpleNamespace(
            dag_id="bench", task_id=name, run_id="run", map_index=-1, try_number=1
        )
        try:
            async for event in trigger.run():
                _say(name=name, at=time.time(), status=event.payload["status"])
        except Exception as error:
            _say(name=name, at=time.time(), status=f"{type(error).__name__}: {error}"[:200])


def _say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def _asked() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


class _Sleeper(BaseTrigger):
    """What a trigger takes that does nothing."""

    def __init__(self, *_: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        raise NotImplementedError

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(1e6)
        yield TriggerEvent({})


def _stock(namespace: str, name: str, uid: str) -> Any:
    from airflow.providers.cncf.kubernetes.triggers.job import KubernetesJobTrigger

    return KubernetesJobTrigger(
        job_name=name,
        job_namespace=namespace,
        pod_names=[],
        pod_namespace=namespace,
        base_container_name="base",
        kubernetes_conn_id="kubernetes_default",
        poll_interval=INTERVAL,
        get_logs=False,
    )


def _ours(namespace: str, name: str, uid: str) -> Any:
    from airflow_runai.triggers.workload import RunaiWorkloadTrigger

    workload = {
        "id": uid,
        "name": name,
        "project_id": namespace,
        "kind": "Training",
        "created_at": time.time(),
        "phase": "",
    }
    policy = {"poll_interval": INTERVAL, "when_suspended": "wait", "timeouts": {}}
    return RunaiWorkloadTrigger("kubernetes_default", workload, policy)


_TRIGGERS: dict[str, Callable[[str, str, str], Any]] = {
    "idle": _Sleeper,
    "ours": _ours,
    "stock": _stock,
}


def main() -> None:
    """Measure one side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=SIDES, required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--uids", type=Path, required=True)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    chosen = parser.parse_args()
    uids = json.loads(chosen.uids.read_text())

    load_heap()
    # Why a list was read once more belongs beside the figures.
    logging.basicConfig(format="%(message)s")
    logging.getLogger("airflow_runai.backends.kubernetes.watching").setLevel("INFO")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[:1])
    asked = supervisor.Supervisor()
    asked.connections = {"kubernetes_default": _connection(chosen.kubeconfig, chosen.namespace)}
    gc.collect()
    side = ClusterSide(chosen.side, chosen.namespace, uids, asked)
    with supervisor.installed(asked):
        asyncio.run(side.measured())


def _connection(kubeconfig: Path, namespace: str) -> dict[str, Any]:
    extra = {"kube_config_path": str(kubeconfig), "namespace": namespace}
    known = dict.fromkeys(("host", "schema", "login", "password", "port"))
    about = {"conn_id": "kubernetes_default", "conn_type": "kubernetes"}
    return {**known, **about, "extra": json.dumps(extra)}


if __name__ == "__main__":
    main()
