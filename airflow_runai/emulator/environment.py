"""
The environment variables of a pod.

The variables that Run:ai injects, those of the spec, and a minimal base; never anything of the
emulator's own environment. ``RUNAI_GRACE_SECONDS`` is an addition of the emulator: the real
platform does not tell a process its grace period.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_runai.emulator.records import EmulatedWorkload, Pod
from airflow_runai.emulator.volumes import Places


@dataclass(frozen=True)
class PodContext:
    """
    Facts about a pod that are not in its spec.

    :param port: where the pods of a gang may meet; 0 if there is only one pod.
    :param grace_limit: the emulator's upper limit for the grace period, in seconds.
    """

    project: str
    pods: int
    port: int
    grace_limit: float | None


def spec_of(workload: EmulatedWorkload, pod: Pod) -> dict[str, Any]:
    """Return the spec of a pod: the workload's, under a master's own."""
    own = workload.extras.get("masterSpec") if pod.role == "master" else None
    return (
        {
            **workload.spec,
            **own,
        }
        if own
        else workload.spec
    )


def variables(
    workload: EmulatedWorkload,
    pod: Pod,
    context: PodContext,
    places: Places,
) -> dict[str, str]:
    """
    Build the whole environment; variables of the spec replace injected ones.

    Values from Kubernetes secrets and config maps are unknown here:
    ``emulated:<kind>/<name>/<key>`` stands for them.
    """
    # The emulator's own environment may hold secrets; pods must not inherit them.
    injected = _base(places.local) | _injected(workload, pod, context)
    # The pods of a set know nothing of each other.
    if workload.kind == "distributed" and context.pods > 1:
        injected |= _gang(pod, context)
    requested = spec_of(workload, pod).get("environmentVariables") or ()
    own = {
        str(item["name"]): places.value(_value(item, pod))
        for item in requested
        if not item.get("exclude")
    }
    return injected | own


def _base(local: Path) -> dict[str, str]:
    home = local / "home"
    temporary = local / "tmp"
    # Programs expect both to exist, and to be their own.
    for folder in (home, temporary):
        folder.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(
        [
            str(Path(sys.executable).parent),
            "/usr/local/bin",
            "/usr/bin",
            "/bin",
        ]
    )
    return {
        "PATH": path,
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "TMPDIR": str(temporary),
    }


def _injected(workload: EmulatedWorkload, pod: Pod, context: PodContext) -> dict[str, str]:
    return {
        "JOB_NAME": workload.name,
        "JOB_UUID": workload.id,
        "POD_INDEX": str(pod.index),
        "POD_UUID": pod.id,
        "NODE_NAME": pod.node,
        "RUNAI_PROJECT": context.project,
        "RUNAI_JOB_NAME": workload.name,
        "RUNAI_NUM_OF_GPUS": f"{pod.held_gpus:g}",
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, pod.gpus)),
        "RUNAI_GRACE_SECONDS": f"{workload.grace_seconds(context.grace_limit):g}",
    }


def _gang(pod: Pod, context: PodContext) -> dict[str, str]:
    return {
        "RANK": str(pod.index),
        "WORLD_SIZE": str(context.pods),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(context.port),
    }


def _value(item: Mapping[str, Any], pod: Pod) -> str:
    if item.get("podFieldRef"):
        return _pod_field(str(item["podFieldRef"].get("path")), pod)
    for kind in (
        "secret",
        "configMap",
        "userCredential",
    ):
        if item.get(kind):
            return f"emulated:{kind}/{item[kind].get('name')}/{item[kind].get('key')}"
    value = item.get("value")
    return "" if value is None else str(value)


def _pod_field(path: str, pod: Pod) -> str:
    fields = {
        "metadata.name": pod.name,
        "metadata.uid": pod.id,
        "spec.nodeName": pod.node,
        "status.podIP": "127.0.0.1",
    }
    return fields.get(path, "")


def free_port() -> int:
    """Find a port that is free now."""
    with socket.socket() as probe:
        # Somebody else may take it meanwhile; a gang then fails and is started again.
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
