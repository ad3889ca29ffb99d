"""
All that a container needs before its command can run, and the orders of a test that keep it from running.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.rig.api import Object
from tests.rig.kubelet.environment import CannotStart, Reader, expanded, variables
from tests.rig.kubelet.statuses import HOST
from tests.rig.kubelet.volumes import folder_of, localized, mounts

__all__ = ["Launch", "memory_lasts", "obey", "prepare"]

PREFIX = "rig.airflow-runai/"
#: What an image would bring, and, never changed by a pod, what tells to which cluster and node a
#: process belongs.
_IMAGE, _MARKS = ("PATH", "HOME", "LANG", "TMPDIR"), ("RUNAI_RIG_FOLDER", "RUNAI_RIG_NODE")


@dataclass(frozen=True)
class Launch:
    """A command that can be run."""

    command: list[str]
    environment: dict[str, str]
    directory: Path


def memory_lasts(pod: Object) -> float | None:
    """
    Return for how many seconds a container's memory is ordered to last; None for ever.

    :raises CannotStart: if that is no number.
    """
    lasts = _order(pod, "oom-after")
    try:
        return None if lasts is None else float(lasts)
    except ValueError:
        words = f"annotation {PREFIX}oom-after: {lasts!r} is not a number of seconds"
        raise CannotStart("CreateContainerConfigError", words) from None


def obey(pod: Object, container: Object, before: str) -> None:
    """
    Do not start where a test says so.

    :param before: reason why the container waited until now.
    :raises CannotStart: always, if there is such an order.
    """
    memory_lasts(pod)
    image = container.get("image", "")
    if _order(pod, "never-start") is not None:
        raise CannotStart("ContainerCreating", event=None)
    if _order(pod, "image-error") is None:
        return
    if before == "ErrImagePull":
        raise CannotStart("ImagePullBackOff", f'Back-off pulling image "{image}"', "BackOff")
    words = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
    raise CannotStart("ErrImagePull", words, words=f'Failed to pull image "{image}": {words}')


def prepare(pod: Object, container: Object, folder: Path, ip: str, read: Reader) -> Launch:
    """
    Make the volumes of a pod and evaluate one container's environment.

    :param folder: the pod's own.
    :param read: reads objects of its namespace.
    :raises CannotStart: if something is missing.
    """
    spec = pod["spec"]
    used = {mount["name"] for mount in container.get("volumeMounts") or []}
    volumes = [volume for volume in spec.get("volumes") or [] if volume["name"] in used]
    folders = {
        volume["name"]: folder_of(volume, folder / "volumes" / volume["name"], read)
        for volume in volumes
    }
    places = mounts(container, folders)
    own = {"status.podIP": ip, "status.podIPs": ip, "status.hostIP": HOST}
    known = variables(container, pod, own, read)
    words = [
        expanded(word, known)
        for word in [*(container.get("command") or []), *(container.get("args") or [])]
    ]
    if not words:
        raise CannotStart(
            "RunContainerError", "no command: there is no image whose entry point could be run"
        )
    given = {"HOSTNAME": spec.get("hostname") or pod["metadata"]["name"], **known}
    return Launch(
        [localized(word, places) for word in words],
        _inherited(_IMAGE)
        | {name: localized(value, places) for name, value in given.items()}
        | _inherited(_MARKS),
        _directory(container, folder, places),
    )


def _inherited(names: Iterable[str]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}


def _order(pod: Object, name: str) -> str | None:
    return (pod["metadata"].get("annotations") or {}).get(PREFIX + name)


def _directory(container: Object, folder: Path, places: Mapping[str, Path]) -> Path:
    wanted = Path(localized(container.get("workingDir") or "", places))
    if wanted.is_absolute() and wanted.is_dir():
        return wanted
    own = folder / "work" / str(container["name"])
    own.mkdir(parents=True, exist_ok=True)
    return own
