"""
Where a key reaches the object of Kubernetes, for locks: ``raw.kubernetes`` must leave that alone.

Wider than what the provider sets there. Every container and every member counts, and so do fields
by which Kubernetes overrules a value, or lets the same be said in another way.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_runai.core.manifests.field_places import KINDS, MAPPING, METADATA, PLACES
from airflow_runai.core.templates.text import Path

#: A step of a path: each entry of a list.
EVERY = "[]"
_LISTS = ("containers", "replicatedJobs")
_TEXTS = ("annotations", "labels")
_PATCH, _MASTER = ("raw", "kubernetes"), ("distributed", "master")
#: What says the same as the places of a key, or overrules them.
_ALSO = {
    "compute": (
        "pod-annotations.gpu-fraction",
        "pod-annotations.gpu-fraction-num-devices",
        "pod-annotations.gpu-memory",
        "pod.resourceClaims",
        "pod.resources",
    ),
    "environment": ("main.envFrom",),
    "node_type": ("pod.affinity", "pod.nodeName"),
    "security": (
        "main.securityContext",
        "pod.hostPID",
        "pod.hostUsers",
        "pod.securityContext",
        "pod.shareProcessNamespace",
    ),
    "storage": ("main.volumeDevices",),
}


def kubernetes_paths(path: Path) -> list[Path]:
    """Return all other paths of a specification by which a key is reached on Kubernetes."""
    named = path[1:] if path[0] in _TEXTS else ()
    found = [one for place in _places(path) for one in _paths(place, named)]
    return list(dict.fromkeys(found))


def _places(path: Path) -> Iterator[str]:
    for row in MAPPING:
        if _meet(tuple(row.field.replace(EVERY, "").split(".")), path):
            # Else only a copy of the value, for whoever reads it there.
            yield from (one for one in row.places if one != "main.env" or path[0] == "environment")
    yield from _ALSO.get(path[0], ())


def _meet(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _paths(place: str, named: Path) -> Iterator[Path]:
    word, _, field = place.partition(".")
    text = word.removeprefix("pod-")
    if text in _TEXTS:
        names = (field,) if field else named
        yield from ((*home, text, *names) for home in ((), _MASTER) if field)
        yield from ((*_PATCH, *_steps(home), text, *names) for k in KINDS for home in METADATA[k])
        return
    for home in (PLACES[kind][word] for kind in KINDS if word in PLACES[kind]):
        yield from _in_all_containers((*_PATCH, *_steps(home), *_whole(word, field)))


def _whole(word: str, field: str) -> Path:
    """Return the steps to the part that holds a field: what lies beside it may overrule it."""
    steps = tuple(field.split(".")) if field else ()
    return {"pod": steps[:1], "main": steps[:1], "volumes": (), "mounts": ()}.get(word, steps)


def _in_all_containers(path: Path) -> Iterator[Path]:
    yield path
    if "containers" in path:
        yield tuple("initContainers" if step == "containers" else step for step in path)


def _steps(dotted: str) -> Iterator[str]:
    for name in dotted.split("."):
        yield from (name, EVERY) if name in _LISTS else (name,)
