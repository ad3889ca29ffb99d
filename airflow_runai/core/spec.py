"""
The specification of a workload: the frozen :class:`WorkloadSpec` and its parts.

Each field stands here once, beside its name on the wire. Authors write plain mappings (Airflow
renders those); ``execute`` turns them into a :class:`WorkloadSpec`. Keys that are unknown here go
through ``raw``, which is merged last, in the server's own spelling. Names and ranges follow
the control plane's API description, versions 2.18–2.24.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_runai.core import environment as variables
from airflow_runai.core import storage
from airflow_runai.core.fields import (
    Part,
    Parts,
    declared,
    nested_unknown_keys,
    read,
    wire,
    write,
)
from airflow_runai.core.json_merge import JsonMapping, JsonObject, canonical, deep_merge
from airflow_runai.core.pod_spec import Compute, Security, Toleration
from airflow_runai.core.values import (
    absolute_path,
    as_json,
    flag,
    image_name,
    mapping,
    named_texts,
    one_of,
    text,
    texts,
    whole,
)
from airflow_runai.errors import SpecError

#: Key of ``raw`` that only the platform Kubernetes reads.
_KUBERNETES = "kubernetes"


def _write_named(value: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": entry} for name, entry in value.items()]


@dataclass(frozen=True)
class Distributed:
    """What makes a training distributed; its presence selects the distributed endpoint."""

    framework: str | None = wire(
        "distributedFramework", one_of("PyTorch", "TF", "MPI", "XGBoost", "JAX"), "launcher"
    )
    workers: int | None = wire("numWorkers", whole(1), "worker pods, the master not counted")
    min_replicas: int | None = wire("minReplicas", whole(1), "PyTorch elastic")
    max_replicas: int | None = wire("maxReplicas", whole(1), "PyTorch elastic")
    slots_per_worker: int | None = wire("slotsPerWorker", whole(1), "MPI")
    clean_pod_policy: str | None = wire(
        "cleanPodPolicy", one_of("None", "All", "Running"), "pods kept at the end"
    )
    master: JsonObject | None = wire(
        "masterSpec", mapping, "fields of the master where they differ; else as a worker"
    )

    def problems(self) -> list[str]:
        """Return what is wrong with the part as a whole, the master's fields included."""
        problems = []
        if not self.framework:
            problems.append(".framework: missing; allowed: PyTorch, TF, MPI, XGBoost, JAX")
        if self.master is not None:
            _read_master(self.master, problems)
        return problems


@dataclass(frozen=True)
class WorkloadSpec:
    """An unattended training; see :meth:`from_mapping`."""

    image: str | None = wire(
        "image", image_name, "container image; the one for interactive work will do"
    )
    image_pull_policy: str | None = wire(
        "imagePullPolicy", one_of("Always", "Never", "IfNotPresent"), "as in Kubernetes"
    )
    image_pull_secrets: tuple[str, ...] | None = wire(
        "imagePullSecrets",
        texts,
        "names of pull secrets",
        lambda names: [{"name": name} for name in names],
    )
    command: str | None = wire(
        "command", text, "one text that replaces the entry point, e.g. ./startup.sh"
    )
    args: str | None = wire("args", text, "one text of arguments")
    working_dir: str | None = wire(
        "workingDir", absolute_path, "working directory in the container"
    )
    environment: JsonObject | None = wire(
        "environmentVariables",
        variables.Environment(),
        "name: value, or name: {secret: {name, key}}",
        variables.write_environment,
    )
    compute: Compute | None = wire(
        "compute", Part(Compute), "GPUs, CPUs, memory", lambda c: c.to_wire() or None
    )
    storage: storage.Storage | None = wire(
        "storage", Part(storage.Storage), "what is mounted where"
    )
    preemptibility: str | None = wire(
        "preemptibility",
        one_of("preemptible", "semi-preemptible", "non-preemptible"),
        "default preemptible: may use idle GPUs beyond quota and may be stopped at any time; "
        "semi-preemptible (3.0 on): only the pods beyond `distributed.min_replicas`",
    )
    priority: str | None = wire(
        "priorityClass", text, "very-low … very-high, or a class of your cluster"
    )
    node_pools: tuple[str, ...] | None = wire("nodePools", texts, "in order of preference")
    node_type: str | None = wire("nodeType", text, "label of the nodes")
    tolerations: tuple[Toleration, ...] | None = wire(
        "tolerations", Parts(Toleration), "accepted node taints"
    )
    backoff_limit: int | None = wire(
        "backoffLimit", whole(0), "restarts after failures; the server's default is 6"
    )
    restart_policy: str | None = wire(
        "restartPolicy", one_of("Always", "Never", "OnFailure"), "of the pods"
    )
    termination_grace_period: int | None = wire(
        "terminationGracePeriodSeconds",
        whole(0),
        "seconds between SIGTERM and SIGKILL, to save a checkpoint",
    )
    terminate_after_preemption: bool | None = wire(
        "terminateAfterPreemption", flag, "true makes the first preemption the end"
    )
    auto_deletion: int | None = wire(
        "autoDeletionTimeAfterCompletionSeconds",
        whole(0),
        "seconds after the end; the server's default is 30 days",
    )
    completions: int | None = wire(
        "completions", whole(1), "runs of a hyper-parameter set (single training)"
    )
    parallelism: int | None = wire("parallelism", whole(1), "how many of them at once")
    security: Security | None = wire("security", Part(Security), "identity and rights")
    labels: dict[str, str] | None = wire("labels", named_texts, "name: value", _write_named)
    annotations: dict[str, str] | None = wire(
        "annotations", named_texts, "name: value", _write_named
    )
    create_home_dir: bool | None = wire("createHomeDir", flag, "make a temporary home directory")
    distributed: Distributed | None = wire(
        "distributed", Part(Distributed), "several pods instead of one"
    )
    template_id: str | None = wire(
        "templateId", text, "a template of the control plane, which this overrides"
    )
    raw: JsonObject | None = wire(
        "raw",
        as_json,
        "fields in the server's spelling, merged last; `kubernetes`: of the Kubernetes object",
    )

    @classmethod
    def from_mapping(cls, source: JsonMapping) -> WorkloadSpec:
        """
        Check a plain mapping and build the specification.

        :raises SpecError: listing every mistake, each with path, value, what is allowed and what to
            do.
        """
        problems: list[str] = []
        spec = read(cls, source, "spec", problems)
        if isinstance(source, Mapping):
            problems.extend(f"spec{sentence}" for sentence in spec._problems(source))
        if problems:
            raise SpecError(problems)
        return spec

    def _problems(self, source: JsonMapping) -> Iterator[str]:
        if self.compute:
            yield from (f".compute{sentence}" for sentence in self.compute.problems())
        # In the source: an image that was refused is not missing as well.
        if source.get("image") is None and source.get("template_id") is None:
            yield ".image: missing; name the container image (or a template_id that has one)"
        if self.distributed:
            yield from (f".distributed{sentence}" for sentence in self.distributed.problems())
            if self.completions or self.parallelism:
                yield ".completions: together with distributed; allowed: single trainings only"

    @property
    def kind(self) -> str:
        """Path segment of the typed endpoint: ``trainings`` or ``distributed``."""
        return "distributed" if self.distributed else "trainings"

    def with_environment(self, added: Mapping[str, str]) -> WorkloadSpec:
        """Return the same specification with more variables; names already set keep their value."""
        return replace(self, environment={**added, **(self.environment or {})})

    def to_wire(self) -> JsonObject:
        """Return the request body without name, project and cluster."""
        body: JsonObject = {}
        # Always sent: the server's own default follows from the priority class.
        spec = {
            "preemptibility": "preemptible",
            **write(replace(self, raw=None, template_id=None, distributed=None)),
        }
        if self.distributed:
            body |= _master(spec, self.distributed.master)
            spec |= write(replace(self.distributed, master=None))
        if self.template_id:
            body["templateId"] = self.template_id
        return {**body, "spec": deep_merge(spec, _for_runai(self.raw))}

    @property
    def for_kubernetes(self) -> Any:
        """What ``raw`` says of the Kubernetes object; Run:ai's control plane never sees it."""
        return (self.raw or {}).get(_KUBERNETES)

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change with what a platform gets, not with order."""
        sent = self.to_wire()
        if self.for_kubernetes is not None:
            sent[_KUBERNETES] = self.for_kubernetes
        text = json.dumps(canonical(sent), separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _for_runai(raw: JsonMapping | None) -> JsonMapping:
    return {key: value for key, value in (raw or {}).items() if key != _KUBERNETES}


def _master(worker: JsonMapping, source: JsonMapping | None) -> JsonObject:
    if source is None:
        return {"masterSpecSameAsWorker": True}
    own = _read_master(source, [])
    if own.compute and own.compute.asks_for_gpus:
        worker = _without_gpus(worker)
    master = deep_merge(worker, write(replace(own, raw=None)))
    return {"masterSpec": deep_merge(master, _for_runai(own.raw))}


def _without_gpus(worker: JsonMapping) -> JsonObject:
    # The master's answer is the whole answer: its devices would contradict a worker's share.
    compute = worker.get("compute") or {}
    others = {key: value for key, value in compute.items() if not key.startswith("gpu")}
    return {**worker, "compute": others}


def _read_master(source: JsonMapping, problems: list[str]) -> WorkloadSpec:
    own = read(WorkloadSpec, source, ".master", problems)
    if own.compute:
        problems += [f".master.compute{sentence}" for sentence in own.compute.problems()]
    for name in ("distributed", "template_id", "completions", "parallelism"):
        if getattr(own, name) is not None:
            problems.append(
                f".master.{name}: belongs to the whole workload; set it beside 'distributed'"
            )
    return own


_NESTED: dict[str, type] = {
    "compute": Compute,
    "distributed": Distributed,
    "security": Security,
    "storage": storage.Storage,
}


def check_keys(source: object) -> None:
    """
    Check only the names of the keys, which is possible before Airflow has rendered the values.

    :raises SpecError: naming every key that is not known, with the nearest valid one.
    """
    problems = nested_unknown_keys(WorkloadSpec, source, "spec")
    several = source.get("distributed") if isinstance(source, Mapping) else None
    if isinstance(several, Mapping):
        master = several.get("master")
        problems += nested_unknown_keys(WorkloadSpec, master, "spec.distributed.master")
    if problems:
        raise SpecError(problems)


def key_table() -> list[tuple[str, str, str]]:
    """Return (key, name on the wire, meaning) for every key, for the documentation."""
    return [
        (f"{prefix}{name}", item.metadata["wire"], item.metadata["doc"])
        for prefix, cls in [("", WorkloadSpec), *((f"{key}.", cls) for key, cls in _NESTED.items())]
        for name, item in declared(cls).items()
    ]
