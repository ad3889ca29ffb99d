"""
``raw.kubernetes``: fields of the object itself, merged into it last.

As in Kubernetes' own strategic merge, containers are merged by name, and a null removes. A second
container becomes a sidecar, so that the end of the training stays the end of the pod.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.manifests.author_form import find
from airflow_runai.core.manifests.field_places import METADATA, PLACES
from airflow_runai.core.manifests.labels import PREFIX
from airflow_runai.core.manifests.members import MEMBERS
from airflow_runai.core.pod_spec import MAIN
from airflow_runai.core.texts import cut

#: Lists whose entries are merged into each other, and those whose entries replace each other.
_MERGED = {"containers": "name", "initContainers": "name", "replicatedJobs": "name"}
_REPLACED = {
    "env": "name",
    "imagePullSecrets": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
_KEYS = {**_MERGED, **_REPLACED}
#: Their keys are the author's own words, also where they read like one of the lists.
_TEXTS = ("annotations", "labels", "matchLabels", "nodeSelector")
#: What waiting, counting and adopting rely on, by the first word of its place.
_FIXED = {
    "": "apiVersion kind status metadata.name metadata.namespace metadata.generateName",
    "job": "activeDeadlineSeconds backoffLimit backoffLimitPerIndex completionMode completions "
    "managedBy manualSelector parallelism podFailurePolicy podReplacementPolicy selector "
    "successPolicy suspend ttlSecondsAfterFinished",
    "pod": "activeDeadlineSeconds restartPolicy",
    "set": "failurePolicy managedBy replicatedJobs.replicas startupPolicy successPolicy suspend "
    "ttlSecondsAfterFinished",
}


def overlaid(workload: JsonMapping, patch: JsonMapping) -> JsonObject:
    """Return an object with ``patch`` merged into it."""
    merged: JsonObject = _merged(workload, patch, "")
    for pod in _pods(merged):
        _make_sidecars(pod)
    return merged


def overlay_problems(patch: object, kind: str) -> Iterator[str]:
    """Yield what is wrong with a patch: what it must not touch."""
    if not isinstance(patch, Mapping):
        yield f": a {type(patch).__name__}; allowed: fields of the {kind}, as in a manifest"
        return
    yield from _misshapen(patch, "")
    for at, name in find(patch, "spec.replicatedJobs[].name", ""):
        if name not in MEMBERS:
            yield f"{at}: {cut(repr(name), 80)}; allowed: {' and '.join(MEMBERS)}"
    for path in sorted(set(_leaves(patch, ""))):
        if any(_touches(path, fixed) for fixed in _fixed_paths(kind)):
            yield (
                f".{path}: what waiting and adopting rely on; allowed: the keys of the "
                "specification and the operator's timeouts; leave it out"
            )


def _misshapen(value: Any, path: str) -> Iterator[str]:
    """Yield the lists that cannot be merged, because they have another form."""
    if isinstance(value, list):
        for entry in value:
            yield from _misshapen(entry, path)
    for name, entry in value.items() if isinstance(value, Mapping) else ():
        key = _KEYS.get(name)
        if key and not _is_keyed_list(entry, key):
            yield f"{path}.{name}: allowed: a list of mappings, each with {key!r}"
        elif name not in _TEXTS:
            yield from _misshapen(entry, f"{path}.{name}")


def _is_keyed_list(value: Any, key: str) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, Mapping) and isinstance(entry.get(key), (str, int)) for entry in value
    )


def _fixed_paths(kind: str) -> Iterator[str]:
    for word, names in _FIXED.items():
        home = PLACES[kind].get(word, "")
        if home or not word:
            yield from (f"{home}.{name}".strip(".") for name in names.split())
    for home in METADATA[kind]:
        yield from (f"{home}.{part}.{PREFIX}" for part in ("labels", "annotations"))
        yield f"{home}.labels.app.kubernetes.io/managed-by"


def _touches(path: str, fixed: str) -> bool:
    below = path.startswith(fixed) and (fixed.endswith("/") or path[len(fixed) :][:1] in ("", "."))
    # A null, or anything else in the place of a mapping, takes everything below with it.
    return below or fixed.startswith(f"{path}.")


def _leaves(value: Any, path: str) -> Iterator[str]:
    """Yield the paths of all that would be replaced; a list without keys is replaced as a whole."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _leaves(entry, f"{path}.{key}".strip("."))
    elif isinstance(value, list) and path.rpartition(".")[2] in _KEYS:
        for entry in value:
            yield from _leaves(entry, path)
    else:
        yield path


def _merged(base: Any, patch: Any, name: str) -> Any:
    if isinstance(patch, Mapping):
        beneath = base if isinstance(base, Mapping) else {}
        is_text = name in _TEXTS
        both = {
            key: entry if is_text else _merged(beneath.get(key), entry, key)
            for key, entry in patch.items()
        }
        return {key: value for key, value in {**beneath, **both}.items() if value is not None}
    if isinstance(patch, list) and name in _KEYS:
        return _merged_lists(base or [], patch, name)
    return patch


def _merged_lists(base: list[Any], patch: list[Any], name: str) -> list[Any]:
    key = _KEYS[name]
    by_key = {entry.get(key): entry for entry in base}
    for entry in patch:
        beneath = by_key.get(entry[key]) if name in _MERGED else None
        by_key[entry[key]] = _merged(beneath, entry, "")
    return list(by_key.values())


def _pods(workload: JsonMapping) -> Iterator[JsonObject]:
    is_set = workload["kind"] == "JobSet"
    jobs = [one["template"] for one in workload["spec"]["replicatedJobs"]] if is_set else [workload]
    yield from (job["spec"]["template"]["spec"] for job in jobs)


def _make_sidecars(pod: JsonObject) -> None:
    """Turn all containers but the main one into init containers that go on running."""
    others = [container for container in pod["containers"] if container.get("name") != MAIN]
    if others:
        sidecars = [{**container, "restartPolicy": "Always"} for container in others]
        pod["containers"] = [one for one in pod["containers"] if one.get("name") == MAIN]
        pod["initContainers"] = [*pod.get("initContainers", []), *sidecars]
