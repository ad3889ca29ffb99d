"""What Kubernetes would refuse of a specification's storage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from airflow_runai.core.amounts import amount, spelled
from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.manifests.author_form import author_form, find
from airflow_runai.core.manifests.labels import SUBDOMAIN
from airflow_runai.core.manifests.volumes import HOME, SHARED_MEMORY, is_new
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.storage import Pvc, Storage
from airflow_runai.core.texts import cut

_REQUIRED = {
    "pvc": ("path",),
    "nfs": ("server", "path", "mount_path"),
    "host_path": ("path", "mount_path"),
    "git": ("repository", "path"),
    "config_map": ("name", "mount_path"),
    "secret": ("name", "mount_path"),
    "empty_dir": ("path",),
}
_MOUNT_PATHS = {kind: names[-1] for kind, names in _REQUIRED.items()}


def storage_problems(spec: WorkloadSpec) -> Iterator[str]:
    """Yield what is missing or wrong, each with its place."""
    storage = spec.storage or Storage()
    form = author_form(storage)
    yield from (f".storage{sentence}" for sentence in _missing(form))
    for index, pvc in enumerate(storage.pvc or ()):
        yield from (f".storage.pvc[{index}]{sentence}" for sentence in _claim_problems(pvc))
    yield from (f".storage{sentence}" for sentence in _path_problems(form))
    yield from _mount_problems(spec, form)


def _missing(form: JsonMapping) -> Iterator[str]:
    for kind, names in _REQUIRED.items():
        for at, entry in find(form, f"{kind}[]", ""):
            yield from (
                f"{at}.{name}: missing; Kubernetes needs it" for name in names if name not in entry
            )


def _claim_problems(pvc: Pvc) -> Iterator[str]:
    is_made = is_new(pvc) or pvc.ephemeral
    if not is_made and pvc.claim is None:
        yield ".claim: missing; allowed: the name of a claim, or the size of a new one"
    if is_made and not amount(spelled(pvc.size or "")):
        yield f".size: {pvc.size or 'missing'}; allowed: the size of the new claim, such as '100G'"
    for name in ("claim", "storage_class"):
        text = getattr(pvc, name)
        if text and not SUBDOMAIN.fullmatch(text):
            yield f".{name}: {cut(repr(text), 80)}; allowed: lower-case letters, digits, '-', '.'"


def _path_problems(form: JsonMapping) -> Iterator[str]:
    for path in ("host_path[].path", "config_map[].sub_path"):
        for at, text in find(form, path, ""):
            if ".." in text.split("/"):
                yield f"{at}: {cut(repr(text), 80)}; allowed: a path without '..'"
    for at, text in find(form, "config_map[].sub_path", ""):
        if text.startswith("/"):
            yield f"{at}: {cut(repr(text), 80)}; allowed: the name of an entry, without '/' first"


def _mount_problems(spec: WorkloadSpec, form: JsonMapping) -> Iterator[str]:
    mounts = [
        (f".storage{at}", text)
        for kind, name in _MOUNT_PATHS.items()
        for at, text in find(form, f"{kind}[].{name}", "")
    ]
    if spec.compute and spec.compute.large_shm:
        mounts.append((".compute.large_shm", SHARED_MEMORY))
    if spec.create_home_dir:
        mounts.append((".create_home_dir", HOME))
    uses = Counter(text for _, text in mounts)
    for at, text in mounts:
        if ":" in text:
            yield f"{at}: {cut(repr(text), 80)}; allowed: a path without ':'"
        if uses[text] > 1:
            yield f"{at}: {cut(text, 80)} has {uses[text]} mounts; allowed: one for each path"
