"""
A training that is preempted once: what the stock ``KubernetesJobOperator`` makes of it, and ours.

``python -m tests.benchmarks.preempted_beside_stock`` plays it on the control plane that ``make rig``
builds, with the stand-in of KAI, and prints a table. The training saves each second; another queue
takes its GPUs back half way, and it ends with an exit code of its own, as it may on SIGTERM.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Before Airflow: it reads its home when it is first imported.
import tests.airflow.conftest  # noqa: F401

# isort: split
from airflow.providers.cncf.kubernetes.operators.job import KubernetesJobOperator
from airflow.sdk import BaseOperator
from kubernetes.client import models as k8s  # type: ignore[import-untyped]  # it ships no types

from airflow_runai.operators.training import RunaiTrainingOperator
from tests.airflow.running import Run, dag_of, meanwhile, run_dag
from tests.rig.cluster import Cluster, Options
from tests.rig.lanes import Lane, lane
from tests.rig.waiting import until

#: Steps of the training, one a second; after so many its GPUs are taken.
STEPS, TAKEN = 12, 4
#: How a training may end on SIGTERM; the platform takes 0 for success.
EXIT_CODES = (143, 0)
#: Seconds for which the other queue keeps the GPUs.
KEPT = 1
#: Where the logs of the tasks are left, for whoever wants to read them.
LOGS = Path(tempfile.gettempdir())
SCRIPT = """
trap 'echo saved at step $n; exit {code}' TERM
n=$(cat {file} 2> /dev/null || echo 0)
echo begins after step $n
while [ $n -lt {steps} ]; do sleep 1 & wait $!; n=$((n + 1)); echo $n > {file}; done
echo finished
"""


@dataclass(frozen=True)
class Preempted:
    """
    What became of one training.

    :param exit_code: of the training on SIGTERM.
    :param state: of the task, as Airflow has it.
    :param seconds: from the start of the task to its end.
    :param steps: that the training had done by then.
    :param pods: that the log of the task shows lines of.
    :param names_preemption: whether the log says that it was preempted.
    :param words: of the task's failure; else the last that its log says.
    """

    operator: str
    exit_code: int
    state: str
    seconds: float
    steps: int
    pods: int
    names_preemption: bool
    words: str


def stock(lane: Lane, script: str) -> BaseOperator:
    """Return the task as the stock operator has it, with nothing set that need not be."""
    return KubernetesJobOperator(
        task_id="task",
        name="stock",
        namespace=lane.namespace,
        image="registry.example/train:1",
        cmds=["sh", "-c", script],
        labels={"kai.scheduler/queue": lane.queues[0]},
        schedulername="kai-scheduler",
        container_resources=k8s.V1ResourceRequirements(limits={"nvidia.com/gpu": "2"}),
        node_selector=lane.node_selector,
        wait_until_job_complete=True,
        deferrable=True,
        get_logs=True,
        # By default it looks four times within a moment, and the task fails if no pod is there yet.
        discover_pods_retry_number=1000,
    )


def ours(lane: Lane, script: str) -> BaseOperator:
    """Return the task as ours has it."""
    return RunaiTrainingOperator(
        task_id="task",
        runai_conn_id="kubernetes_default",
        project=lane.queues[0],
        spec={
            "image": "registry.example/train:1",
            "command": f"sh -c {shlex.quote(script)}",
            "compute": {"gpu_devices": 2},
            "raw": {
                "kubernetes": {
                    "spec": {"template": {"spec": {"nodeSelector": dict(lane.node_selector)}}}
                }
            },
        },
        get_logs="follow",
        deferrable=True,
    )


OPERATORS: Mapping[str, Callable[[Lane, str], BaseOperator]] = {
    "KubernetesJobOperator": stock,
    "RunaiTrainingOperator": ours,
}


def play(lane: Lane, operator: str, exit_code: int, folder: Path) -> Preempted:
    """Run one task, and take the GPUs of its training half way."""
    file = folder / f"{operator}-{exit_code}"
    script = SCRIPT.format(code=exit_code, file=file, steps=STEPS)

    def steps() -> int:
        text = file.read_text().strip() if file.exists() else ""
        return int(text or 0)

    def take() -> None:
        until(lambda: steps() >= TAKEN, f"step {TAKEN} of the training")
        _rival(lane, f"rival-{operator.lower()}-{exit_code}")

    make = OPERATORS[operator]
    with _connected(lane), _heard() as heard, meanwhile(take):
        began = time.monotonic()
        done = run_dag(dag_of(lambda: make(lane, script)))
        seconds = time.monotonic() - began
    log = heard.getvalue()
    (LOGS / f"{operator}-{exit_code}.log").write_text(log)
    return Preempted(
        operator=operator,
        exit_code=exit_code,
        state=done.state,
        seconds=seconds,
        steps=steps(),
        pods=len(set(re.findall(r"begins after step (\d+)", log))),
        names_preemption="was preempted by" in log,
        words=_words(done, log),
    )


def _words(done: Run, log: str) -> str:
    if done.words:
        return done.words.splitlines()[0]
    said = [line for line in log.splitlines() if " succeeded after " in line]
    return said[-1].partition("] ")[2].partition(" [")[0].strip() if said else ""


def _rival(lane: Lane, name: str) -> None:
    """Let another queue take back what it lent."""
    container = {
        "name": "main",
        "image": "registry.example/rival:1",
        "command": ["sleep", str(KEPT)],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    labels = {"kai.scheduler/queue": lane.queues[1]}
    pod = {
        "restartPolicy": "Never",
        "schedulerName": "kai-scheduler",
        "nodeSelector": lane.node_selector,
        "containers": [container],
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {"template": {"metadata": {"labels": labels}, "spec": pod}},
    }
    lane.cluster.api.create(f"/apis/batch/v1/namespaces/{lane.namespace}/jobs", job)


@contextlib.contextmanager
def _connected(lane: Lane) -> Iterator[None]:
    """Define the connection that both use."""
    extra = {
        # The stock trigger reads jobs/status, for which ours needs no right.
        "kube_config_path": str(lane.cluster.kubeconfig()),
        "namespace": lane.namespace,
        "runai_dialect": "kai",
    }
    connection = json.dumps({"conn_type": "kubernetes", "extra": extra})
    known = {"AIRFLOW_CONN_KUBERNETES_DEFAULT": connection, "NO_PROXY": "127.0.0.1"}
    before = {name: os.environ.get(name) for name in known}
    os.environ.update(known)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _heard() -> Iterator[io.StringIO]:
    """Keep what is logged and printed, on both ways that Airflow takes."""
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    logging.getLogger().addHandler(handler)
    try:
        with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
            yield heard
    finally:
        logging.getLogger().removeHandler(handler)


def compare() -> list[Preempted]:
    """Play all on one cluster."""
    from airflow.utils.db import initdb

    initdb()
    with (
        Cluster(Options(jobset=False, kueue=False)) as cluster,
        lane(cluster) as own,
        tempfile.TemporaryDirectory() as folder,
    ):
        return [
            play(own, operator, code, Path(folder)) for code in EXIT_CODES for operator in OPERATORS
        ]


def table(measured: Sequence[Preempted]) -> str:
    """Render what was seen, a row a training."""
    lines = [
        "| on SIGTERM | operator | task | after | steps done | says |",
        f"|{' --- |' * 6}",
    ]
    for one in measured:
        lines.append(
            f"| exit code {one.exit_code} | {one.operator} | {one.state} | {one.seconds:.0f} s "
            f"| {one.steps} of {STEPS} | {one.words} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    measured = compare()
    print(table(measured), file=sys.__stdout__)
    for one in measured:
        print(one, file=sys.__stdout__)


if __name__ == "__main__":
    main()
