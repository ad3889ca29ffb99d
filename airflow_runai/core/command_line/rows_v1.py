"""
The flags of CLI v1, ``runai submit`` and its siblings, in all of its three grammars.

``eras`` names the grammars that have a flag (2020; from 10/2020 on; 2.x). A flag of a later grammar
is not refused in an earlier one: it only tells which grammar a line is written in, see
``grammar.py``.
"""

from __future__ import annotations

import re

from airflow_runai.core.command_line import mounts
from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.flags import (
    Disposition,
    FlagTarget,
    always,
    amount,
    aside,
    entries,
    idle,
    lasting,
    named,
    put,
    refused,
    row,
    texts,
    told,
)
from airflow_runai.core.command_line.rows_shared import MANY, NOTHING, ONE, SHARED, port
from airflow_runai.core.command_line.values import cores, pair, size

_INTERACTIVE = "for interactive work; this provider runs unattended training. Leave it out"
_SERVICE = "for interactive work only, as the command line itself says; leave it out (--port alone is accepted)"
_MIG = ("1g.5gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb")


def _environment(draft: Draft, value: str) -> None:
    name, text = pair(value)
    secret = re.fullmatch(r"SECRET:([^,]+),([^,]+)", text)
    if text.startswith("SECRET:") and not secret:
        raise ValueError(f"{name}=SECRET:… names no key; allowed: {name}=SECRET:NAME,KEY")
    draft.name(
        "environment", name, {"secret": {"name": secret[1], "key": secret[2]}} if secret else text
    )


def _gpus(draft: Draft, value: str) -> None:
    try:
        count = float(value)
    except ValueError:
        raise ValueError(
            f"{value!r}; allowed: a whole number of GPUs, or a share of one between 0 and 1"
        ) from None
    if count.is_integer():
        draft.put("compute.gpu_devices", int(count))
    else:
        draft.put("compute.gpu_portion", count)


def mig(draft: Draft, value: str) -> None:
    """Ask for a slice of a GPU; the present API knows slices as extended resources only."""
    if value not in _MIG:
        raise ValueError(f"{value!r}; allowed: {', '.join(_MIG)}")
    draft.name("compute.extended_resources", f"nvidia.com/mig-{value}", "1")
    draft.warn(
        "sent as an extended resource; a control plane before 2.24 wants raw.compute.migProfile instead"
    )


def _at_least_100_megabytes(value: str) -> None:
    if size(value) < 100e6:
        raise ValueError(f"{value!r} is less than the command line accepts; allowed: 100M or more")


def _port(draft: Draft, value: str) -> None:
    external, _, container = value.rpartition(":")
    draft.add("raw.ports", port(container, external or None))


def _elastic(draft: Draft, value: str) -> None:
    if value == "true":
        draft.name("annotations", "elastic", "true")


V1 = (
    row(
        "name",
        ONE,
        FlagTarget(Disposition.ARGUMENT, "name", told("--name").apply),
        "name of the workload",
    ),
    row("job-name-prefix", ONE, told("name_prefix"), "generated name"),
    row("template", ONE, told("template"), "template; -t until mid-2020"),
    *SHARED,
    row(
        "environment e",
        MANY,
        FlagTarget(Disposition.LANDS, "environment", _environment),
        "K=V or K=SECRET:NAME,KEY",
    ),
    row(
        "command",
        MANY,
        FlagTarget(Disposition.LANDS, "command", lambda draft, value: None),
        "boolean beside a bare --",
    ),
    row(
        "args",
        MANY,
        FlagTarget(Disposition.LANDS, "args", lambda draft, value: None),
        "arguments, before a bare -- existed",
    ),
    row("always-pull-image", NOTHING, always("image_pull_policy", "Always"), "deprecated"),
    row("local-image", NOTHING, always("image_pull_policy", "Never"), "deprecated"),
    row(
        "gpu g",
        ONE,
        FlagTarget(Disposition.LANDS, "compute.gpu_devices, compute.gpu_portion", _gpus),
        "GPUs, or a share of one",
    ),
    row(
        "gpu-memory",
        ONE,
        amount("compute.gpu_memory", _at_least_100_megabytes),
        "GPU memory, at least 100M",
    ),
    row(
        "mig-profile mig",
        ONE,
        FlagTarget(Disposition.LANDS, "compute.extended_resources", mig),
        "slice of a GPU",
    ),
    row("cpu", ONE, put("compute.cpu_cores", cores), "CPU cores"),
    row("cpu-limit", ONE, put("compute.cpu_cores_limit", cores), "upper bound of CPU cores"),
    row("memory", ONE, amount("compute.cpu_memory"), "main memory"),
    row("memory-limit", ONE, amount("compute.cpu_memory_limit"), "upper bound of main memory"),
    row(
        "volume v volumes",
        MANY,
        FlagTarget(Disposition.LANDS, "storage.host_path, storage.nfs", mounts.volume),
        "SOURCE:TARGET[:ro|rw][:NFS-SERVER]",
    ),
    row("nfs-server", ONE, aside("nfs-server", "storage.nfs"), "server of all -v", eras="2.x"),
    row(
        "pvc",
        MANY,
        FlagTarget(Disposition.LANDS, "storage.pvc", mounts.claim),
        "CLAIM:TARGET or [CLASS]:SIZE:TARGET",
    ),
    row(
        "pvc-exists existing-pvc",
        MANY,
        entries("storage.pvc", mounts.EXISTING_CLAIM),
        "existing claim",
        eras="2.x",
    ),
    row("pvc-new new-pvc", MANY, entries("storage.pvc", mounts.NEW_CLAIM), "new claim", eras="2.x"),
    row(
        "s3",
        MANY,
        entries("storage.s3", mounts.S3_V1),
        "bucket; key= and secret= are refused",
        eras="2.x",
    ),
    row(
        "git-sync",
        ONE,
        FlagTarget(Disposition.LANDS, "storage.git", mounts.git_sync),
        "repository; username= and password= are refused",
    ),
    row(
        "mount-propagation",
        NOTHING,
        aside("mount-propagation", "storage.host_path[].mount_propagation"),
        "HostToContainer on all volumes",
    ),
    row("port", MANY, FlagTarget(Disposition.LANDS, "raw.ports", _port), "[EXTERNAL:]CONTAINER"),
    row("service-type s", ONE, refused(_SERVICE), "how ports are reached"),
    row("address", ONE, refused(_SERVICE), "where a forwarded port listens"),
    row("backoff-limit backoffLimit", ONE, put("backoff_limit"), "restarts after failures"),
    row("completions", ONE, put("completions"), "runs of a hyper-parameter set", only="single"),
    # Later versions of 2.x took over names of CLI v2, as release notes and public scripts show.
    row(
        "ttl-after-finish auto-deletion-time-after-completion",
        ONE,
        lasting("auto_deletion"),
        "deleted so long after the end",
    ),
    row("run-as-uid", ONE, put("security.run_as_uid"), "user id", eras="2.x"),
    row("run-as-gid", ONE, put("security.run_as_gid"), "group id", eras="2.x"),
    row(
        "elastic",
        NOTHING,
        FlagTarget(Disposition.LANDS, "annotations", _elastic),
        "the annotation that the CLI sets",
        only="single",
    ),
    row(
        "prevent-privilege-escalation",
        NOTHING,
        put("security.allow_privilege_escalation", lambda value: value != "true"),
        "the opposite of --allow-privilege-escalation",
    ),
    row("add-capability", MANY, texts("security.capabilities"), "Linux capability", eras="2.x"),
    row("annotation a", MANY, named("annotations"), "K=V", eras="2.x"),
    row("label l", MANY, named("labels"), "K=V", eras="2.x"),
    row(
        "node-pools",
        ONE,
        texts("node_pools", str.split),
        "in order of preference, blanks between",
        eras="2.x",
    ),
    row(
        "processes num-processes",
        ONE,
        put("distributed.workers"),
        "worker pods; default 1",
        only="MPI",
    ),
    row("workers", ONE, put("distributed.workers"), "worker pods", only="MPI PyTorch TF XGBoost"),
    row(
        "clean-pod-policy",
        ONE,
        put("distributed.clean_pod_policy"),
        "Running, All or None",
        only="MPI PyTorch TF XGBoost",
    ),
    row("min-replicas", ONE, put("distributed.min_replicas"), "elastic training", only="PyTorch"),
    row("max-replicas", ONE, put("distributed.max_replicas"), "elastic training", only="PyTorch"),
    row(
        "preemptible",
        NOTHING,
        idle("training is preemptible anyway; the flag is for interactive work"),
        "over quota",
    ),
    row("interactive", NOTHING, refused(_INTERACTIVE), "interactive workload"),
    row("jupyter", NOTHING, refused(_INTERACTIVE), "notebook server"),
    row(
        "inference",
        NOTHING,
        refused("serves a model and never ends; leave it out"),
        "inference workload",
    ),
    row("replicas", ONE, refused("belongs to inference; leave it out"), "hidden flag"),
    row(
        "mps",
        NOTHING,
        refused("has no counterpart in the API; for a share of a GPU write --gpu 0.5"),
        "hidden flag",
    ),
    row("dry-run", NOTHING, refused("submits nothing; leave it out"), "hidden flag"),
    row(
        "user u",
        ONE,
        idle("Airflow's application submits, and Run:ai knows it from its token"),
        "hidden flag",
    ),
    row("old-job", NOTHING, idle("chose how an old command line stored the job"), "hidden flag"),
    row("loglevel", ONE, idle("is about the command line's own messages"), "global flag"),
)
