"""One example DAG on a real API server, with each kind of scheduler: only the connection differs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.airflow.running import Run
from tests.airflow.test_dags import bag
from tests.contract.rivalry import KAI, KUEUE, PLAIN, Rivalry
from tests.rig import objects
from tests.rig.cluster import Cluster
from tests.rig.lanes import Lane, lane

Runner = Callable[..., Run]
# Two trainings one after the other, three times.
pytestmark = [pytest.mark.rig, pytest.mark.slow, pytest.mark.qualify]


@pytest.fixture
def own_lane(rig_cluster: Cluster, shared: Path) -> Iterator[Lane]:
    """A lane of four GPUs, whose pods find the storage as the claim ``shared``."""
    with lane(rig_cluster, gpus=4) as own:
        objects.add_bound_claim(rig_cluster.api, own.namespace, "shared", shared)
        yield own
    rig_cluster.api.remove("/api/v1/persistentvolumes/shared")


@pytest.mark.parametrize("rivalry", [KAI, KUEUE, PLAIN], ids=lambda one: one.dialect)
def test_the_same_dag_runs_unchanged_on_each_kind_of_cluster(
    run: Runner,
    own_lane: Lane,
    shared: Path,
    monkeypatch: pytest.MonkeyPatch,
    rivalry: Rivalry,
) -> None:
    extra = {
        "kube_config_path": str(own_lane.cluster.kubeconfig("airflow")),
        "namespace": own_lane.namespace,
        "project": own_lane.queue,
        "runai_dialect": rivalry.dialect,
    }
    connection = json.dumps({"conn_type": "kubernetes", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_RUNAI_DEFAULT", connection)
    monkeypatch.setenv("AIRFLOW_VAR_RUNAI_SHARED", str(shared))
    done = run(bag().dags["digits_retraining"])
    assert done.state == "success", done.words
    champion = json.loads((shared / "champion.json").read_text())
    assert champion["digest"] == done.xcom(task_id="checkpoint")["digest"]
    jobs = own_lane.cluster.api.get(f"/apis/batch/v1/namespaces/{own_lane.namespace}/jobs")["items"]
    queues = {job["metadata"]["labels"].get(rivalry.queue_label or "none") for job in jobs}
    assert (len(jobs), queues) == (2, {own_lane.queue if rivalry.queue_label else None})
