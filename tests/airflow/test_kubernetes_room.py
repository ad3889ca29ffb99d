"""The sensor for room with a connection of type ``kubernetes``: KAI's queues, Kueue's, and none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_runai.sensors.quota import RunaiQuotaSensor
from tests.airflow.running import Run, dag_of, meanwhile
from tests.model.conftest import job
from tests.model.kubelet import Life
from tests.model.resources import CLUSTER_QUEUES, JOBS, LOCAL_QUEUES, Object
from tests.model.serving import ServedModel, served
from tests.support.waiting import wait_until

Runner = Callable[..., Run]
pytestmark = pytest.mark.slow
both = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "poking"])
GPU = "nvidia.com/gpu"


@pytest.fixture
def model() -> Iterator[ServedModel]:
    with served(life_of=lambda pod: Life(run=1e9)) as running:
        yield running


def connect(model: ServedModel, patch: pytest.MonkeyPatch, dialect: str) -> None:
    connection = model.connection(project="team-b", namespace="team-b", runai_dialect=dialect)
    patch.setenv("AIRFLOW_CONN_RUNAI_DEFAULT", connection)


def sensor(**given: Any) -> Callable[[], RunaiQuotaSensor]:
    return lambda: RunaiQuotaSensor(**{"task_id": "task", "poke_interval": 0.1, **given})


def add_kueue(model: ServedModel, gpus: int, reserved: int) -> Object:
    amount = [{"name": GPU, "nominalQuota": str(gpus)}]
    flavors = [{"name": "default", "resources": amount}]
    spec = {"resourceGroups": [{"coveredResources": [GPU], "flavors": flavors}]}
    usage = [{"name": "default", "resources": [{"name": GPU, "total": str(reserved)}]}]
    queue = {"metadata": {"name": "all"}, "spec": spec, "status": {"flavorsReservation": usage}}
    name = {"name": "team-b", "namespace": "team-b"}
    with model.lock:
        store = model.cluster.store
        store.create(LOCAL_QUEUES, {"metadata": name, "spec": {"clusterQueue": "all"}})
        return store.create(CLUSTER_QUEUES, queue)


@both
@pytest.mark.parametrize("asked", [{"when": "quota"}, {"gpus": 2, "when": "idle"}], ids=str)
def test_room_of_a_queue_of_kai_is_found_at_once(
    run: Runner,
    model: ServedModel,
    monkeypatch: pytest.MonkeyPatch,
    deferrable: bool,
    asked: Any,
) -> None:
    connect(model, monkeypatch, "kai")
    done = run(dag_of(sensor(deferrable=deferrable, **asked)))
    assert done.state == "success", done.words
    figures = {"quota": 1.0, "limit": None, "held": 0.0, "queued": 0.0, "free": 2.0, "total": 2.0}
    assert done.xcom() == figures


@both
def test_it_waits_until_a_job_of_its_queue_has_gone(
    run: Runner, model: ServedModel, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    connect(model, monkeypatch, "kai")
    theirs = job("theirs", "team-b", 1)
    theirs["metadata"]["namespace"] = "team-b"
    with model.lock:
        made = model.cluster.store.create(JOBS, theirs)

    def looks() -> int:
        return sum(line.startswith("GET /api/v1/nodes") for line in model.asked)

    def leave() -> None:
        wait_until(lambda: looks() >= 3, "three looks")
        with model.lock:
            model.cluster.deletion.delete(JOBS, made, "Background")

    with meanwhile(leave):
        done = run(dag_of(sensor(deferrable=deferrable)))
    assert done.state == "success", done.words
    assert done.xcom()["held"] == 0.0


@both
def test_quota_of_kueue_is_what_it_has_not_given_away(
    run: Runner, model: ServedModel, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    connect(model, monkeypatch, "kueue")
    queue = add_kueue(model, 2, reserved=2)

    def give_back() -> None:
        wait_until(lambda: sum("clusterqueues" in line for line in model.asked) >= 4, "some looks")
        with model.lock:
            model.cluster.store.change(CLUSTER_QUEUES, queue, lambda one: one.update(status=_one()))

    with meanwhile(give_back):
        done = run(dag_of(sensor(deferrable=deferrable)))
    assert done.state == "success", done.words
    assert (done.xcom()["quota"], done.xcom()["held"]) == (2.0, 1.0)


def _one() -> Object:
    resources = [{"name": GPU, "total": "1"}]
    return {"flavorsReservation": [{"name": "default", "resources": resources}]}


@pytest.mark.parametrize(
    ("dialect", "asked", "words"),
    [
        ("kai", {"gpus": 2}, "asks for 2 GPUs; the project's quota is 1"),
        ("plain", {}, "the quota cannot be read here"),
    ],
)
def test_what_no_waiting_can_bring_fails_at_once(
    run: Runner,
    model: ServedModel,
    monkeypatch: pytest.MonkeyPatch,
    dialect: str,
    asked: Any,
    words: str,
) -> None:
    connect(model, monkeypatch, dialect)
    done = run(dag_of(sensor(**asked)))
    assert done.state == "failed"
    assert words in done.words
