"""
The flags of CLI v2: ``runai training … submit``, ``runai distributed submit`` and their aliases.

The reference pages of 2.18 to 3.0 are taken together, with one collision: ``--environment`` set
variables first and names an environment asset since 2.22 (variables moved to
``--environment-variable``); a ``=`` tells them apart.
"""

from __future__ import annotations

from airflow_runai.core.command_line import mounts
from airflow_runai.core.command_line.devices import mig_profile
from airflow_runai.core.command_line.exposure import PORT, URL
from airflow_runai.core.command_line.flags import row
from airflow_runai.core.command_line.table_master import LAUNCHERS, MASTER
from airflow_runai.core.command_line.table_shared import MANY, NOTHING, SHARED
from airflow_runai.core.command_line.targets import (
    by_rules,
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
    switch,
    texts,
)
from airflow_runai.core.command_line.values import cores, group_ids, number
from airflow_runai.core.command_line.variables import (
    ASSET,
    FROM_CREDENTIAL,
    FROM_POD_FIELD,
    FROM_SECRET,
    variables,
)

_OWN = "is about the command line itself"
# Airflow logs in as an application, which sees no credentials of people.
_PERSON = "credentials of a person cannot be read by Airflow's application; use image_pull_secrets"

V2 = (
    row("name-prefix", outside_spec("name_prefix"), "generated name"),
    row("template", outside_spec("template"), "template of the control plane"),
    row(
        "framework f",
        deferred("framework", "distributed.framework"),
        "of 'runai distributed'",
        only=LAUNCHERS,
    ),
    *SHARED,
    row("command c", by_rules("command", NOTHING), "the words after -- are it"),
    # Since 2.22 --environment names an asset; a value with "=" is meant as until then.
    row("e environment-variable environment", variables("environment"), "K=V"),
    row("env-secret", FROM_SECRET, "VARIABLE=SECRET,key=KEY"),
    row("env-pod-field-ref", FROM_POD_FIELD, "VARIABLE=FIELD"),
    row(
        "env-my-credentials",
        FROM_CREDENTIAL,
        "type=genericSecret,name=VARIABLE,credential-name=…,key=…",
    ),
    row("gpu-devices-request g", spec_key("compute.gpu_devices"), "GPUs of one pod"),
    row(
        "gpu-request-type",
        deferred("gpu-request-type", "compute.gpu_portion, compute.gpu_memory"),
        "portion, memory or migProfile; must agree with the others",
    ),
    row("gpu-portion-request", spec_key("compute.gpu_portion", show=number), "share of one GPU"),
    row(
        "gpu-portion-limit",
        spec_key("compute.gpu_portion_limit", show=number),
        "upper bound of the share",
    ),
    row("gpu-memory-request", memory("compute.gpu_memory"), "GPU memory instead of a share"),
    row("gpu-memory-limit", memory("compute.gpu_memory_limit"), "upper bound of GPU memory"),
    row("mig-profile", custom("compute.extended_resources", mig_profile), "slice of a GPU"),
    row("cpu-core-request", spec_key("compute.cpu_cores", cores, number), "CPU cores"),
    row(
        "cpu-core-limit",
        spec_key("compute.cpu_cores_limit", cores, number),
        "upper bound of CPU cores",
    ),
    row("cpu-memory-request", memory("compute.cpu_memory"), "main memory"),
    row("cpu-memory-limit", memory("compute.cpu_memory_limit"), "upper bound of main memory"),
    row(
        "existing-pvc",
        entries("storage.pvc", mounts.EXISTING_CLAIM, mounts.as_existing_claim),
        "claim",
    ),
    row(
        "new-pvc",
        entries("storage.pvc", mounts.NEW_CLAIM, mounts.as_new_claim),
        "claim that is made",
    ),
    row("host-path", entries("storage.host_path", mounts.HOST_PATH), "directory of the node"),
    row("nfs", entries("storage.nfs", mounts.NFS), "NFS export"),
    row("git-sync", entries("storage.git", mounts.GIT), "repository"),
    row("s3", entries("storage.s3", mounts.S3), "bucket"),
    row(
        "configmap-map-volume",
        entries("storage.config_map", mounts.CONFIG_MAP),
        "config map as files",
    ),
    row("secret-volume", entries("storage.secret", mounts.SECRET), "secret as files"),
    row("empty-dir-volume", entries("storage.empty_dir", mounts.EMPTY_DIR), "scratch space"),
    row(
        "datavolume",
        refused("the API wants an id, not a name; set storage.data_volume[].id", MANY),
        "data volume",
    ),
    row(
        "runs completions", spec_key("completions"), "runs of a hyper-parameter set", only="single"
    ),
    row("backoff-limit", spec_key("backoff_limit"), "restarts after failures"),
    row("restart-policy", spec_key("restart_policy"), "of the pods"),
    row(
        "termination-grace-period",
        duration("termination_grace_period"),
        "between SIGTERM and SIGKILL",
    ),
    row(
        "auto-deletion-time-after-completion",
        duration("auto_deletion"),
        "deleted so long after the end",
    ),
    row("priority", spec_key("priority"), "very-low … very-high"),
    row(
        "preemptibility",
        spec_key("preemptibility"),
        "preemptible, non-preemptible or, from 3.0 on, semi-preemptible",
    ),
    row("node-pools", texts("node_pools"), "in order of preference"),
    row("label", named("labels"), "K=V"),
    row("annotation", named("annotations"), "K=V"),
    row("run-as-uid", spec_key("security.run_as_uid"), "user id"),
    row("run-as-gid", spec_key("security.run_as_gid"), "group id"),
    row("run-as-non-root", switch("security.run_as_non_root"), "refuse to run as root"),
    row(
        "supplemental-groups",
        spec_key("security.supplemental_groups", group_ids, group_ids),
        "comma-separated ids",
    ),
    row(
        "user-group-source",
        spec_key("security.uid_gid_source"),
        "fromTheImage, fromIdpToken or custom",
    ),
    row("capability", texts("security.capabilities"), "Linux capability"),
    row("seccomp-profile", spec_key("security.seccomp_profile"), "as in Kubernetes"),
    row("port", PORT, "service-type=…,container=…,external=…"),
    row("external-url", URL, "container=…,url=…,authusers=…,authgroups=…"),
    row(
        "workers",
        spec_key("distributed.workers"),
        "worker pods, the master not counted",
        only=LAUNCHERS,
    ),
    row(
        "clean-pod-policy",
        spec_key("distributed.clean_pod_policy"),
        "pods kept at the end",
        only=LAUNCHERS,
    ),
    row(
        "slots-per-worker",
        spec_key("distributed.slots_per_worker"),
        "processes of a worker",
        only="MPI",
    ),
    row("min-replicas", spec_key("distributed.min_replicas"), "elastic training", only="PyTorch"),
    row("max-replicas", spec_key("distributed.max_replicas"), "elastic training", only="PyTorch"),
    row(
        "no-master",
        refused(
            "the API has no place for it; leave it out. Then a master is added, which asks for "
            "the GPUs of a worker: take one worker less, or say --master-gpu-devices-request 0",
            NOTHING,
        ),
        "no pod for the master",
        only=LAUNCHERS,
    ),
    *MASTER,
    row("compute", refused(ASSET), "compute asset"),
    row("datasource", refused(ASSET, MANY), "data source asset"),
    row("image-pull-my-credentials", refused(_PERSON, MANY), "pull with a person's credential"),
    row(
        "exclude-node",
        refused("set raw.nodeAffinityRequired, in the server's spelling", MANY),
        "nodes to avoid",
    ),
    row(
        "privileged",
        refused("the API has no place for it; name what is needed with --capability", NOTHING),
        "all rights",
    ),
    row(
        "preemptible",
        ignored("training is preemptible anyway; the flag is for workspaces", NOTHING),
        "over quota",
    ),
    row("wait-for-submit", ignored("Airflow waits, see timeouts"), "time-out of the command line"),
    row("pod-running-timeout", ignored("Airflow waits, see timeouts"), "time-out of --attach"),
    row("config-file", ignored(_OWN), "global flag"),
    row("config-path", ignored(_OWN), "global flag"),
    row("debug d", ignored(_OWN, NOTHING), "global flag"),
    row("quiet q", ignored(_OWN, NOTHING), "global flag"),
    row("verbose", ignored(_OWN, NOTHING), "global flag"),
)
