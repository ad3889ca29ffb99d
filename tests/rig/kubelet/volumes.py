"""
The volumes of a pod as folders, and what their mounts are called in text.

A process cannot have a file system of its own here, so every mention of a mount path in command,
arguments and environment is replaced by the folder. What a program builds from parts itself
escapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.rig.api import Object
from tests.rig.kubelet.environment import CannotStart, Reader, decoded

__all__ = ["folder_of", "localized", "mounts"]

_EMPTY = ("emptyDir", "projected", "downwardAPI", "ephemeral")


def mounts(container: Object, folders: Mapping[str, Path]) -> dict[str, Path]:
    """Map each mount path of a container to its folder (or file), longest path first."""
    found = {}
    for mount in container.get("volumeMounts") or []:
        place = folders[mount["name"]] / mount.get("subPath", "").lstrip("/")
        found[mount["mountPath"].rstrip("/") or "/"] = _made(place)
    return dict(sorted(found.items(), key=lambda entry: -len(entry[0])))


def localized(text: str, places: Mapping[str, Path]) -> str:
    """Replace mount paths in a text, but no longer name that only begins like one."""
    if not places:
        return text
    either = "|".join(re.escape(path) for path in places)
    return re.sub(rf"(?<![\w./-])(?:{either})(?![\w.-])", lambda match: str(places[match[0]]), text)


def folder_of(volume: Object, own: Path, read: Reader) -> Path:
    """
    Find or make the folder of a volume.

    :param own: where it may lie, if it lives as long as the pod.
    :raises CannotStart: if what it names is not there, or it is of an unknown kind.
    """
    if host := volume.get("hostPath"):
        return _made(Path(host["path"]))
    if claim := volume.get("persistentVolumeClaim"):
        return _made(_claimed(claim["claimName"], read))
    _made(own)
    for kind in ("configMap", "secret"):
        if source := volume.get(kind):
            _fill(own, kind, source, read, volume["name"])
            return own
    if not any(kind in volume for kind in _EMPTY):
        raise _unmounted(
            volume["name"], f"the stand-in does not know {sorted(set(volume) - {'name'})}"
        )
    return own


def _made(place: Path) -> Path:
    if not place.exists():
        place.mkdir(parents=True, exist_ok=True)
    return place


def _claimed(name: str, read: Reader) -> Path:
    claim = read("persistentvolumeclaims", name)
    bound = (claim or {}).get("spec", {}).get("volumeName")
    volume = read("persistentvolumes", bound) if bound else None
    source = (volume or {}).get("spec", {})
    place = source.get("hostPath") or source.get("local")
    if not place:
        raise _unmounted(name, "the claim is not bound to a volume with a hostPath")
    return Path(place["path"])


def _fill(folder: Path, kind: str, source: Object, read: Reader, volume: str) -> None:
    name = source["name" if kind == "configMap" else "secretName"]
    found = read(f"{kind.lower()}s", name)
    if found is None and not source.get("optional"):
        raise _unmounted(volume, f'{kind.lower()} "{name}" not found')
    content = decoded(kind, found or {})
    items = source.get("items") or [{"key": key, "path": key} for key in content]
    for item in items:
        if item["key"] not in content:
            raise _unmounted(volume, f"references non-existent {kind.lower()} key: {item['key']}")
        target = folder / item["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content[item["key"]])


def _unmounted(volume: str, words: str) -> CannotStart:
    said = f'MountVolume.SetUp failed for volume "{volume}" : {words}'
    return CannotStart("ContainerCreating", "", "FailedMount", said)
