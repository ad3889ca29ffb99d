"""
The environment variables of a pod.

What Run:ai injects, what the spec asks for, and a clean minimal base; never anything of the
emulator's own environment. ``RUNAI_GRACE_SECONDS`` is the emulator's own addition: the real
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

DEFAULT_GRACE = 30.0


@dataclass(frozen=True)
class Surroundings:
    """
    What a pod cannot see in its own spec.

    :param port: where the pods of a gang may meet; 0 when there is only one pod.
    :param grace_limit: the emulator's upper limit for the grace period, in seconds.
    """

    project: str
    pods: int
    port: int
    grace_limit: float | None


def spec_of(workload: EmulatedWorkload, pod: Pod) -> dict[str, Any]:
    """
    Get the spec of a pod: a master may have its own; what that does not say is as for the workers.
    """
    own = workload.extras.get("masterSpec") if pod.role == "master" else None
    return {**workload.spec, **own} if own else workload.spec


def variables(
    workload: EmulatedWorkload, pod: Pod, around: Surroundings, places: Places
) -> dict[str, str]:
    """
    Build the whole environment; what the spec says wins over what is injected.

    Values from Kubernetes secrets and config maps cannot be known here:
    ``emulated:<kind>/<name>/<key>`` stands for them.
    """
    injected = _base(places.local) | _injected(workload, pod, around)
    if around.pods > 1:
        injected |= _gang(pod, around)
    asked = spec_of(workload, pod).get("environmentVariables") or ()
    told = {
        str(item["name"]): places.value(_value(item, workload, pod))
        for item in asked
        if not item.get("exclude")
    }
    return injected | told


def _base(local: Path) -> dict[str, str]:
    home, temporary = local / "home", local / "tmp"
    for folder in (home, temporary):
        folder.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"])
    return {"PATH": path, "LANG": "C.UTF-8", "HOME": str(home), "TMPDIR": str(temporary)}


def _injected(workload: EmulatedWorkload, pod: Pod, around: Surroundings) -> dict[str, str]:
    asked = workload.spec.get("terminationGracePeriodSeconds")
    grace = DEFAULT_GRACE if asked is None else float(asked)
    gpus = pod.share * len(pod.gpus)
    return {
        "JOB_NAME": workload.name,
        "JOB_UUID": workload.id,
        "POD_INDEX": str(pod.index),
        "POD_UUID": pod.id,
        "NODE_NAME": pod.node,
        "RUNAI_PROJECT": around.project,
        "RUNAI_JOB_NAME": workload.name,
        "RUNAI_NUM_OF_GPUS": f"{gpus:g}",
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, pod.gpus)),
        "RUNAI_GRACE_SECONDS": f"{min(grace, around.grace_limit) if around.grace_limit is not None else grace:g}",
    }


def _gang(pod: Pod, around: Surroundings) -> dict[str, str]:
    return {
        "RANK": str(pod.index),
        "WORLD_SIZE": str(around.pods),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(around.port),
    }


def _value(item: Mapping[str, Any], workload: EmulatedWorkload, pod: Pod) -> str:
    if item.get("podFieldRef"):
        known = {
            "metadata.name": pod.name,
            "metadata.uid": pod.id,
            "spec.nodeName": pod.node,
            "status.podIP": "127.0.0.1",
        }
        return known.get(str(item["podFieldRef"].get("path")), "")
    for kind in ("secret", "configMap", "userCredential"):
        if item.get(kind):
            return f"emulated:{kind}/{item[kind].get('name')}/{item[kind].get('key')}"
    value = item.get("value")
    return "" if value is None else str(value)


def free_port() -> int:
    """Find a port that is free now."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])
