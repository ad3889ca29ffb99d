"""What a platform cannot express: each row of the table speaks, offline and to lint."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.core.manifests import DIALECTS, REFUSALS, ClusterTerms, refused
from tests.core.manifests.requests import problems

_GANG = {"framework": "PyTorch", "workers": 1}
#: For each row, by code and field, a specification that hits it.
HITS: dict[tuple[str, str], dict[str, Any]] = {
    ("gpu-share", "compute.gpu_portion"): {"compute": {"gpu_portion": 0.5}},
    ("gpu-share", "compute.gpu_memory"): {"compute": {"gpu_memory": "1G"}},
    ("gpu-limit", "compute.gpu_portion_limit"): {"compute": {"gpu_portion_limit": 0.5}},
    ("gpu-limit", "compute.gpu_memory_limit"): {"compute": {"gpu_memory_limit": "1G"}},
    ("semi-preemptible", "preemptibility"): {"preemptibility": "semi-preemptible"},
    ("non-preemptible", "preemptibility"): {"preemptibility": "non-preemptible"},
    ("one-node-pool", "node_pools"): {"node_pools": ["a", "b"]},
    ("no-node-pools", "node_pools"): {"node_pools": ["a"]},
    ("node-type-label", "node_type"): {"node_type": "dgx"},
    ("priority-word", "priority"): {"priority": "high"},
    ("restart-policy", "restart_policy"): {"restart_policy": "OnFailure"},
    ("git-image", "storage.git"): {"storage": {"git": [{"repository": "r", "path": "/s"}]}},
    ("git-secret", "storage.git[].secret"): {"storage": {"git": [{"repository": "r", "path": "/s", "secret": "x"}]}},
    ("s3", "storage.s3"): {"storage": {"s3": [{"bucket": "b", "path": "/b"}]}},
    ("data-volume", "storage.data_volume"): {"storage": {"data_volume": [{"id": "d", "mount_path": "/d"}]}},
    ("credential", "environment.*.credential"): {"environment": {"A": {"credential": {"name": "n", "key": "k"}}}},
    ("template-id", "template_id"): {"template_id": "t"},
    ("user-of-token", "security.uid_gid_source"): {"security": {"uid_gid_source": "fromIdpToken"}},
    ("seccomp-profile", "security.seccomp_profile"): {"security": {"seccomp_profile": "Localhost"}},
    ("raw-of-rest", "raw"): {"raw": {"stdin": True}},
    ("framework", "distributed.framework"): {"distributed": {**_GANG, "framework": "JAX"}},
    ("elastic", "distributed.min_replicas"): {"distributed": {**_GANG, "min_replicas": 1}},
    ("elastic", "distributed.max_replicas"): {"distributed": {**_GANG, "max_replicas": 2}},
    ("slots", "distributed.slots_per_worker"): {"distributed": {**_GANG, "slots_per_worker": 1}},
    ("clean-pods", "distributed.clean_pod_policy"): {"distributed": {**_GANG, "clean_pod_policy": "All"}},
}  # fmt: skip
MASTER = {
    "auto_deletion": 60,
    "backoff_limit": 1,
    "node_pools": ["a"],
    "preemptibility": "preemptible",
    "priority": "train",
    "raw": {"kubernetes": {}},
    "terminate_after_preemption": True,
}
HITS |= {
    ("master", f"distributed.master.{name}"): {"distributed": {**_GANG, "master": {name: value}}}
    for name, value in MASTER.items()
}
#: The check of the specification itself refuses these in a master.
ELSEWHERE = {"distributed.master.completions", "distributed.master.parallelism"}


def test_every_row_has_a_specification_that_hits_it() -> None:
    assert {(row.code, row.field) for row in REFUSALS} == set(HITS) | {
        ("master", f) for f in ELSEWHERE
    }


@pytest.mark.parametrize(("code", "field"), HITS)
def test_a_row_refuses_in_its_dialects_and_in_no_other(code: str, field: str) -> None:
    source = {"image": "a:1", **HITS[code, field]}
    (row,) = (row for row in REFUSALS if (row.code, row.field) == (code, field))
    for dialect in DIALECTS:
        hits = [hit.code for hit in refused(source, dialect, ClusterTerms())]
        assert (code in hits) == (dialect in row.dialects), dialect


@pytest.mark.parametrize(("code", "field"), HITS)
def test_a_refusal_says_place_value_what_is_allowed_and_what_to_do(code: str, field: str) -> None:
    (row,) = (row for row in REFUSALS if (row.code, row.field) == (code, field))
    found = problems(HITS[code, field], row.dialects[-1], terms=ClusterTerms())
    place = f"spec.{field.replace('[]', '[0]').replace('*', 'A')}: "
    (sentence,) = (problem for problem in found if problem.endswith(row.allowed))
    assert sentence.startswith(place)
    assert "; allowed: " in sentence
    assert len(sentence) > len(place) + len("; allowed: ") + len(row.allowed)


def test_lint_can_ask_before_values_and_cluster_are_known() -> None:
    source = {
        "compute": {"gpu_portion": "{{ params.share }}", "gpu_memory": "{{ params.memory }}"},
        "restart_policy": "{{ params.policy }}",
        "node_type": "dgx",
        "priority": "high",
        "storage": {"git": [{"repository": "r"}], "s3": "{{ params.buckets }}"},
    }
    assert [hit.code for hit in refused(source, "plain")] == ["gpu-share", "s3"]
    assert [hit.code for hit in refused({"storage": None, "distributed": "x"}, "kai")] == []


def test_all_refusals_and_all_mistakes_are_told_at_once() -> None:
    source = {"template_id": "t", "args": "'open", "storage": {"nfs": [{"path": "/x"}]}}
    assert [problem.partition(":")[0] for problem in problems(source, namespace="Team A")] == [
        "namespace",
        "spec.template_id",
        "spec.args",
        "spec.storage.nfs[0].server",
        "spec.storage.nfs[0].mount_path",
    ]


def test_a_refusal_shows_no_secret() -> None:
    secret = "hunter2-Zq9xK7vB"
    git = [{"repository": f"https://u:{secret}@x/y", "path": "/s", "secret": "s"}]
    source = {
        "storage": {"git": git},
        "raw": {"password": secret},
        "template_id": f"token={secret}",
    }
    found = problems(source, terms=ClusterTerms())
    assert len(found) == 4
    assert not any(secret in sentence for sentence in found)
