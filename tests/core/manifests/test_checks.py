"""What Kubernetes would refuse later, in its own words or in silence, is said before, by its place."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.manifests.requests import problems, workload

NFS = {"server": "s", "path": "/x", "mount_path": "/m"}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "open quote": ({"command": "sh -c 'x"}, ".command: a quote is open"),
    "image with blanks": ({"image": " a:1"}, ".image: ' a:1'; allowed: without blanks"),
    "label value": ({"labels": {"note": "two words"}}, ".labels.note: 'two words'; allowed: at most 63"),
    "label key": ({"labels": {"a b": "x"}}, ".labels.a b: no name of a label"),
    "label of ours": ({"labels": {"airflow-runai/try": "9"}}, ".labels.airflow-runai/try: written by the provider"),
    "label of the queue": ({"labels": {"kai.scheduler/queue": "x"}}, ".labels.kai.scheduler/queue: written by"),
    "annotation of the share": ({"annotations": {"gpu-fraction": "0.5"}}, ".annotations.gpu-fraction: written by"),
    "annotations too large": ({"annotations": {"a": "x" * 200_000}}, ".annotations: 200001 bytes in all; allowed"),
    "field of the pod": ({"environment": {"A": {"pod_field": "spec.containers"}}}, ".environment.A.pod_field: 'spec.containers'; allowed"),
    "key of a secret": ({"environment": {"A": {"secret": {"name": "s", "key": "a/b"}}}}, ".environment.A.secret.key: 'a/b'; allowed"),
    "priority": ({"priority": "No Class"}, ".priority: 'No Class'; allowed: the name of a priority class"),
    "node pool": ({"node_pools": ["a b"]}, ".node_pools: ('a b',); allowed: the name of a node pool"),
    "node type": ({"node_type": "a b"}, ".node_type: 'a b'; allowed"),
    "gpu twice": ({"compute": {"extended_resources": {"nvidia.com/gpu": 1}}}, ".compute.extended_resources.nvidia.com/gpu: '1'; allowed: in gpu_devices"),
    "part of a device": ({"compute": {"extended_resources": {"x.com/y": "500m"}}}, ".compute.extended_resources.x.com/y: '500m'; allowed: a whole"),
    "device without domain": ({"compute": {"extended_resources": {"gpu": 1}}}, ".compute.extended_resources.gpu: no name of a device"),
    "no memory": ({"compute": {"gpu_memory": "0"}}, ".compute.gpu_memory: '0'; allowed: more than nothing"),
    "more than the limit": ({"compute": {"cpu_memory": "2Gi", "cpu_memory_limit": "2G"}}, ".compute.cpu_memory: 2Gi; allowed: at most cpu_memory_limit, which is 2G"),
    "more cores than the limit": ({"compute": {"cpu_cores": 2, "cpu_cores_limit": 1}}, ".compute.cpu_cores: 2; allowed: at most cpu_cores_limit, which is 1"),
    "claim without name": ({"storage": {"pvc": [{"path": "/c"}]}}, ".storage.pvc[0].claim: missing; allowed"),
    "new claim without size": ({"storage": {"pvc": [{"path": "/c", "storage_class": "fast"}]}}, ".storage.pvc[0].size: missing; allowed"),
    "new claim of nothing": ({"storage": {"pvc": [{"path": "/c", "size": "0"}]}}, ".storage.pvc[0].size: 0; allowed"),
    "claim's name": ({"storage": {"pvc": [{"path": "/c", "claim": "My_Claim"}]}}, ".storage.pvc[0].claim: 'My_Claim'; allowed"),
    "no mount path": ({"storage": {"nfs": [{"server": "s", "path": "/x"}]}}, ".storage.nfs[0].mount_path: missing"),
    "path upwards": ({"storage": {"host_path": [{"path": "/a/../b", "mount_path": "/m"}]}}, ".storage.host_path[0].path: '/a/../b'; allowed"),
    "absolute entry": ({"storage": {"config_map": [{"name": "m", "mount_path": "/m", "sub_path": "/a"}]}}, ".storage.config_map[0].sub_path: '/a'; allowed"),
    "mount with colon": ({"storage": {"empty_dir": [{"path": "/a:b"}]}}, ".storage.empty_dir[0].path: '/a:b'; allowed: a path without ':'"),
    "shared memory twice": ({"compute": {"large_shm": True}, "storage": {"empty_dir": [{"path": "/dev/shm"}]}}, ".storage.empty_dir[0].path: /dev/shm has 2 mounts"),
    "two mounts": ({"storage": {"nfs": [NFS, NFS]}}, ".storage.nfs[0].mount_path: /m has 2 mounts; allowed: one"),
    "toleration without key": ({"tolerations": [{"operator": "Equal"}]}, ".tolerations[0].key: missing; allowed"),
    "toleration of a bad key": ({"tolerations": [{"key": "a b"}]}, ".tolerations[0].key: 'a b'; allowed: the key of a taint"),
    "value for exists": ({"tolerations": [{"key": "a", "operator": "Exists", "value": "x"}]}, ".tolerations[0].value: 'x'; allowed: none"),
    "value of no taint": ({"tolerations": [{"key": "a", "value": "a b"}]}, ".tolerations[0].value: 'a b'; allowed: the value"),
    "seconds without execution": ({"tolerations": [{"key": "a", "seconds": 5}]}, ".tolerations[0].seconds: 5; allowed: only with"),
    "groups": ({"security": {"supplemental_groups": "1,users"}}, ".security.supplemental_groups: 'users'; allowed: group ids"),
    "user too large": ({"security": {"run_as_uid": 2**31}}, ".security.run_as_uid: 2147483648; allowed: at most 2147483647"),
    "completions": ({"completions": 10**7}, ".completions: 10000000; allowed: at most 1000000"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_named(case: str) -> None:
    source, beginning = CASES[case]
    assert problems(source)[0].startswith(f"spec{beginning}")


def test_a_label_of_another_scheduler_is_the_authors_own() -> None:
    made = workload({"labels": {"kai.scheduler/queue": "x"}}, "plain")
    assert made["metadata"]["labels"]["kai.scheduler/queue"] == "x"


def test_a_queue_that_is_no_name_is_refused() -> None:
    assert problems({}, queue="two words") == (
        "project: 'two words'; allowed: the name of a queue",
    )


def test_an_object_that_no_server_takes_is_refused() -> None:
    (problem,) = problems({"environment": {"A": "ä" * 600_000}})
    assert problem.endswith("bytes as a Job; allowed: 1048576; put it in a file")
