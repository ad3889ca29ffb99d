"""``raw.kubernetes``: merged last, by name, and never into what waiting relies on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_runai.errors import SpecError
from tests.core.manifests.requests import KINDS, SEVERAL, pods, problems, workload


def patched(pod: dict[str, Any], **source: Any) -> dict[str, Any]:
    raw = {"kubernetes": {"spec": {"template": {"spec": pod}}}}
    (template,) = pods(workload({**source, "raw": raw}))
    found: dict[str, Any] = template["spec"]
    return found


def test_a_pod_has_what_users_of_other_operators_expect() -> None:
    affinity: dict[str, Any] = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}
        }
    }
    pod = patched(
        {
            "serviceAccountName": "trainer",
            "nodeSelector": {"zone": "a"},
            "affinity": affinity,
            "initContainers": [{"name": "fetch", "image": "a:1"}],
        },
        node_type="dgx",
    )
    assert pod["serviceAccountName"] == "trainer"
    assert pod["nodeSelector"] == {"zone": "a", "example.com/gpu": "dgx"}
    assert pod["affinity"] == affinity
    assert pod["initContainers"] == [{"name": "fetch", "image": "a:1"}]


def test_the_end_of_the_training_is_the_end_of_the_pod() -> None:
    containers = [
        {"name": "log-shipper", "image": "a:1"},
        {"name": "main", "imagePullPolicy": "Always"},
    ]
    pod = patched({"containers": containers, "initContainers": [{"name": "fetch", "image": "b:1"}]})
    (main,) = pod["containers"]
    assert (main["name"], main["image"], main["imagePullPolicy"]) == (
        "main",
        "registry.example/train:1",
        "Always",
    )
    fetch, shipper = pod["initContainers"]
    assert fetch == {"name": "fetch", "image": "b:1"}
    assert shipper == {"name": "log-shipper", "image": "a:1", "restartPolicy": "Always"}


def test_lists_are_merged_by_what_names_their_entries() -> None:
    main = {
        "name": "main",
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "volumeMounts": [{"name": "pvc-0", "mountPath": "/more"}],
    }
    storage = {"pvc": [{"claim": "c", "path": "/c"}]}
    pod = patched({"containers": [main]}, environment={"A": "1"}, storage=storage)
    (container,) = pod["containers"]
    (variable,) = [entry for entry in container["env"] if entry["name"] == "A"]
    assert variable == main["env"][0]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/c", "/more"]


def test_a_null_removes() -> None:
    assert "schedulerName" not in patched({"schedulerName": None})


def test_members_of_a_gang_are_patched_by_name() -> None:
    template = {"spec": {"template": {"spec": {"nodeName": "node-0"}}}}
    raw = {"kubernetes": {"spec": {"replicatedJobs": [{"name": "master", "template": template}]}}}
    master, worker = pods(workload({**SEVERAL, "raw": raw}))
    assert master["spec"]["nodeName"] == "node-0"
    assert "nodeName" not in worker["spec"]
    assert master["spec"]["restartPolicy"] == "Never"


JOB_POD = "spec.template.spec"
GANG_JOB = "spec.replicatedJobs.template.spec"


@pytest.mark.parametrize(
    ("patch", "places"),
    [
        ({"kind": "CronJob"}, ["kind"]),
        ({"metadata": {"name": "x", "labels": {"airflow-runai/identity": "x", "team": "a"}}}, ["metadata.labels.airflow-runai/identity", "metadata.name"]),
        ({"metadata": {"labels": None}}, ["metadata.labels"]),
        ({"spec": {"activeDeadlineSeconds": 60}}, ["spec.activeDeadlineSeconds"]),
        ({"spec": {"podFailurePolicy": {"rules": []}, "suspend": True}}, ["spec.podFailurePolicy.rules", "spec.suspend"]),
        ({"spec": None}, ["spec"]),
        ({"spec": [{"paused": True}]}, ["spec"]),
        ({"spec": {"template": {"spec": {"restartPolicy": "OnFailure"}}}}, [f"{JOB_POD}.restartPolicy"]),
    ],
)  # fmt: skip
def test_what_waiting_relies_on_stays(patch: dict[str, Any], places: list[str]) -> None:
    found = problems({"raw": {"kubernetes": patch}})
    assert [problem.partition(": ")[0] for problem in found] == [
        f"spec.raw.kubernetes.{p}" for p in places
    ]
    assert all("; leave it out" in problem for problem in found)


def test_the_same_holds_in_a_gang() -> None:
    jobs = [{"name": "worker", "replicas": 9, "template": {"spec": {"backoffLimit": 3}}}]
    patch = {"spec": {"failurePolicy": {"maxRestarts": 1}, "replicatedJobs": jobs}}
    found = problems({**SEVERAL, "raw": {"kubernetes": patch}})
    assert [problem.partition(": ")[0] for problem in found] == [
        "spec.raw.kubernetes.spec.failurePolicy.maxRestarts",
        "spec.raw.kubernetes.spec.replicatedJobs.replicas",
        f"spec.raw.kubernetes.{GANG_JOB}.backoffLimit",
    ]


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        ("text", ": a str; allowed: fields of the Job, as in a manifest"),
        ({"spec": {"template": {"spec": {"containers": ["main"]}}}}, f".{JOB_POD}.containers: allowed: a list of mappings, each with 'name'"),
        ({"spec": {"template": {"spec": {"containers": None}}}}, f".{JOB_POD}.containers: allowed: a list of mappings, each with 'name'"),
        ({"spec": {"template": {"spec": {"volumes": [{"emptyDir": {}}]}}}}, f".{JOB_POD}.volumes: allowed: a list of mappings, each with 'name'"),
        ({"spec": {"template": {"spec": {"containers": {"name": "main"}}}}}, f".{JOB_POD}.containers: allowed: a list of mappings, each with 'name'"),
        ({"spec": {"template": {"spec": {"initContainers": "x"}}}}, f".{JOB_POD}.initContainers: allowed: a list of mappings, each with 'name'"),
    ],
)  # fmt: skip
def test_a_patch_of_another_form_is_refused(patch: Any, sentence: str) -> None:
    assert problems({"raw": {"kubernetes": patch}}) == (f"spec.raw.kubernetes{sentence}",)


def test_fields_of_the_other_platform_are_refused() -> None:
    (problem,) = problems({"raw": {"stdin": True, "kubernetes": {}}})
    assert problem.startswith(
        "spec.raw: the keys stdin, kubernetes; allowed: the key 'kubernetes' alone"
    )


def test_a_gang_has_no_other_members() -> None:
    patch = {
        "spec": {"replicatedJobs": [{"name": "worker", "groupName": "x"}, {"name": "evaluator"}]}
    }
    assert problems({**SEVERAL, "raw": {"kubernetes": patch}}) == (
        "spec.raw.kubernetes.spec.replicatedJobs[1].name: 'evaluator'; allowed: master and worker",
    )


def test_a_label_may_be_called_like_a_list() -> None:
    metadata = {"labels": {"env": "prod"}, "annotations": {"ports": "none"}}
    made = workload({"raw": {"kubernetes": {"metadata": metadata, "spec": {}}}})
    assert made["metadata"]["labels"]["env"] == "prod"


WORDS = (
    "spec template metadata labels containers initContainers env volumes volumeMounts replicatedJobs name "
    "mountPath main worker image suspend restartPolicy x"
)
NAMES = st.sampled_from(WORDS.split())
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), NAMES),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)


@pytest.mark.parametrize("source", KINDS.values(), ids=KINDS)
@given(
    patch=st.one_of(
        JSON,
        st.fixed_dictionaries(
            {"spec": st.fixed_dictionaries({"template": JSON, "replicatedJobs": JSON})}
        ),
    )
)
@example(patch={"spec": {"replicatedJobs": [{"name": "worker"}]}})
@example(patch={"labels": {"containers": [None]}})
@example(patch={"labels": {"mine": {"containers": [None]}}})
def test_any_patch_is_merged_or_refused(source: dict[str, Any], patch: Any) -> None:
    try:
        made = workload({**source, "raw": {"kubernetes": patch}})
    except SpecError:
        return
    for pod in pods(made):
        (main,) = pod["spec"]["containers"]
        assert (main["name"], pod["spec"]["restartPolicy"]) == ("main", "Never")
