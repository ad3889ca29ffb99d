"""
What Kubernetes would refuse of a specification that Run:ai's control plane takes or completes.

Everything is found at once and named by its place in the specification, before anything is sent.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_runai.core.fields import read
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.manifests.author_form import author_form, find
from airflow_runai.core.manifests.dialects import Dialect
from airflow_runai.core.manifests.labels import (
    MAX_LENGTH,
    SUBDOMAIN,
    annotation_problems,
    is_label_key,
    is_label_value,
    label_problems,
)
from airflow_runai.core.manifests.members import members
from airflow_runai.core.manifests.metadata import own_labels, priority_class, scheduling_labels
from airflow_runai.core.manifests.overlay import overlay_problems
from airflow_runai.core.manifests.refusals import refused
from airflow_runai.core.manifests.request import ManifestRequest
from airflow_runai.core.manifests.resources import compute_problems
from airflow_runai.core.manifests.storage_checks import storage_problems
from airflow_runai.core.pod_spec import Compute, Security, Toleration
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.texts import cut

_LARGEST = 2**31 - 1
#: The largest number that Kubernetes takes, where Run:ai names none.
_AT_MOST = {
    "backoff_limit": 10**6,
    "auto_deletion": _LARGEST,
    "termination_grace_period": _LARGEST,
    "completions": 10**6,
    "parallelism": 10**5,
    "distributed.workers": 10**4,
    "security.run_as_uid": _LARGEST,
    "security.run_as_gid": _LARGEST,
    "tolerations[].seconds": _LARGEST,
}
_POD_FIELD = re.compile(
    r"metadata\.(name|namespace|uid|(labels|annotations)\['[\w./-]+'\])|"
    r"spec\.(nodeName|serviceAccountName)|status\.(hostIPs?|podIPs?)"
)
_KEY_OF_DATA = re.compile(r"(?!\.{1,2}\Z)[-._a-zA-Z0-9]{1,253}")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
#: Annotations that other fields make, or that KAI does.
_ANNOTATIONS = {"gpu-fraction": "", "gpu-memory": "", "pod-group-name": ""}


def problems(request: ManifestRequest, dialect: Dialect) -> list[str]:
    """Return a sentence for everything that prevents the objects from being written."""
    form = _form(request.spec)
    ours = {**own_labels(request), **scheduling_labels(request, dialect)}
    found = [
        *_place_problems(request, dialect),
        *(hit.sentence for hit in refused(form, dialect.name, request.terms)),
        *_number_problems(form),
        *(f"spec{sentence}" for sentence in _whole_problems(request, dialect)),
        *_member_problems(request.spec, ours),
    ]
    return list(dict.fromkeys(found))


def _form(spec: WorkloadSpec) -> JsonObject:
    """Return what the author wrote, the master's part with checked values, too."""
    form = author_form(spec)
    if spec.distributed and spec.distributed.master is not None:
        own = read(WorkloadSpec, spec.distributed.master, "", [])
        form["distributed"]["master"] = author_form(own)
    return form


def _member_problems(spec: WorkloadSpec, ours: Mapping[str, str]) -> Iterator[str]:
    *_, worker = members(spec)
    inherited = list(_pod_problems(worker.spec, ours))
    for member in members(spec):
        for sentence in _pod_problems(member.spec, ours):
            if member.place == worker.place or sentence not in inherited:
                yield f"{member.place}{sentence}"


def _place_problems(request: ManifestRequest, dialect: Dialect) -> Iterator[str]:
    if not _NAMESPACE.fullmatch(request.namespace):
        yield (
            f"namespace: {cut(repr(request.namespace), 80)}; allowed: at most {MAX_LENGTH} "
            "lower-case letters, digits and '-'"
        )
    if dialect.queue_labels and not request.queue:
        yield f"project: missing; the dialect {dialect.name!r} needs the name of a queue"
    if request.queue and dialect.queue_labels and not is_label_value(request.queue):
        yield f"project: {cut(repr(request.queue), 80)}; allowed: the name of a queue"


def _number_problems(form: JsonMapping) -> Iterator[str]:
    for prefix in ("", "distributed.master."):
        for path, most in _AT_MOST.items():
            for at, number in find(form, f"{prefix}{path}", "spec"):
                if number > most:
                    yield f"{at}: {number}; allowed: at most {most}"


def _whole_problems(request: ManifestRequest, dialect: Dialect) -> Iterator[str]:
    spec = request.spec
    priority = priority_class(request)
    if priority and not (SUBDOMAIN.fullmatch(priority) and is_label_value(priority)):
        yield f".priority: {cut(repr(priority), 80)}; allowed: the name of a priority class"
    if dialect.node_pool_label and not all(map(is_label_value, spec.node_pools or ())):
        yield f".node_pools: {cut(repr(spec.node_pools), 80)}; allowed: the name of a node pool"
    if spec.distributed and spec.distributed.workers is None:
        yield ".distributed.workers: missing; allowed: a whole number from 1"
    if spec.for_kubernetes is not None:
        kind = "JobSet" if spec.distributed else "Job"
        problems = overlay_problems(spec.for_kubernetes, kind)
        yield from (f".raw.kubernetes{sentence}" for sentence in problems)


def _pod_problems(spec: WorkloadSpec, ours: Mapping[str, str]) -> Iterator[str]:
    if spec.image and spec.image != spec.image.strip():
        yield f".image: {cut(repr(spec.image), 80)}; allowed: without blanks around it"
    yield from _command_problems(spec)
    yield from _variable_problems(spec.environment or {})
    yield from (f".compute{s}" for s in compute_problems(spec.compute or Compute()))
    yield from storage_problems(spec)
    for index, toleration in enumerate(spec.tolerations or ()):
        yield from (f".tolerations[{index}]{s}" for s in _toleration_problems(toleration))
    yield from _group_problems(spec.security or Security())
    yield from (f".labels{s}" for s in label_problems(spec.labels or {}, ours))
    yield from (
        f".annotations{s}" for s in annotation_problems(spec.annotations or {}, _ANNOTATIONS)
    )
    if spec.node_type and not is_label_value(spec.node_type):
        yield f".node_type: {cut(repr(spec.node_type), 80)}; allowed: the value of a label of nodes"


def _command_problems(spec: WorkloadSpec) -> Iterator[str]:
    for name, text in (("command", spec.command), ("args", spec.args)):
        try:
            shlex.split(text or "")
        except ValueError:
            # Not shown: it may hold a secret.
            yield f".{name}: a quote is open, or a backslash is last; allowed: words as for a shell"


def _variable_problems(environment: JsonMapping) -> Iterator[str]:
    for name, entry in environment.items():
        if not isinstance(entry, Mapping):
            continue
        kind, where = next(iter(entry.items()))
        if kind == "pod_field" and not _POD_FIELD.fullmatch(where):
            yield (
                f".environment.{name}.pod_field: {cut(repr(where), 80)}; allowed: a field such as "
                "metadata.name, metadata.labels['…'], spec.nodeName or status.podIP"
            )
        if kind in ("secret", "config_map") and not _KEY_OF_DATA.fullmatch(str(where["key"])):
            yield (
                f".environment.{name}.{kind}.key: {cut(repr(where['key']), 80)}; allowed: letters, "
                "digits, '-', '_' and '.'"
            )


def _toleration_problems(toleration: Toleration) -> Iterator[str]:
    is_any = toleration.operator == "Exists"
    if toleration.key is None and not is_any:
        yield ".key: missing; allowed: without a key only the operator 'Exists'"
    if toleration.key is not None and not is_label_key(toleration.key):
        yield f".key: {cut(repr(toleration.key), 80)}; allowed: the key of a taint"
    if is_any and toleration.value is not None:
        yield f".value: {cut(repr(toleration.value), 80)}; allowed: none with the operator 'Exists'"
    if toleration.value is not None and not is_label_value(toleration.value):
        yield f".value: {cut(repr(toleration.value), 80)}; allowed: the value of a taint"
    if toleration.seconds is not None and toleration.effect != "NoExecute":
        yield f".seconds: {toleration.seconds}; allowed: only with the effect 'NoExecute'"


def _group_problems(security: Security) -> Iterator[str]:
    groups: list[Any] = (security.supplemental_groups or "").split(",")
    wrong = [one for one in groups if one.strip() and not re.fullmatch(r"\d{1,9}", one.strip())]
    if wrong:
        yield (
            f".security.supplemental_groups: {cut(repr(wrong[0]), 80)}; allowed: group ids, "
            "separated by commas"
        )
