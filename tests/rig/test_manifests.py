"""
The real API server takes every object that we write, to the letter, and what we write really runs.

It is asked with ``dryRun=All`` and ``fieldValidation=Strict``: schema, validation, quota and
webhooks, but nothing is stored. For the dialect ``runai`` this is all that is proven.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_runai.core.manifests import DIALECTS, ManifestRequest, Manifests, origin_labels, render
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.errors import SpecError
from tests.core.manifests.examples import EXAMPLES
from tests.core.manifests.fields import applies
from tests.core.manifests.requests import BASE, KINDS, SEVERAL, TERMS
from tests.core.manifests.strategies import specs
from tests.rig.api import Api, ApiError, Object
from tests.rig.lanes import Lane
from tests.rig.waiting import until

pytestmark = [pytest.mark.rig, pytest.mark.slow]
PAIRS = [(dialect, kind) for dialect in DIALECTS for kind in KINDS]
#: Dialects differ in labels only, so that one of them shows what fields become in a JobSet.
EVERY_FIELD = [*((dialect, "Job") for dialect in DIALECTS), ("kai", "JobSet")]
GROUPS = {
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "JobSet": "/apis/jobset.x-k8s.io/v1alpha2/namespaces/{}/jobsets",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
}
#: Fails unless the downward API has filled in all of them.
COMPLETE = """sh -c 'set -eu; test -n "$JOB_UUID$POD_UUID$NODE_NAME"; test "$POD_INDEX" -ge 0; echo "$@"' train"""
#: Ranks are distinct numbers below the size of the world.
GANG = """sh -c 'set -eu; test "$RANK" -lt "$WORLD_SIZE"; test -n "$MASTER_ADDR$JOB_UUID"'"""


def written(lane: Lane, source: dict[str, Any], dialect: str, base: str = BASE) -> Manifests:
    labels = origin_labels("nightly", "train", "manual__2026-11-27T00:00:00+00:00", 1)
    spec = WorkloadSpec.from_mapping({"image": "registry.example/train:1", **source})
    request = ManifestRequest(
        spec, base, 1, lane.namespace, lane.queue, labels, {"AIRFLOW_RUNAI_TRY": "1"}, TERMS
    )
    return render(request, DIALECTS[dialect])


def post(api: Api, body: Object, **params: str) -> Object:
    collection = GROUPS[body["kind"]].format(body["metadata"]["namespace"])
    return api.create(
        collection, body, fieldManager="airflow-runai", fieldValidation="Strict", **params
    )


def refusals(lane: Lane, made: Manifests) -> list[str]:
    """Return what the server says against objects that it is shown."""
    found = []
    for body in (*made.claims, made.workload):
        try:
            post(lane.cluster.api, body, dryRun="All")
        except ApiError as error:
            found.append(error.message)
    return found


@pytest.mark.parametrize(("dialect", "kind"), EVERY_FIELD)
def test_the_server_takes_every_field(rig_lane: Lane, dialect: str, kind: str) -> None:
    refused, taken = {}, 0
    for leaf, pair in EXAMPLES.items():
        if not applies(leaf, kind):
            continue
        try:
            made = written(rig_lane, {**KINDS[kind], **pair[1]}, dialect)
        except SpecError:
            continue
        taken += 1
        if found := refusals(rig_lane, made):
            refused[leaf] = found
    assert refused == {}
    assert taken > len(EXAMPLES) // 2


@pytest.mark.parametrize(("dialect", "kind"), PAIRS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_server_takes_whatever_we_do_not_refuse(
    rig_lane: Lane, dialect: str, kind: str, data: st.DataObject
) -> None:
    try:
        made = written(rig_lane, data.draw(specs(dialect, kind)), dialect)
    except SpecError:
        return
    assert refusals(rig_lane, made) == []


def test_the_server_takes_sidecars_and_whatever_a_pod_may_have(rig_lane: Lane) -> None:
    pod = {
        "serviceAccountName": "trainer",
        "affinity": {"podAntiAffinity": {}},
        "initContainers": [{"name": "fetch", "image": "a:1"}],
        "containers": [
            {"name": "side", "image": "a:1"},
            {"name": "main", "ports": [{"containerPort": 80}]},
        ],
    }
    raw = {"kubernetes": {"spec": {"template": {"spec": pod}}}}
    assert refusals(rig_lane, written(rig_lane, {"raw": raw}, "kai")) == []


def test_a_typing_mistake_in_raw_is_named_by_its_path(rig_lane: Lane) -> None:
    raw = {"kubernetes": {"spec": {"template": {"spec": {"serviceAcountName": "x"}}}}}
    (refusal,) = refusals(rig_lane, written(rig_lane, {"raw": raw}, "plain"))
    assert 'unknown field "spec.template.spec.serviceAcountName"' in refusal


@pytest.mark.parametrize(("dialect", "kind"), [(d, k) for d, k in PAIRS if d != "runai"])
def test_what_is_written_runs_to_its_end(rig_lane: Lane, dialect: str, kind: str) -> None:
    source = {"command": COMPLETE} if kind == "Job" else {**SEVERAL, "command": GANG}
    # The stock scheduler and KAI would look beyond the lane.
    raw = _on_node(kind, rig_lane.node_selector)
    base = f"{dialect}-{kind.lower()}-0123456789"
    made = written(rig_lane, {**source, "raw": {"kubernetes": raw}}, dialect, base)
    api = rig_lane.cluster.api
    created = post(api, made.workload)
    path = f"{GROUPS[kind].format(rig_lane.namespace)}/{created['metadata']['name']}"
    until(lambda: _ends(api.get(path)), f"the end of {path}")
    assert _ends(api.get(path)) & {"Complete", "Completed"}


def _on_node(kind: str, selector: dict[str, str]) -> Object:
    job = {"spec": {"template": {"spec": {"nodeSelector": selector}}}}
    if kind == "Job":
        return job
    return {
        "spec": {
            "replicatedJobs": [{"name": name, "template": job} for name in ("master", "worker")]
        }
    }


def _ends(found: Object) -> set[str]:
    """Return the conditions that a Job or JobSet ends with."""
    conditions = (found.get("status") or {}).get("conditions") or []
    true = {condition["type"] for condition in conditions if condition["status"] == "True"}
    return true & {"Complete", "Completed", "Failed"}
