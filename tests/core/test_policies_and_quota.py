"""What a policy would refuse, and how many GPUs are asked for and allowed."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.core.policies import breaches
from airflow_runai.core.quota import Quota, gpus_guaranteed, gpus_requested
from airflow_runai.core.spec import WorkloadSpec

GPUS = {"compute": {"gpuDevicesRequest": {"min": 1, "max": 4}}}


@pytest.mark.parametrize(
    ("rules", "spec", "says"),
    [
        (
            GPUS,
            {"compute": {"gpuDevicesRequest": 5}},
            "spec.compute.gpuDevicesRequest: 5; the policy allows at most 4",
        ),
        (GPUS, {"compute": {"gpuDevicesRequest": 0}}, "the policy allows 1 or more"),
        (
            {"compute": {"cpuMemoryRequest": {"max": "16Gi"}}},
            {"compute": {"cpuMemoryRequest": "17179869185"}},
            "16Gi",
        ),
        ({"image": {"required": True}}, {}, "spec.image: missing; the policy requires it"),
        ({"image": {"canEdit": False}}, {"image": "x"}, "the policy lets no one change it"),
        (
            {"priorityClass": {"options": [{"value": "low"}, {"value": "high"}]}},
            {"priorityClass": "top"},
            "low, high",
        ),
        (
            {"tolerations": {"instances": {"canAdd": False}}},
            {"tolerations": [{}]},
            "lets no one add any",
        ),
        ({"worker": GPUS}, {"compute": {"gpuDevicesRequest": 5}}, "at most 4"),
    ],
)
def test_broken_rule_is_named(rules: dict[str, Any], spec: dict[str, Any], says: str) -> None:
    (sentence,) = breaches({"rules": rules}, spec)
    assert says in sentence


@pytest.mark.parametrize(
    ("policy", "spec"),
    [
        ({}, {"image": "x"}),
        ({"rules": None, "defaults": None}, {"image": "x"}),
        ({"rules": GPUS}, {"compute": {"gpuDevicesRequest": 4}}),
        ({"rules": GPUS}, {}),
        ({"rules": {"image": {"required": True}}, "defaults": {"image": "y"}}, {}),
        ({"rules": {"image": {"canEdit": False}}, "defaults": {"image": "x"}}, {"image": "x"}),
        (
            {"rules": {"compute": {"cpuMemoryRequest": {"max": "16Gi"}}}},
            {"compute": {"cpuMemoryRequest": "16G"}},
        ),
        (
            {"rules": {"compute": {"cpuMemoryRequest": {"max": "a lot"}}}},
            {"compute": {"cpuMemoryRequest": "16G"}},
        ),
        ({"rules": {"image": {"aRuleOfTomorrow": 3}, "x": 3, "y": [1]}}, {"image": "x"}),
        ({"rules": {"largeShm": {"max": 0}}}, {"largeShm": True}),
    ],
)
def test_what_is_allowed_or_unknown_is_no_breach(
    policy: dict[str, Any], spec: dict[str, Any]
) -> None:
    assert breaches(policy, spec) == []


@pytest.mark.parametrize(
    ("more", "gpus"),
    [
        ({}, 0.0),
        ({"compute": {"gpu_devices": 2}}, 2.0),
        ({"compute": {"gpu_portion": 0.5}}, 0.5),
        ({"compute": {"gpu_memory": "10G"}}, None),
        ({"compute": {"gpu_devices": 2}, "parallelism": 3, "completions": 9}, 6.0),
        (
            {"compute": {"gpu_devices": 2}, "distributed": {"framework": "PyTorch", "workers": 3}},
            8.0,
        ),
        (
            {
                "compute": {"gpu_devices": 2},
                "distributed": {
                    "framework": "MPI",
                    "workers": 3,
                    "master": {"compute": {"gpu_devices": 0}},
                },
            },
            6.0,
        ),
    ],
)
def test_gpus_of_all_pods_count(more: dict[str, Any], gpus: float | None) -> None:
    assert gpus_requested(WorkloadSpec.from_mapping({"image": "x", **more})) == gpus


@pytest.mark.parametrize(
    ("resources", "quota"),
    [
        ([{"gpu": {"deserved": 2, "limit": -1}}], Quota(2.0, None)),
        (
            [{"gpu": {"deserved": 2, "limit": 4}}, {"gpu": {"deserved": 1.5, "limit": 4}}],
            Quota(3.5, 8.0),
        ),
        ([{"gpu": {"deserved": -1, "limit": 4}}, {"gpu": {"limit": -1}}], Quota(None, None)),
        ([{"gpu": None}, {}, 3], Quota(None, None)),
        (None, Quota(None, None)),
    ],
)
def test_quota_is_that_of_all_node_pools_together(resources: Any, quota: Quota) -> None:
    assert Quota.from_wire({"resources": resources}) == quota


ELASTIC = {"framework": "PyTorch", "workers": 4}


@pytest.mark.parametrize(
    ("preemptibility", "more", "gpus"),
    [
        (None, {}, 0),
        ("preemptible", {"distributed": ELASTIC}, 0),
        ("non-preemptible", {"distributed": {**ELASTIC, "min_replicas": 1}}, 10),
        ("semi-preemptible", {}, 2),
        ("semi-preemptible", {"distributed": ELASTIC}, 10),
        ("semi-preemptible", {"distributed": {**ELASTIC, "min_replicas": 1}}, 4),
        ("semi-preemptible", {"distributed": {**ELASTIC, "min_replicas": 9}}, 10),
        ("semi-preemptible", {"compute": {"gpu_memory": "10G"}}, None),
    ],
)
def test_what_it_needs_at_least_must_fit_into_the_quota(
    preemptibility: str | None, more: dict[str, Any], gpus: float | None
) -> None:
    spec = {"image": "x", "compute": {"gpu_devices": 2}, "preemptibility": preemptibility, **more}
    assert gpus_guaranteed(WorkloadSpec.from_mapping(spec)) == gpus
