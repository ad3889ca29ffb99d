"""
The flags of CLI v2: ``runai training … submit``, ``runai distributed submit`` and their aliases.

The reference pages of 2.18 to 3.0 are taken together, with one collision: ``--environment`` set
variables first and names an environment asset since 2.22 (variables moved to
``--environment-variable``); a ``=`` tells them apart.
"""

from __future__ import annotations

from airflow_runai.core.command_line import mounts
from airflow_runai.core.command_line.flags import (
    Disposition,
    FlagTarget,
    amount,
    aside,
    entries,
    idle,
    lasting,
    named,
    put,
    refused,
    row,
    switch,
    texts,
    told,
)
from airflow_runai.core.command_line.rows_master import LAUNCHERS, MASTER
from airflow_runai.core.command_line.rows_shared import MANY, NOTHING, ONE, SHARED
from airflow_runai.core.command_line.rows_v1 import mig
from airflow_runai.core.command_line.targets_v2 import (
    ASSET,
    FROM_CREDENTIAL,
    FROM_POD_FIELD,
    FROM_SECRET,
    PORT,
    URL,
    group_ids,
    variables,
)
from airflow_runai.core.command_line.values import cores, number

_OWN = "is about the command line itself"
_PERSON = "credentials of a person cannot be read by Airflow's application; use image_pull_secrets"

V2 = (
    row("name-prefix", ONE, told("name_prefix"), "generated name"),
    row("template", ONE, told("template"), "template of the control plane"),
    row(
        "framework f",
        ONE,
        aside("framework", "distributed.framework"),
        "of 'runai distributed'",
        only=LAUNCHERS,
    ),
    *SHARED,
    row(
        "command c",
        NOTHING,
        FlagTarget(Disposition.LANDS, "command", lambda draft, value: None),
        "the words after -- are it",
    ),
    row("e environment-variable environment", MANY, variables("environment"), "K=V"),
    row("env-secret", MANY, FROM_SECRET, "VARIABLE=SECRET,key=KEY"),
    row("env-pod-field-ref", MANY, FROM_POD_FIELD, "VARIABLE=FIELD"),
    row(
        "env-my-credentials",
        MANY,
        FROM_CREDENTIAL,
        "type=genericSecret,name=VARIABLE,credential-name=…,key=…",
    ),
    row("gpu-devices-request g", ONE, put("compute.gpu_devices"), "GPUs of one pod"),
    row(
        "gpu-request-type",
        ONE,
        aside("gpu-request-type", "compute.gpu_portion, compute.gpu_memory"),
        "portion, memory or migProfile; must agree with the others",
    ),
    row("gpu-portion-request", ONE, put("compute.gpu_portion", show=number), "share of one GPU"),
    row(
        "gpu-portion-limit",
        ONE,
        put("compute.gpu_portion_limit", show=number),
        "upper bound of the share",
    ),
    row("gpu-memory-request", ONE, amount("compute.gpu_memory"), "GPU memory instead of a share"),
    row("gpu-memory-limit", ONE, amount("compute.gpu_memory_limit"), "upper bound of GPU memory"),
    row(
        "mig-profile",
        ONE,
        FlagTarget(Disposition.LANDS, "compute.extended_resources", mig),
        "slice of a GPU",
    ),
    row("cpu-core-request", ONE, put("compute.cpu_cores", cores, number), "CPU cores"),
    row(
        "cpu-core-limit",
        ONE,
        put("compute.cpu_cores_limit", cores, number),
        "upper bound of CPU cores",
    ),
    row("cpu-memory-request", ONE, amount("compute.cpu_memory"), "main memory"),
    row("cpu-memory-limit", ONE, amount("compute.cpu_memory_limit"), "upper bound of main memory"),
    row(
        "existing-pvc",
        MANY,
        entries("storage.pvc", mounts.EXISTING_CLAIM, mounts.as_existing_claim),
        "claim",
    ),
    row(
        "new-pvc",
        MANY,
        entries("storage.pvc", mounts.NEW_CLAIM, mounts.as_new_claim),
        "claim that is made",
    ),
    row("host-path", MANY, entries("storage.host_path", mounts.HOST_PATH), "directory of the node"),
    row("nfs", MANY, entries("storage.nfs", mounts.NFS), "NFS export"),
    row("git-sync", MANY, entries("storage.git", mounts.GIT), "repository"),
    row("s3", MANY, entries("storage.s3", mounts.S3), "bucket"),
    row(
        "configmap-map-volume",
        MANY,
        entries("storage.config_map", mounts.CONFIG_MAP),
        "config map as files",
    ),
    row("secret-volume", MANY, entries("storage.secret", mounts.SECRET), "secret as files"),
    row("empty-dir-volume", MANY, entries("storage.empty_dir", mounts.EMPTY_DIR), "scratch space"),
    row(
        "datavolume",
        MANY,
        refused("the API wants an id, not a name; set storage.data_volume[].id"),
        "data volume",
    ),
    row(
        "runs completions", ONE, put("completions"), "runs of a hyper-parameter set", only="single"
    ),
    row("backoff-limit", ONE, put("backoff_limit"), "restarts after failures"),
    row("restart-policy", ONE, put("restart_policy"), "of the pods"),
    row(
        "termination-grace-period",
        ONE,
        lasting("termination_grace_period"),
        "between SIGTERM and SIGKILL",
    ),
    row(
        "auto-deletion-time-after-completion",
        ONE,
        lasting("auto_deletion"),
        "deleted so long after the end",
    ),
    row("priority", ONE, put("priority"), "very-low … very-high"),
    row("preemptibility", ONE, put("preemptibility"), "preemptible or non-preemptible"),
    row("node-pools", MANY, texts("node_pools"), "in order of preference"),
    row("label", MANY, named("labels"), "K=V"),
    row("annotation", MANY, named("annotations"), "K=V"),
    row("run-as-uid", ONE, put("security.run_as_uid"), "user id"),
    row("run-as-gid", ONE, put("security.run_as_gid"), "group id"),
    row("run-as-non-root", NOTHING, switch("security.run_as_non_root"), "refuse to run as root"),
    row(
        "supplemental-groups",
        ONE,
        put("security.supplemental_groups", group_ids, group_ids),
        "comma-separated ids",
    ),
    row(
        "user-group-source",
        ONE,
        put("security.uid_gid_source"),
        "fromTheImage, fromIdpToken or custom",
    ),
    row("capability", MANY, texts("security.capabilities"), "Linux capability"),
    row("seccomp-profile", ONE, put("security.seccomp_profile"), "as in Kubernetes"),
    row("port", MANY, PORT, "service-type=…,container=…,external=…"),
    row("external-url", MANY, URL, "container=…,url=…,authusers=…,authgroups=…"),
    row(
        "workers",
        ONE,
        put("distributed.workers"),
        "worker pods, the master not counted",
        only=LAUNCHERS,
    ),
    row(
        "clean-pod-policy",
        ONE,
        put("distributed.clean_pod_policy"),
        "pods kept at the end",
        only=LAUNCHERS,
    ),
    row(
        "slots-per-worker",
        ONE,
        put("distributed.slots_per_worker"),
        "processes of a worker",
        only="MPI",
    ),
    row("min-replicas", ONE, put("distributed.min_replicas"), "elastic training", only="PyTorch"),
    row("max-replicas", ONE, put("distributed.max_replicas"), "elastic training", only="PyTorch"),
    row(
        "no-master",
        NOTHING,
        refused(
            "the API has no place for it; leave it out. Then a master is added, which asks for the GPUs of a worker: "
            "take one worker less, or say --master-gpu-devices-request 0"
        ),
        "no pod for the master",
        only=LAUNCHERS,
    ),
    *MASTER,
    row("compute", ONE, refused(ASSET), "compute asset"),
    row("datasource", MANY, refused(ASSET), "data source asset"),
    row("image-pull-my-credentials", MANY, refused(_PERSON), "pull with a person's credential"),
    row(
        "exclude-node",
        MANY,
        refused("set raw.nodeAffinityRequired, in the server's spelling"),
        "nodes to avoid",
    ),
    row(
        "privileged",
        NOTHING,
        refused("the API has no place for it; name what is needed with --capability"),
        "all rights",
    ),
    row(
        "preemptible",
        NOTHING,
        idle("training is preemptible anyway; the flag is for workspaces"),
        "over quota",
    ),
    row(
        "wait-for-submit", ONE, idle("Airflow waits, see timeouts"), "time-out of the command line"
    ),
    row("pod-running-timeout", ONE, idle("Airflow waits, see timeouts"), "time-out of --attach"),
    row("config-file", ONE, idle(_OWN), "global flag"),
    row("config-path", ONE, idle(_OWN), "global flag"),
    row("debug d", NOTHING, idle(_OWN), "global flag"),
    row("quiet q", NOTHING, idle(_OWN), "global flag"),
    row("verbose", NOTHING, idle(_OWN), "global flag"),
)
