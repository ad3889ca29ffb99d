"""The operators where Kueue decides when a training starts, over the model of Kubernetes behind a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.airflow.conftest import Minutes
from tests.airflow.running import dag_of
from tests.airflow.test_kubernetes_training import (
    Runner,
    deferred,
    jobs,
    model,
    training,
)
from tests.airflow.triggering import Supervised, supervised
from tests.model.resources import LOCAL_QUEUES, WORKLOADS
from tests.model.serving import ServedModel
from tests.support.waiting import eventually

__all__ = ["model", "supervised"]

pytestmark = pytest.mark.slow


def queue(model: ServedModel, patch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let Kueue queue the trainings; return what makes its Workload for the one that there is."""
    connection = model.connection(project="team-b", namespace="team-b", runai_dialect="kueue")
    patch.setenv("AIRFLOW_CONN_RUNAI_DEFAULT", connection)
    with model.lock:
        name = {"name": "team-b", "namespace": "team-b"}
        model.cluster.store.create(
            LOCAL_QUEUES, {"metadata": name, "spec": {"clusterQueue": "all"}}
        )

    def take_up() -> None:
        (one,) = jobs(model)
        label = {"kueue.x-k8s.io/job-uid": one["metadata"]["uid"]}
        about = {"name": "job-train", "namespace": "team-b", "labels": label}
        with model.lock:
            model.cluster.store.create(WORKLOADS, {"metadata": about, "spec": {"active": True}})

    return take_up


def held_back(model: ServedModel) -> list[bool]:
    with model.lock:
        return [one["spec"]["active"] is False for one in model.cluster.store.all(WORKLOADS)]


def test_killed_before_kueue_knows_it_it_is_suspended_once_kueue_does(
    run: Runner,
    model: ServedModel,
    supervised: Supervised,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    take_up = queue(model, monkeypatch)
    made = deferred(model, run, "suspend")
    supervised("failed")

    async def killed() -> None:
        killing = asyncio.create_task(made.on_kill())
        await eventually(lambda: "has no Workload for it yet" in caplog.text, "what is missing")
        assert "asked to suspend it" not in caplog.text
        take_up()
        await killing

    asyncio.run(killed())
    assert held_back(model) == [True]


def test_a_timeout_before_kueue_knows_it_waits_until_it_can_be_suspended(
    run: Runner,
    model: ServedModel,
    minutes: Minutes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    take_up = queue(model, monkeypatch)

    def once_it_is_said() -> None:
        if "is timed_out, but was not ended" in caplog.text and not held_back(model):
            take_up()

    minutes.shortest, minutes.meanwhile = 0.5, once_it_is_said
    timeout = training(
        timeouts={"queue": 5}, on_kill="suspend", poll_interval=1.0, deferrable=False
    )
    done = run(dag_of(timeout))
    assert done.state == "failed"
    assert "was suspended" in done.words
    assert held_back(model) == [True]
