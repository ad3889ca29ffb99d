"""The flags that CLI v1 and CLI v2 have in common, in name and meaning; their own ones stand in ``rows_v*.py``."""

from __future__ import annotations

from typing import Any

from airflow_runai.core.command_line import mounts
from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.flags import (
    Disposition,
    FlagTarget,
    Takes,
    entries,
    idle,
    named,
    put,
    refused,
    row,
    switch,
    told,
)

NOTHING, ONE, MANY = Takes
_TERMINAL = "nobody sits at the terminal of an unattended training"


def affinity(kind: str) -> FlagTarget:
    """Keep pods of one workload together by a label of the nodes; the specification has it in ``raw`` only."""

    def show(value: Any) -> str | None:
        return str(value["key"]) if value == {"type": kind, "key": value.get("key")} else None

    return put("raw.podAffinity", lambda key: {"type": kind, "key": key}, show)


def _identity_of_caller(draft: Draft, value: str) -> None:
    if value == "true":
        draft.put("security.uid_gid_source", "fromIdpToken")
        draft.told["run-as-user"] = value
        draft.warn(
            "the ids are those of Airflow's application, not yours; set security.run_as_uid and run_as_gid"
        )


def port(container: str, external: str | None = None) -> dict[str, Any]:
    """Return an exposed port as the server spells it."""
    for given in filter(None, (container, external)):
        if not given.isdecimal() or not 1 <= int(given) <= 65535:
            raise ValueError(f"{given!r} is no port; allowed: 1 to 65535")
    return {"container": int(container)} | ({"external": int(external)} if external else {})


SHARED = (
    row("project p", ONE, told("project"), "Run:ai project"),
    row("image i", ONE, put("image"), "container image"),
    row("image-pull-policy", ONE, put("image_pull_policy"), "Always, IfNotPresent or Never"),
    row("working-dir", ONE, put("working_dir"), "working directory in the container"),
    row("large-shm", NOTHING, switch("compute.large_shm"), "large /dev/shm"),
    row(
        "extended-resource",
        MANY,
        named("compute.extended_resources"),
        "other device plug-ins",
        eras="2.x",
    ),
    row("host-ipc", NOTHING, switch("security.host_ipc"), "share the host's IPC"),
    row("host-network", NOTHING, switch("security.host_network"), "share the host's network"),
    row(
        "create-home-dir",
        NOTHING,
        switch("create_home_dir"),
        "temporary home; on with --run-as-user",
    ),
    row(
        "run-as-user",
        NOTHING,
        FlagTarget(Disposition.LANDS, "security.uid_gid_source", _identity_of_caller),
        "take user and group from the token",
    ),
    row(
        "allow-privilege-escalation",
        NOTHING,
        switch("security.allow_privilege_escalation"),
        "as in Kubernetes",
        eras="2.x",
    ),
    row("node-type", ONE, put("node_type"), "label of the nodes"),
    row(
        "toleration",
        MANY,
        entries("tolerations", mounts.TOLERATION),
        "accepted node taint",
        eras="2.x",
    ),
    row(
        "preferred-pod-topology-key",
        ONE,
        affinity("Preferred"),
        "pods near each other, if possible",
        eras="2.x",
    ),
    row(
        "required-pod-topology-key",
        ONE,
        affinity("Required"),
        "pods near each other, always",
        eras="2.x",
    ),
    row("parallelism", ONE, put("parallelism"), "runs at once", only="single"),
    row("attach", NOTHING, idle(_TERMINAL), "attach to the pod"),
    row("stdin", NOTHING, idle(_TERMINAL), "keep stdin open"),
    row("tty t", NOTHING, idle(_TERMINAL), "allocate a terminal"),
    row("help h", NOTHING, refused("shows help and submits nothing; leave it out"), "help"),
)
