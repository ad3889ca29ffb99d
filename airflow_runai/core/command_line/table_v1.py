"""
The flags of CLI v1, ``runai submit`` and its siblings, in all of its three grammars.

``eras`` names the grammars that have a flag (2020; from 10/2020 on; 2.x). An earlier grammar does
not refuse a flag of a later one: the flag only shows which grammar a line is written in, see
``grammar.py``.
"""

from __future__ import annotations

from airflow_runai.core.command_line import devices, mounts
from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.exposure import port_v1
from airflow_runai.core.command_line.flags import row
from airflow_runai.core.command_line.table_shared import MANY, NOTHING, ONE, SHARED
from airflow_runai.core.command_line.targets import (
    by_rules,
    constant,
    custom,
    deferred,
    duration,
    entries,
    ignored,
    memory,
    named,
    outside_spec,
    refused,
    spec_key,
    texts,
)
from airflow_runai.core.command_line.values import cores
from airflow_runai.core.command_line.variables import environment_v1

_LAUNCHERS = "MPI PyTorch TF XGBoost"
_INTERACTIVE = "for interactive work; this provider runs unattended training. Leave it out"
_SERVICE = (
    "for interactive work only, as the command line itself says; "
    "leave it out (--port alone is accepted)"
)


def _elastic(draft: Draft, on: str) -> None:
    if on == "true":
        draft.name("annotations", "elastic", "true")


_CREDENTIALS_REFUSED = "username= and password= are refused"
_MEMORY_OF_GPU = memory("compute.gpu_memory", devices.at_least_100_megabytes)
_GPUS = custom("compute.gpu_devices, compute.gpu_portion", devices.gpus)
_MIG = custom("compute.extended_resources", devices.mig_profile)
_VOLUMES = custom("storage.host_path, storage.nfs", mounts.volume, MANY)
_PROPAGATION = deferred("mount-propagation", "storage.host_path[].mount_propagation", takes=NOTHING)
_NO_ESCALATION = spec_key(
    "security.allow_privilege_escalation", lambda value: value != "true", takes=NOTHING
)
_POOLS = texts("node_pools", str.split)

V1 = (
    row("name", outside_spec("name", key="--name"), "name of the workload"),
    row("job-name-prefix", outside_spec("name_prefix"), "generated name"),
    row("template", outside_spec("template"), "template; -t until mid-2020"),
    *SHARED,
    row("environment e", custom("environment", environment_v1, MANY), "K=V or K=SECRET:NAME,KEY"),
    # Until 10/2020 it took a value, see grammar.py.
    row("command", by_rules("command", MANY), "boolean beside a bare --"),
    row("args", by_rules("args", MANY), "arguments, before a bare -- existed"),
    row("always-pull-image", constant("image_pull_policy", "Always"), "deprecated"),
    row("local-image", constant("image_pull_policy", "Never"), "deprecated"),
    row("gpu g", _GPUS, "GPUs, or a share of one"),
    row("gpu-memory", _MEMORY_OF_GPU, "GPU memory, at least 100M"),
    row("mig-profile mig", _MIG, "slice of a GPU"),
    row("cpu", spec_key("compute.cpu_cores", cores), "CPU cores"),
    row("cpu-limit", spec_key("compute.cpu_cores_limit", cores), "upper bound of CPU cores"),
    row("memory", memory("compute.cpu_memory"), "main memory"),
    row("memory-limit", memory("compute.cpu_memory_limit"), "upper bound of main memory"),
    row("volume v volumes", _VOLUMES, "SOURCE:TARGET[:ro|rw][:NFS-SERVER]"),
    row("nfs-server", deferred("nfs-server", "storage.nfs"), "server of all -v", eras="2.x"),
    row("pvc", custom("storage.pvc", mounts.claim, MANY), "CLAIM:TARGET or [CLASS]:SIZE:TARGET"),
    row(
        "pvc-exists existing-pvc",
        entries("storage.pvc", mounts.EXISTING_CLAIM),
        "existing claim",
        eras="2.x",
    ),
    row("pvc-new new-pvc", entries("storage.pvc", mounts.NEW_CLAIM), "new claim", eras="2.x"),
    row(
        "s3",
        entries("storage.s3", mounts.S3_V1),
        "bucket; key= and secret= are refused",
        eras="2.x",
    ),
    row("git-sync", custom("storage.git", mounts.git_sync), f"repository; {_CREDENTIALS_REFUSED}"),
    row("mount-propagation", _PROPAGATION, "HostToContainer on all volumes"),
    row("port", custom("raw.ports", port_v1, MANY), "[EXTERNAL:]CONTAINER"),
    row("service-type s", refused(_SERVICE), "how ports are reached"),
    row("address", refused(_SERVICE), "where a forwarded port listens"),
    row("backoff-limit backoffLimit", spec_key("backoff_limit"), "restarts after failures"),
    row("completions", spec_key("completions"), "runs of a hyper-parameter set", only="single"),
    # Later versions of 2.x took over names of CLI v2, as release notes and public scripts show.
    row(
        "ttl-after-finish auto-deletion-time-after-completion",
        duration("auto_deletion"),
        "deleted so long after the end",
    ),
    row("run-as-uid", spec_key("security.run_as_uid"), "user id", eras="2.x"),
    row("run-as-gid", spec_key("security.run_as_gid"), "group id", eras="2.x"),
    row(
        "elastic",
        custom("annotations", _elastic, NOTHING),
        "the annotation that the CLI sets",
        only="single",
    ),
    row(
        "prevent-privilege-escalation",
        _NO_ESCALATION,
        "the opposite of --allow-privilege-escalation",
    ),
    row("add-capability", texts("security.capabilities"), "Linux capability", eras="2.x"),
    row("annotation a", named("annotations"), "K=V", eras="2.x"),
    row("label l", named("labels"), "K=V", eras="2.x"),
    row("node-pools", _POOLS, "in order of preference, blanks between", takes=ONE, eras="2.x"),
    row(
        "processes num-processes",
        spec_key("distributed.workers"),
        "worker pods; default 1",
        only="MPI",
    ),
    row("workers", spec_key("distributed.workers"), "worker pods", only=_LAUNCHERS),
    row(
        "clean-pod-policy",
        spec_key("distributed.clean_pod_policy"),
        "Running, All or None",
        only=_LAUNCHERS,
    ),
    row("min-replicas", spec_key("distributed.min_replicas"), "elastic training", only="PyTorch"),
    row("max-replicas", spec_key("distributed.max_replicas"), "elastic training", only="PyTorch"),
    row(
        "preemptible",
        ignored("training is preemptible anyway; the flag is for interactive work", NOTHING),
        "over quota",
    ),
    row("interactive", refused(_INTERACTIVE, NOTHING), "interactive workload"),
    row("jupyter", refused(_INTERACTIVE, NOTHING), "notebook server"),
    row(
        "inference",
        refused("serves a model and never ends; leave it out", NOTHING),
        "inference workload",
    ),
    row("replicas", refused("belongs to inference; leave it out"), "hidden flag"),
    row(
        "mps",
        refused("has no counterpart in the API; for a share of a GPU write --gpu 0.5", NOTHING),
        "hidden flag",
    ),
    row("dry-run", refused("submits nothing; leave it out", NOTHING), "hidden flag"),
    row(
        "user u",
        ignored("Airflow's application submits, and Run:ai knows it from its token"),
        "hidden flag",
    ),
    row("old-job", ignored("chose how an old command line stored the job", NOTHING), "hidden flag"),
    row("loglevel", ignored("is about the command line's own messages"), "global flag"),
)
