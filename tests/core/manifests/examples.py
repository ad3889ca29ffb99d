"""For each field of a specification two that differ in it alone."""

from __future__ import annotations

from typing import Any

Spec = dict[str, Any]


def _part(part: str, **values: tuple[Any, Any]) -> dict[str, tuple[Spec, Spec]]:
    return {
        f"{part}.{name}": ({part: {} if one is None else {name: one}}, {part: {name: other}})
        for name, (one, other) in values.items()
    }


def _entries(kind: str, base: Spec, **values: Any) -> dict[str, tuple[Spec, Spec]]:
    """Return pairs for a kind of data source: the base, and the base with one other value."""
    return {
        f"storage.{kind}[].{name}": (
            {"storage": {kind: [base]}},
            {"storage": {kind: [{**base, name: value}]}},
        )
        for name, value in values.items()
    }


def _toleration(name: str, base: Spec, value: Any) -> dict[str, tuple[Spec, Spec]]:
    pair = ({"tolerations": [base]}, {"tolerations": [{**base, name: value}]})
    return {f"tolerations[].{name}": pair}


def _plain(**values: tuple[Any, Any]) -> dict[str, tuple[Spec, Spec]]:
    return {
        name: ({} if one is None else {name: one}, {name: other})
        for name, (one, other) in values.items()
    }


_NEW = {"path": "/c", "size": "10G"}
_TAINT = {"key": "gpu", "operator": "Equal"}

EXAMPLES: dict[str, tuple[Spec, Spec]] = {
    **_plain(
        image=("a:1", "a:2"),
        image_pull_policy=(None, "Always"),
        image_pull_secrets=(None, ["one", "two"]),
        command=("./a.sh", "./b.sh 'one word'"),
        args=(None, "--epochs 3"),
        working_dir=(None, "/code"),
        environment=({"A": "1"}, {"A": "2"}),
        preemptibility=(None, "non-preemptible"),
        priority=(None, "train"),
        node_pools=(None, ["a100"]),
        node_type=(None, "dgx"),
        backoff_limit=(6, 7),
        restart_policy=(None, "Never"),
        termination_grace_period=(30, 60),
        terminate_after_preemption=(None, True),
        auto_deletion=(None, 60),
        completions=(1, 4),
        parallelism=(1, 2),
        labels=(None, {"team": "a"}),
        annotations=(None, {"note": "long text: fine"}),
        create_home_dir=(None, True),
        template_id=(None, "t-1"),
        raw=(None, {"kubernetes": {}}),
    ),
    **_part(
        "compute",
        gpu_devices=(1, 2),
        gpu_portion=(None, 0.5),
        gpu_portion_limit=(None, 0.5),
        gpu_memory=(None, "10G"),
        gpu_memory_limit=(None, "10G"),
        cpu_cores=(None, 0.5),
        cpu_cores_limit=(None, 4),
        cpu_memory=(None, "16Gi"),
        cpu_memory_limit=(None, "32G"),
        large_shm=(None, True),
        extended_resources=(None, {"nvidia.com/mig-1g.5gb": 1}),
    ),
    **_part(
        "security",
        run_as_uid=(None, 1000),
        run_as_gid=(None, 0),
        run_as_non_root=(None, True),
        supplemental_groups=(None, "2, 3"),
        uid_gid_source=(None, "custom"),
        capabilities=(None, ["SYS_PTRACE"]),
        allow_privilege_escalation=(None, False),
        read_only_root=(None, True),
        seccomp_profile=(None, "RuntimeDefault"),
        host_ipc=(None, True),
        host_network=(None, True),
    ),
    **_entries("pvc", {"claim": "c", "path": "/c"}, claim="d", path="/d", read_only=True),
    **_entries("pvc", {**_NEW, "claim": "c", "existing": True}, existing=False),
    **_entries("pvc", _NEW, ephemeral=True, size="20G", storage_class="fast", access_mode="ReadWriteOnce"),
    **_entries("nfs", {"server": "s", "path": "/x", "mount_path": "/m"}, server="t", path="/y", mount_path="/n", read_only=True),
    **_entries("host_path", {"path": "/x", "mount_path": "/m"}, path="/y", mount_path="/n", read_only=True, mount_propagation="HostToContainer"),
    **_entries("git", {"repository": "https://x", "path": "/src"}, repository="https://y", path="/code", branch="b", revision="r", secret="s"),
    **_entries("s3", {"bucket": "b", "path": "/b"}, bucket="c", path="/c", url="https://s3", secret="s"),
    **_entries("config_map", {"name": "m", "mount_path": "/m"}, name="n", mount_path="/n", sub_path="a"),
    **_entries("secret", {"name": "m", "mount_path": "/m"}, name="n", mount_path="/n"),
    **_entries("data_volume", {"id": "m", "mount_path": "/m"}, id="n", mount_path="/n"),
    **_entries("empty_dir", {"path": "/t"}, path="/u", medium="Memory", size_limit="1Gi"),
    **_toleration("name", _TAINT, "first"),
    **_toleration("key", _TAINT, "other"),
    **_toleration("operator", {"key": "gpu"}, "Exists"),
    **_toleration("value", _TAINT, "yes"),
    **_toleration("effect", _TAINT, "NoSchedule"),
    **_toleration("seconds", {**_TAINT, "effect": "NoExecute"}, 60),
}  # fmt: skip
_GANG = {"framework": "PyTorch", "workers": 2}
EXAMPLES |= {
    f"distributed.{name}": ({"distributed": _GANG}, {"distributed": {**_GANG, name: value}})
    for name, value in {
        "framework": "PyTorch",
        "workers": 3,
        "min_replicas": 1,
        "max_replicas": 4,
        "slots_per_worker": 2,
        "clean_pod_policy": "All",
        "master": {"command": "./master.sh"},
    }.items()
}
