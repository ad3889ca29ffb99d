"""The flags that CLI v1 and CLI v2 have in common, in name and meaning."""

from __future__ import annotations

from typing import Any

from airflow_runai.core.command_line import mounts
from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.flags import FlagTarget, Takes, row
from airflow_runai.core.command_line.targets import (
    custom,
    entries,
    ignored,
    named,
    outside_spec,
    refused,
    spec_key,
    switch,
)

# In the order in which the enumeration declares them.
NOTHING, ONE, MANY = Takes
_TERMINAL = ignored("no one sits at the terminal of an unattended training", NOTHING)


def _affinity(kind: str) -> FlagTarget:
    """Keep the pods of a workload together by a label of the nodes; only ``raw`` can say it."""

    def read(key: str) -> dict[str, str]:
        return {"type": kind, "key": key}

    def show(value: Any) -> str | None:
        return str(value["key"]) if value == read(value.get("key")) else None

    return spec_key("raw.podAffinity", read, show)


def _identity_of_caller(draft: Draft, on: str) -> None:
    if on != "true":
        return
    draft.put("security.uid_gid_source", "fromIdpToken")
    draft.outside_spec["run-as-user"] = on
    draft.warn(
        "the ids are those of Airflow's application, not yours; "
        "set security.run_as_uid and run_as_gid"
    )


_PRIVILEGES = switch("security.allow_privilege_escalation")
_RUN_AS_USER = custom("security.uid_gid_source", _identity_of_caller, NOTHING)
_TOLERATIONS = entries("tolerations", mounts.TOLERATION)
_NEAR_IF_POSSIBLE = "pods near each other, if possible"
_NEAR_ALWAYS = "pods near each other, always"

SHARED = (
    row("project p", outside_spec("project"), "Run:ai project"),
    row("image i", spec_key("image"), "container image"),
    row("image-pull-policy", spec_key("image_pull_policy"), "Always, IfNotPresent or Never"),
    row("working-dir", spec_key("working_dir"), "working directory in the container"),
    row("large-shm", switch("compute.large_shm"), "large /dev/shm"),
    row(
        "extended-resource",
        named("compute.extended_resources"),
        "other device plug-ins",
        eras="2.x",
    ),
    row("host-ipc", switch("security.host_ipc"), "share the host's IPC"),
    row("host-network", switch("security.host_network"), "share the host's network"),
    row("create-home-dir", switch("create_home_dir"), "temporary home; on with --run-as-user"),
    row("run-as-user", _RUN_AS_USER, "take user and group from the token"),
    row("allow-privilege-escalation", _PRIVILEGES, "as in Kubernetes", eras="2.x"),
    row("node-type", spec_key("node_type"), "label of the nodes"),
    row("toleration", _TOLERATIONS, "accepted node taint", eras="2.x"),
    row("preferred-pod-topology-key", _affinity("Preferred"), _NEAR_IF_POSSIBLE, eras="2.x"),
    row("required-pod-topology-key", _affinity("Required"), _NEAR_ALWAYS, eras="2.x"),
    row("parallelism", spec_key("parallelism"), "runs at once", only="single"),
    row("attach", _TERMINAL, "attach to the pod"),
    row("stdin", _TERMINAL, "keep stdin open"),
    row("tty t", _TERMINAL, "allocate a terminal"),
    row("help h", refused("shows help and submits nothing; leave it out", NOTHING), "help"),
)
