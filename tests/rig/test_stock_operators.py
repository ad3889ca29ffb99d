"""Airflow's stock Kubernetes operators run on the rig as they are: what holds on it for them, holds on a cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

# Before Airflow: it reads its home when it is first imported.
from tests.airflow.conftest import database, run

# isort: split
from airflow.providers.cncf.kubernetes.operators.job import KubernetesJobOperator
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

from tests.airflow.running import Run, dag_of
from tests.rig.lanes import Lane

__all__ = ["database", "run"]

pytestmark = [pytest.mark.rig, pytest.mark.slow]
#: Each with what keeps it from pausing between its looks, and the Job from trying again.
OPERATORS: dict[type[KubernetesPodOperator], dict[str, Any]] = {
    KubernetesPodOperator: {"poll_interval": 0.2},
    KubernetesJobOperator: {
        "job_poll_interval": 0.2,
        "wait_until_job_complete": True,
        "backoff_limit": 0,
    },
}
#: How each says that its container has ended with exit code 3.
COMPLAINTS = {
    KubernetesPodOperator: "'exit_code': 3",
    KubernetesJobOperator: "BackoffLimitExceeded",
}

Execute = Callable[[str], Run]


@pytest.fixture(autouse=True)
def connection(rig_lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Define the connection ``kubernetes_default``."""
    extra = {
        "kube_config_path": str(rig_lane.cluster.kubeconfig()),
        "namespace": rig_lane.namespace,
    }
    monkeypatch.setenv(
        "AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps({"conn_type": "kubernetes", "extra": extra})
    )
    # These clients would send loopback through a developer's proxy, too.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(params=[False, True], ids=["blocking", "deferred"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=OPERATORS, ids=lambda operator: operator.__name__)
def operator(request: pytest.FixtureRequest) -> type[KubernetesPodOperator]:
    kind: type[KubernetesPodOperator] = request.param
    return kind


@pytest.fixture
def execute(
    operator: type[KubernetesPodOperator], deferrable: bool, rig_lane: Lane, run: Callable[..., Run]
) -> Execute:
    """Run one task of a shell script to its end."""

    def task(script: str) -> Run:
        details = {
            "name": "stock",
            "image": "registry.example/train:1",
            "cmds": ["sh", "-c", script],
            "get_logs": True,
            "deferrable": deferrable,
            "node_selector": rig_lane.node_selector,
            **OPERATORS[operator],
        }
        return run(dag_of(lambda: operator(task_id="task", **details)))

    return task


def test_a_task_succeeds_and_its_log_holds_what_the_container_said(
    execute: Execute, capfd: pytest.CaptureFixture[str]
) -> None:
    done = execute("echo hello from $(echo the container)")
    assert done.state == "success", done.words
    assert "hello from the container" in capfd.readouterr().out


def test_a_task_fails_with_its_container(
    execute: Execute, operator: type[KubernetesPodOperator]
) -> None:
    done = execute("exit 3")
    assert done.state == "failed"
    assert COMPLAINTS[operator] in done.words
