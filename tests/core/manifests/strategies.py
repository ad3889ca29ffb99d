"""
Random specifications, built from the specification's own tables: each field has a strategy by its path.

Values are such that one platform or another can express them; combinations may still be refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any

from hypothesis import strategies as st

from airflow_runai.core.fields import Part, Parts, declared
from airflow_runai.core.manifests import REFUSALS
from airflow_runai.core.spec import WorkloadSpec
from tests.core.manifests.fields import covers

Strategy = st.SearchStrategy[Any]

NAME = st.sampled_from(["data", "a", "my-claim.v2", "x1"])
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20
)
WORD = TEXT.filter(str.strip)
PATH = st.sampled_from(["/a", "/mnt/data", "/a/b c", "/d"])
SIZE = st.sampled_from(["1", "10G", "500M", "5K", "3ki", "1.5Gi", "250m", "2T"])
BYTES = st.sampled_from(["1", "10G", "500M", "5K", "3ki", "2T"])
QUOTED = st.sampled_from(
    ["./startup.sh", "python train.py --x 'a b'", 'bash -c "echo $(HOME) $$"', "a"]
)
KEY = st.sampled_from(["team", "example.com/note", "a.b_c-d"])
VARIABLE = st.one_of(
    TEXT,
    st.integers(),
    st.booleans(),
    st.fixed_dictionaries({"secret": st.fixed_dictionaries({"name": NAME, "key": NAME})}),
    st.fixed_dictionaries({"config_map": st.fixed_dictionaries({"name": NAME, "key": NAME})}),
    st.sampled_from([{"pod_field": "status.podIP"}, {"pod_field": "metadata.labels['a/b']"}]),
)
SIDECAR = {"name": "side", "image": "a:1"}
PATCH = st.sampled_from(
    [
        {},
        {"metadata": {"annotations": {"note": "x"}, "finalizers": None}},
    ]
)

#: Of each field; lists and parts are made of those of their entries.
FIELDS: dict[str, Strategy] = {
    "image": st.sampled_from(["a:1", "registry.example/train@sha256:0", "x"]),
    "image_pull_policy": st.sampled_from(["Always", "Never", "IfNotPresent"]),
    "image_pull_secrets": st.lists(NAME, max_size=2),
    "command": QUOTED,
    "args": QUOTED,
    "working_dir": PATH,
    "environment": st.dictionaries(st.sampled_from(["A", "JOB_NAME", "a.b-c", "_x"]), VARIABLE, max_size=3),
    "compute.gpu_devices": st.integers(0, 8),
    "compute.gpu_portion": st.floats(0, 1, exclude_min=True),
    "compute.gpu_portion_limit": st.just(0.5),
    "compute.gpu_memory": SIZE,
    "compute.gpu_memory_limit": SIZE,
    "compute.cpu_cores": st.floats(0, 1e9, exclude_min=True),
    "compute.cpu_cores_limit": st.floats(0, 1e9, exclude_min=True),
    "compute.cpu_memory": SIZE,
    "compute.cpu_memory_limit": SIZE,
    "compute.large_shm": st.booleans(),
    "compute.extended_resources": st.dictionaries(st.sampled_from(["rdma/hca", "nvidia.com/mig-1g.5gb"]), st.integers(0, 9), max_size=2),
    "storage.pvc[].claim": NAME,
    "storage.pvc[].path": PATH,
    "storage.pvc[].existing": st.booleans(),
    "storage.pvc[].read_only": st.booleans(),
    "storage.pvc[].ephemeral": st.booleans(),
    "storage.pvc[].size": BYTES,
    "storage.pvc[].storage_class": NAME,
    "storage.pvc[].access_mode": st.sampled_from(["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"]),
    "storage.nfs[].path": PATH,
    "storage.nfs[].mount_path": PATH,
    "storage.nfs[].server": NAME,
    "storage.nfs[].read_only": st.booleans(),
    "storage.host_path[].path": PATH,
    "storage.host_path[].mount_path": PATH,
    "storage.host_path[].read_only": st.booleans(),
    "storage.host_path[].mount_propagation": st.sampled_from(["None", "HostToContainer"]),
    "storage.git[].repository": st.sampled_from(["https://git.example/x", "git@host:x/$y"]),
    "storage.git[].path": PATH,
    "storage.git[].branch": WORD,
    "storage.git[].revision": WORD,
    "storage.git[].secret": NAME,
    "storage.s3[].bucket": NAME,
    "storage.s3[].path": PATH,
    "storage.s3[].url": st.just("https://s3"),
    "storage.s3[].secret": NAME,
    "storage.config_map[].name": NAME,
    "storage.config_map[].mount_path": PATH,
    "storage.config_map[].sub_path": st.sampled_from(["a", "a/b", "..a"]),
    "storage.secret[].name": NAME,
    "storage.secret[].mount_path": PATH,
    "storage.data_volume[].id": NAME,
    "storage.data_volume[].mount_path": PATH,
    "storage.empty_dir[].path": PATH,
    "storage.empty_dir[].medium": st.just("Memory"),
    "storage.empty_dir[].size_limit": BYTES,
    "preemptibility": st.sampled_from(["preemptible", "semi-preemptible", "non-preemptible"]),
    "priority": st.sampled_from(["train", "build", "low"]),
    "node_pools": st.lists(st.sampled_from(["default", "a100"]), max_size=2),
    "node_type": st.sampled_from(["dgx", "A100_80.x"]),
    "tolerations[].name": WORD,
    "tolerations[].key": KEY,
    "tolerations[].operator": st.sampled_from(["Equal", "Exists"]),
    "tolerations[].value": NAME,
    "tolerations[].effect": st.sampled_from(["NoSchedule", "NoExecute", "PreferNoSchedule", "Any"]),
    "tolerations[].seconds": st.integers(0, 2**33),
    "backoff_limit": st.integers(0, 2**33),
    "restart_policy": st.just("Never"),
    "termination_grace_period": st.integers(0, 2**33),
    "terminate_after_preemption": st.booleans(),
    "auto_deletion": st.integers(0, 2**33),
    "completions": st.integers(1, 2**21),
    "parallelism": st.integers(1, 2**18),
    "security.run_as_uid": st.integers(0, 2**33),
    "security.run_as_gid": st.integers(0, 2**33),
    "security.run_as_non_root": st.booleans(),
    "security.supplemental_groups": st.sampled_from(["1", "2, 3", "0"]),
    "security.uid_gid_source": st.sampled_from(["fromTheImage", "custom"]),
    "security.capabilities": st.lists(st.sampled_from(["SYS_PTRACE", "IPC_LOCK"]), max_size=2),
    "security.allow_privilege_escalation": st.booleans(),
    "security.read_only_root": st.booleans(),
    "security.seccomp_profile": st.sampled_from(["RuntimeDefault", "Unconfined"]),
    "security.host_ipc": st.booleans(),
    "security.host_network": st.booleans(),
    "labels": st.dictionaries(KEY, st.sampled_from(["", "a", "A.b_c"]), max_size=2),
    "annotations": st.dictionaries(KEY, TEXT, max_size=2),
    "create_home_dir": st.booleans(),
    "distributed.framework": st.just("PyTorch"),
    "distributed.workers": st.integers(1, 2**14),
    "distributed.min_replicas": st.integers(1, 3),
    "distributed.max_replicas": st.integers(1, 3),
    "distributed.slots_per_worker": st.integers(1, 3),
    "distributed.clean_pod_policy": st.just("All"),
    "distributed.master": st.deferred(lambda: masters()),
    "template_id": NAME,
    "raw": st.fixed_dictionaries({"kubernetes": PATCH}),
}  # fmt: skip
#: Without these no other part makes sense.
REQUIRED = {"image", "distributed.framework", "distributed.workers"}
#: What belongs to all pods of a gang.
_ONCE = {row.field.removeprefix("distributed.master.") for row in REFUSALS if row.code == "master"}


def specs(dialect: str, kind: str) -> Strategy:
    """Return specifications without the fields that a dialect refuses in every case."""
    refused = {row.field for row in REFUSALS if row.is_total and dialect in row.dialects}
    out = {"completions", "parallelism"} if kind == "JobSet" else {"distributed"}
    return _mappings(WorkloadSpec, "", refused | out, 6, {"distributed"})


def masters() -> Strategy:
    """Return what a master may differ in."""
    out = _ONCE | {"distributed", "template_id", "storage.s3", "storage.data_volume"}
    return _mappings(WorkloadSpec, "", out, 3, {"image"})


def _mappings(
    cls: type, prefix: str, out: set[str], most: int, always: AbstractSet[str] = frozenset()
) -> Strategy:
    fields = dict(_strategies(cls, prefix, out))
    required = {
        name: field for name, field in fields.items() if f"{prefix}{name}" in REQUIRED | always
    }
    optional = {name: field for name, field in fields.items() if name not in required}
    chosen = (
        st.lists(st.sampled_from(sorted(optional)), unique=True, max_size=most)
        if optional
        else st.just([])
    )
    return chosen.flatmap(
        lambda names: st.fixed_dictionaries(
            {**required, **{name: optional[name] for name in names}}
        )
    )


def _strategies(cls: type, prefix: str, out: set[str]) -> Iterator[tuple[str, Strategy]]:
    for name, item in declared(cls).items():
        path, check = f"{prefix}{name}", item.metadata["check"]
        if any(covers(field, path) for field in out):
            continue
        if isinstance(check, Parts):
            entries = _mappings(check.cls, f"{path}[].", out, 9)
            yield name, st.lists(entries.filter(bool), min_size=1, max_size=2)
        elif isinstance(check, Part):
            yield name, _mappings(check.cls, f"{path}.", out, 4)
        else:
            yield name, FIELDS[path]
