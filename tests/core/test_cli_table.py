"""Every flag of every grammar of ``runai submit``: a row without an example here fails."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from airflow_runai.core.command_line import ParsedCommand, flag_table, parse_command
from airflow_runai.core.command_line.flags import Flag, Takes
from airflow_runai.core.command_line.table_v1 import V1
from airflow_runai.core.command_line.table_v2 import V2
from airflow_runai.errors import SpecError


class Lands(NamedTuple):
    """What the example leads to: values at paths of the specification, or of the result itself."""

    value: str
    at: dict[str, Any]
    more: str = ""


class Warns(NamedTuple):
    """Left out, and said so."""

    value: str
    sentence: str


class Refused(NamedTuple):
    """An error with this reason."""

    value: str
    sentence: str


Example = Lands | Warns | Refused

SHARED: dict[str, Example] = {
    "project": Lands("team-a", {"<project>": "team-a"}),
    "image": Lands("a/b:2", {"image": "a/b:2"}),
    "image-pull-policy": Lands("IfNotPresent", {"image_pull_policy": "IfNotPresent"}),
    "working-dir": Lands("/mydir/", {"working_dir": "/mydir/"}),
    "large-shm": Lands("", {"compute.large_shm": True}),
    "extended-resource": Lands("rdma/hca=2", {"compute.extended_resources": {"rdma/hca": "2"}}),
    "host-ipc": Lands("", {"security.host_ipc": True}),
    "host-network": Lands("", {"security.host_network": True}),
    "create-home-dir": Lands("", {"create_home_dir": True}),
    "run-as-user": Lands("", {"security.uid_gid_source": "fromIdpToken", "create_home_dir": True}),
    "allow-privilege-escalation": Lands("", {"security.allow_privilege_escalation": True}),
    "node-type": Lands("dgx", {"node_type": "dgx"}),
    "toleration": Lands(
        "operator=Equal,key=gpu,value=x,effect=NoSchedule,seconds=30",
        {
            "tolerations": [
                {
                    "operator": "Equal",
                    "key": "gpu",
                    "value": "x",
                    "effect": "NoSchedule",
                    "seconds": "30",
                }
            ]
        },
    ),
    "preferred-pod-topology-key": Lands(
        "zone", {"raw.podAffinity": {"type": "Preferred", "key": "zone"}}
    ),
    "required-pod-topology-key": Lands(
        "zone", {"raw.podAffinity": {"type": "Required", "key": "zone"}}
    ),
    "parallelism": Lands("2", {"parallelism": 2}, "--completions 4"),
    "attach": Warns("", "terminal"),
    "stdin": Warns("", "terminal"),
    "tty": Warns("", "terminal"),
    "help": Refused("", "submits nothing"),
}
EXAMPLES_V1: dict[str, Example] = {
    **SHARED,
    "name": Lands("other", {"<name>": "other"}),
    "job-name-prefix": Lands("pre", {"<name_prefix>": "pre"}),
    "template": Lands("small", {"<template>": "small"}),
    "environment": Lands("A=b=c", {"environment": {"A": "b=c"}}),
    "command": Lands("", {}),
    "args": Lands("", {}),
    "always-pull-image": Lands("", {"image_pull_policy": "Always"}),
    "local-image": Lands("", {"image_pull_policy": "Never"}),
    "gpu": Lands("2", {"compute.gpu_devices": 2}),
    "gpu-memory": Lands("5G", {"compute.gpu_memory": "5G"}),
    "mig-profile": Lands("1g.5gb", {"compute.extended_resources": {"nvidia.com/mig-1g.5gb": "1"}}),
    "cpu": Lands("500m", {"compute.cpu_cores": 0.5}),
    "cpu-limit": Lands("2", {"compute.cpu_cores_limit": 2.0}),
    "memory": Lands("1G", {"compute.cpu_memory": "1G"}),
    "memory-limit": Lands("2Gi", {"compute.cpu_memory_limit": "2Gi"}),
    "volume": Lands(
        "/a:/b:ro", {"storage.host_path": [{"path": "/a", "mount_path": "/b", "read_only": True}]}
    ),
    "nfs-server": Lands(
        "nfs.x",
        {
            "storage.nfs": [
                {"path": "/a", "mount_path": "/b", "read_only": False, "server": "nfs.x"}
            ]
        },
        "-v /a:/b",
    ),
    "pvc": Lands("claim:/c", {"storage.pvc": [{"claim": "claim", "path": "/c", "existing": True}]}),
    "pvc-exists": Lands(
        "claimname=c,path=/c", {"storage.pvc": [{"claim": "c", "path": "/c", "existing": True}]}
    ),
    "pvc-new": Lands(
        "claimname=c,storageclass=fast,size=1G,path=/c,ro,ephemeral,accessmode-rwm",
        {
            "storage.pvc": [
                {
                    "claim": "c",
                    "storage_class": "fast",
                    "size": "1G",
                    "path": "/c",
                    "read_only": True,
                    "ephemeral": True,
                    "access_mode": "ReadWriteMany",
                    "existing": False,
                }
            ]
        },
    ),
    "s3": Lands(
        "bucket=b,target=/s,url=u", {"storage.s3": [{"bucket": "b", "path": "/s", "url": "u"}]}
    ),
    "git-sync": Lands(
        "source=u,rev=abc",
        {
            "storage.git": [
                {"repository": "u", "revision": "abc", "branch": "master", "path": "/code"}
            ]
        },
    ),
    "mount-propagation": Lands(
        "",
        {
            "storage.host_path": [
                {
                    "path": "/a",
                    "mount_path": "/b",
                    "read_only": False,
                    "mount_propagation": "HostToContainer",
                }
            ]
        },
        "-v /a:/b",
    ),
    "port": Lands("30022:22", {"raw.ports": [{"container": 22, "external": 30022}]}),
    "service-type": Refused("nodeport", "interactive work only"),
    "address": Refused("0.0.0.0", "interactive work only"),
    "backoff-limit": Lands("3", {"backoff_limit": 3}),
    "completions": Lands("4", {"completions": 4}),
    "ttl-after-finish": Lands("1h30m", {"auto_deletion": 5400}),
    "run-as-uid": Lands("1000", {"security.run_as_uid": 1000}),
    "run-as-gid": Lands("100", {"security.run_as_gid": 100}),
    "elastic": Lands("", {"annotations": {"elastic": "true"}}),
    "prevent-privilege-escalation": Lands("", {"security.allow_privilege_escalation": False}),
    "add-capability": Lands("SYS_PTRACE", {"security.capabilities": ["SYS_PTRACE"]}),
    "annotation": Lands("a=b", {"annotations": {"a": "b"}}),
    "label": Lands("a=b", {"labels": {"a": "b"}}),
    "node-pools": Lands("a100 default", {"node_pools": ["a100", "default"]}),
    "processes": Lands("3", {"distributed.workers": 3}),
    "workers": Lands("3", {"distributed.workers": 3}),
    "clean-pod-policy": Lands("All", {"distributed.clean_pod_policy": "All"}),
    "min-replicas": Lands("1", {"distributed.min_replicas": 1}),
    "max-replicas": Lands("4", {"distributed.max_replicas": 4}),
    "preemptible": Warns("", "preemptible anyway"),
    "interactive": Refused("", "unattended"),
    "jupyter": Refused("", "unattended"),
    "inference": Refused("", "never ends"),
    "replicas": Refused("2", "inference"),
    "mps": Refused("", "--gpu 0.5"),
    "dry-run": Refused("", "submits nothing"),
    "user": Warns("john", "application"),
    "old-job": Warns("", "old command line"),
    "loglevel": Warns("debug", "messages"),
}
MASTER = "distributed.master"
EXAMPLES_V2: dict[str, Example] = {
    **SHARED,
    "parallelism": Lands("2", {"parallelism": 2}, "--runs 4"),
    "name-prefix": Lands("pre", {"<name_prefix>": "pre"}),
    "template": Lands("small", {"<template>": "small"}),
    "framework": Lands("pytorch", {"distributed.framework": "PyTorch"}),
    "command": Lands("", {"command": "python train.py"}),
    "e": Lands("A=b=c", {"environment": {"A": "b=c"}}),
    "env-secret": Lands("A=s,key=k", {"environment": {"A": {"secret": {"name": "s", "key": "k"}}}}),
    "env-pod-field-ref": Lands(
        "A=metadata.name", {"environment": {"A": {"pod_field": "metadata.name"}}}
    ),
    "env-my-credentials": Lands(
        "type=genericSecret,name=A,credential-name=c,key=k",
        {"environment": {"A": {"credential": {"name": "c", "key": "k"}}}},
    ),
    "gpu-devices-request": Lands("2", {"compute.gpu_devices": 2}),
    "gpu-request-type": Lands("portion", {"compute.gpu_portion": 0.5}, "--gpu-portion-request 0.5"),
    "gpu-portion-request": Lands("0.5", {"compute.gpu_portion": 0.5}),
    "gpu-portion-limit": Lands("1", {"compute.gpu_portion_limit": 1.0}),
    "gpu-memory-request": Lands("5G", {"compute.gpu_memory": "5G"}),
    "gpu-memory-limit": Lands("5G", {"compute.gpu_memory_limit": "5G"}),
    "mig-profile": Lands(
        "2g.10gb", {"compute.extended_resources": {"nvidia.com/mig-2g.10gb": "1"}}
    ),
    "cpu-core-request": Lands("0.5", {"compute.cpu_cores": 0.5}),
    "cpu-core-limit": Lands("2", {"compute.cpu_cores_limit": 2.0}),
    "cpu-memory-request": Lands("1G", {"compute.cpu_memory": "1G"}),
    "cpu-memory-limit": Lands("1G", {"compute.cpu_memory_limit": "1G"}),
    "existing-pvc": EXAMPLES_V1["pvc-exists"],
    "new-pvc": EXAMPLES_V1["pvc-new"],
    "host-path": Lands(
        "path=/a,mount=/b,mount-propagation=HostToContainer,readwrite",
        {
            "storage.host_path": [
                {
                    "path": "/a",
                    "mount_path": "/b",
                    "mount_propagation": "HostToContainer",
                    "read_only": False,
                }
            ]
        },
    ),
    "nfs": Lands(
        "path=/a,server=s,mountpath=/b",
        {"storage.nfs": [{"path": "/a", "server": "s", "mount_path": "/b", "read_only": True}]},
    ),
    "git-sync": Lands(
        "name=n,repository=u,path=/g,secret=s,rev=r",
        {"storage.git": [{"repository": "u", "path": "/g", "secret": "s", "revision": "r"}]},
    ),
    "s3": Lands(
        "name=n,bucket=b,path=/s,accesskey=k,url=u",
        {"storage.s3": [{"bucket": "b", "path": "/s", "secret": "k", "url": "u"}]},
    ),
    "configmap-map-volume": Lands(
        "name=m,path=/m,subpath=a",
        {"storage.config_map": [{"name": "m", "mount_path": "/m", "sub_path": "a"}]},
    ),
    "secret-volume": Lands(
        "path=/s,name=n", {"storage.secret": [{"mount_path": "/s", "name": "n"}]}
    ),
    "empty-dir-volume": Lands(
        "name=n,path=/t,medium=Memory,size-limit=1Gi",
        {"storage.empty_dir": [{"path": "/t", "medium": "Memory", "size_limit": "1Gi"}]},
    ),
    "datavolume": Refused("name=d,mountpath=/d", "wants an id"),
    "runs": Lands("4", {"completions": 4}),
    "backoff-limit": Lands("3", {"backoff_limit": 3}),
    "restart-policy": Lands("Never", {"restart_policy": "Never"}),
    "termination-grace-period": Lands("2m", {"termination_grace_period": 120}),
    "auto-deletion-time-after-completion": Lands("24h", {"auto_deletion": 86400}),
    "priority": Lands("low", {"priority": "low"}),
    "preemptibility": Lands("preemptible", {"preemptibility": "preemptible"}),
    "node-pools": Lands("a100", {"node_pools": ["a100"]}),
    "label": Lands("a=b", {"labels": {"a": "b"}}),
    "annotation": Lands("a=b", {"annotations": {"a": "b"}}),
    "run-as-uid": Lands("1000", {"security.run_as_uid": 1000}),
    "run-as-gid": Lands("100", {"security.run_as_gid": 100}),
    "run-as-non-root": Lands("", {"security.run_as_non_root": True}),
    "supplemental-groups": Lands("10,20", {"security.supplemental_groups": "10,20"}),
    "user-group-source": Lands("fromTheImage", {"security.uid_gid_source": "fromTheImage"}),
    "capability": Lands("IPC_LOCK", {"security.capabilities": ["IPC_LOCK"]}),
    "seccomp-profile": Lands("RuntimeDefault", {"security.seccomp_profile": "RuntimeDefault"}),
    "port": Lands(
        "service-type=NodePort,container=80,external=8080",
        {"raw.ports": [{"serviceType": "NodePort", "container": 80, "external": 8080}]},
    ),
    "external-url": Lands(
        "container=9443,url=https://x,authusers=u",
        {
            "raw.exposedUrls": [
                {
                    "container": 9443,
                    "url": "https://x",
                    "authorizationType": "authorizedUsers",
                    "authorizedUsers": ["u"],
                }
            ]
        },
    ),
    "workers": Lands("3", {"distributed.workers": 3}),
    "clean-pod-policy": Lands("Running", {"distributed.clean_pod_policy": "Running"}),
    "slots-per-worker": Lands("2", {"distributed.slots_per_worker": 2}),
    "min-replicas": Lands("1", {"distributed.min_replicas": 1}),
    "max-replicas": Lands("4", {"distributed.max_replicas": 4}),
    "no-master": Refused("", "no place"),
    "master-args": Lands("--rank 0", {f"{MASTER}.args": "--rank 0"}),
    "master-command": Lands("./master.sh", {f"{MASTER}.command": "./master.sh"}),
    "master-environment-variable": Lands("A=1", {f"{MASTER}.environment": {"A": "1"}}),
    "master-extended-resource": Lands("r=1", {f"{MASTER}.compute.extended_resources": {"r": "1"}}),
    "master-gpu-devices-request": Lands("0", {f"{MASTER}.compute.gpu_devices": 0}),
    "master-gpu-portion-request": Lands("0.5", {f"{MASTER}.compute.gpu_portion": 0.5}),
    "master-gpu-portion-limit": Lands("1", {f"{MASTER}.compute.gpu_portion_limit": 1.0}),
    "master-cpu-core-request": Lands("1", {f"{MASTER}.compute.cpu_cores": 1.0}),
    "master-cpu-core-limit": Lands("1", {f"{MASTER}.compute.cpu_cores_limit": 1.0}),
    "master-cpu-memory-request": Lands("1G", {f"{MASTER}.compute.cpu_memory": "1G"}),
    "master-cpu-memory-limit": Lands("1G", {f"{MASTER}.compute.cpu_memory_limit": "1G"}),
    "master-restart-policy": Lands("Never", {f"{MASTER}.restart_policy": "Never"}),
    "master-no-pvcs": Lands("", {f"{MASTER}.storage.pvc": []}),
    "compute": Refused("small", "asset"),
    "datasource": Refused("type=nfs,name=x", "asset"),
    "image-pull-my-credentials": Refused("type=dockerRegistry,name=x", "image_pull_secrets"),
    "exclude-node": Refused("node-a", "nodeAffinityRequired"),
    "privileged": Refused("", "--capability"),
    "preemptible": Warns("", "preemptible anyway"),
    "wait-for-submit": Warns("1m", "Airflow waits"),
    "pod-running-timeout": Warns("1m", "Airflow waits"),
    "config-file": Warns("x", "itself"),
    "config-path": Warns("x", "itself"),
    "debug": Warns("", "itself"),
    "quiet": Warns("", "itself"),
    "verbose": Warns("", "itself"),
}
#: How each grammar says what runs in the container, and what that means.
GRAMMARS = {
    "2020": (["--command", "./run.sh", "--args", "a"], {"command": "./run.sh", "args": "a"}),
    "2020-10": (["--command", "--", "./run.sh", "a"], {"command": "./run.sh a"}),
    "2.x": (["--", "a"], {"args": "a"}),
}
VERBS_V1 = {"single": "submit", "MPI": "submit-mpi", "PyTorch": "submit-dist pytorch"}
VERBS_V2 = {"single": "training submit", "MPI": "training mpi submit", "PyTorch": "pytorch submit"}


def at(parsed: ParsedCommand, path: str) -> Any:
    if path.startswith("<"):
        return getattr(parsed, path.strip("<>"))
    found: Any = parsed.spec
    for key in path.split("."):
        found = found[key]
    return found


def check(line: list[str], example: Example, name: str, tail: dict[str, Any]) -> None:
    if isinstance(example, Refused):
        with pytest.raises(SpecError) as caught:
            parse_command(line)
        assert any(
            p.startswith(f"{name}: ") and example.sentence in p for p in caught.value.problems
        ), caught.value
        return
    parsed = parse_command(line)
    for path, value in tail.items():
        assert at(parsed, path) == value
    if isinstance(example, Lands):
        assert {path: at(parsed, path) for path in example.at} == example.at
    else:
        assert any(
            w.startswith(f"{name}: left out: ") and example.sentence in w for w in parsed.warnings
        )


def head(flag: Flag, name: str, example: Example, verbs: dict[str, str]) -> list[str]:
    launcher = next((kind for kind in verbs if not flag.only or kind in flag.only), "single")
    own = [] if flag.names[0] in ("name", "job-name-prefix", "name-prefix") else ["train1"]
    image = [] if flag.names[0] == "image" else ["-i", "img:1"]
    value = [] if flag.takes is Takes.NOTHING else [example.value]
    more = example.more.split() if isinstance(example, Lands) else []
    return ["runai", *verbs[launcher].split(), *own, *image, name, *value, *more]


def shown(value: object) -> str:
    return str(getattr(value, "names", [value])[0])


def v1_cases() -> list[tuple[Flag, str, str]]:
    words = {"command", "args"}
    found = [
        (f, n, g) for f in V1 for n in f.spelled for g in GRAMMARS if not f.eras or g in f.eras
    ]
    # In 2020 -t was the template: test_cli_grammar.py.
    return [case for case in found if case[0].names[0] not in words and case[1:] != ("-t", "2020")]


@pytest.mark.parametrize(("flag", "name", "grammar"), v1_cases(), ids=shown)
def test_every_flag_of_v1_in_every_grammar_lands_warns_or_is_refused(
    flag: Flag, name: str, grammar: str
) -> None:
    words, tail = GRAMMARS[grammar]
    example = EXAMPLES_V1[flag.names[0]]
    line = head(flag, name, example, VERBS_V1)
    if "submit-mpi" in line:  # there, the launcher alone runs the command
        tail = {f"{MASTER}.{key}": value for key, value in tail.items()}
    check([*line, *words], example, name, tail)


@pytest.mark.parametrize(("flag", "name"), [(f, n) for f in V2 for n in f.spelled], ids=shown)
def test_every_flag_of_v2_lands_warns_or_is_refused(flag: Flag, name: str) -> None:
    verbs = {"PyTorch": "distributed submit"} if flag.names[0] == "framework" else VERBS_V2
    example = EXAMPLES_V2[flag.names[0]]
    words = ["--", "python", "train.py"] if name in ("--command", "-c") else ["--"]
    check([*head(flag, name, example, verbs), *words], example, name, {})


def test_every_row_has_an_example_and_a_meaning() -> None:
    assert {flag.names[0] for flag in V1} == set(EXAMPLES_V1)
    assert {flag.names[0] for flag in V2} == set(EXAMPLES_V2)
    assert all(all(cells) for cells in flag_table())
    assert len(flag_table()) == len(V1) + len(V2)


@pytest.mark.parametrize("table", [V1, V2], ids=["v1", "v2"])
def test_no_name_is_taken_twice(table: tuple[Flag, ...]) -> None:
    names = [name for flag in table for name in flag.spelled]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "flag", [f for f in (*V1, *V2) if f.takes is Takes.NOTHING], ids=lambda f: f.names[0]
)
def test_a_boolean_that_is_off_does_nothing_that_on_would_do(flag: Flag) -> None:
    old = any(flag is row for row in V1)
    launcher = "PyTorch" if flag.only and "single" not in flag.only else "single"
    verb = (VERBS_V1 if old else VERBS_V2)[launcher]
    parsed = parse_command(["runai", *verb.split(), "-i", "x", f"{flag.spelled[0]}=false", "--"])
    plain = parse_command(["runai", *verb.split(), "-i", "x", "--"])
    # What names a boolean of the specification says false there; all else leaves no trace.
    says_false = flag.target.show is not None and flag.names[0] != "master-no-pvcs"
    assert not parsed.warnings
    assert (parsed.spec != plain.spec) == says_false


SEEN_IN_THE_REFERENCE_V1 = """
    name job-name-prefix project template interactive jupyter inference preemptible elastic image image-pull-policy
    always-pull-image local-image command args environment working-dir tty stdin attach git-sync gpu gpu-memory mig
    mig-profile cpu cpu-limit memory memory-limit large-shm volume volumes nfs-server pvc pvc-exists pvc-new s3
    mount-propagation port service-type address host-ipc host-network backoff-limit backoffLimit completions parallelism
    ttl-after-finish run-as-user create-home-dir prevent-privilege-escalation allow-privilege-escalation add-capability
    annotation label extended-resource node-type node-pools toleration preferred-pod-topology-key
    required-pod-topology-key dry-run user old-job mps replicas loglevel help processes num-processes workers
    clean-pod-policy min-replicas max-replicas p i e t g v s a l u h
"""
SEEN_IN_THE_REFERENCE_V2 = """
    name-prefix project image image-pull-policy command environment working-dir gpu-devices-request gpu-request-type
    gpu-portion-request gpu-portion-limit gpu-memory-request gpu-memory-limit mig-profile cpu-core-request
    cpu-core-limit cpu-memory-request cpu-memory-limit large-shm extended-resource host-path nfs existing-pvc new-pvc
    git-sync s3 configmap-map-volume secret-volume runs completions parallelism backoff-limit
    auto-deletion-time-after-completion termination-grace-period node-pools node-type toleration
    preferred-pod-topology-key required-pod-topology-key label annotation run-as-user run-as-uid run-as-gid
    supplemental-groups user-group-source allow-privilege-escalation capability seccomp-profile host-ipc host-network
    port external-url attach tty stdin wait-for-submit pod-running-timeout config-file config-path quiet verbose workers
    no-master master-args master-command master-environment master-gpu-devices-request master-gpu-portion-request
    master-gpu-portion-limit master-extended-resource master-no-pvcs slots-per-worker min-replicas max-replicas
    create-home-dir preemptible framework p i c e g d q f
"""


@pytest.mark.parametrize(
    ("table", "seen"),
    [(V1, SEEN_IN_THE_REFERENCE_V1), (V2, SEEN_IN_THE_REFERENCE_V2)],
    ids=["v1", "v2"],
)
def test_no_flag_of_the_reference_is_missing(table: tuple[Flag, ...], seen: str) -> None:
    assert set(seen.split()) - {name for flag in table for name in flag.names} == set()
