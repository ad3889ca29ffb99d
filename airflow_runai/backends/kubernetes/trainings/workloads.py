"""Trainings on Kubernetes: found, made, read and ended, as all platforms do it."""

# ruff: noqa: D102 - `core/backend.py` says what a method means
from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from airflow_runai.backends.kubernetes.api import writes
from airflow_runai.backends.kubernetes.api.lists import read_objects
from airflow_runai.backends.kubernetes.api.objects import meta
from airflow_runai.backends.kubernetes.api.paths import (
    JOBS,
    KUEUE_WORKLOADS,
    NAMESPACES,
    ResourceKind,
)
from airflow_runai.backends.kubernetes.api.refusals import Sight, confirmed
from airflow_runai.backends.kubernetes.known_cluster import KnownCluster
from airflow_runai.backends.kubernetes.trainings import creation
from airflow_runai.backends.kubernetes.trainings.admission import hold_back
from airflow_runai.backends.kubernetes.trainings.evidence import writers
from airflow_runai.backends.kubernetes.trainings.listed_trainings import (
    ListedTraining,
    kinds_of,
    list_trainings,
)
from airflow_runai.backends.kubernetes.trainings.reader import TrainingReader, kind_of
from airflow_runai.backends.kubernetes.trainings.readings import KINDS, read_training
from airflow_runai.core.backend import Workloads
from airflow_runai.core.flow import Flow, now
from airflow_runai.core.kubernetes.job_facts import QUEUE
from airflow_runai.core.kubernetes.mirror import Mirror
from airflow_runai.core.kubernetes.objects import at, word
from airflow_runai.core.kubernetes.training_container import own_variables, training_container
from airflow_runai.core.manifests import Dialect, Precondition
from airflow_runai.core.manifests.dialects import Registry
from airflow_runai.core.manifests.labels import SPECIFICATION_ANNOTATION
from airflow_runai.core.marks import Mark
from airflow_runai.core.naming import generation_of
from airflow_runai.core.origin import origin
from airflow_runai.core.orphans import Owned
from airflow_runai.core.phases import FINAL
from airflow_runai.core.project import Project
from airflow_runai.core.reader import WorkloadReader
from airflow_runai.core.submission import Numbered
from airflow_runai.core.submission_request import SubmissionRequest
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotFound, NotResolved

_NAMESPACES = Registry("", NAMESPACES.resource)
_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class KubernetesWorkloads(Workloads):
    """
    Trainings on one cluster. Its methods mean what :class:`Workloads` says.

    A project is a namespace of its own name, or a queue in the connection's namespace; the id of a
    workload is its uid, and its project's id is its namespace. No cluster lists what was deleted.
    """

    def __init__(self, cluster: KnownCluster) -> None:
        self.settings = cluster.settings
        self._cluster = cluster
        self._sight = Sight()

    def find_project(self, name: str, cluster: str | None = None) -> Flow[Project]:
        settings = self.settings
        if cluster not in (None, settings.cluster):
            raise NotResolved(
                f"cluster {cluster!r}: this connection leads to {settings.cluster!r} only; leave "
                "it out, or name another connection"
            )
        namespace = settings.namespace or name
        registry = (yield from self.dialect()).queues
        if registry is None and settings.namespace is None:
            registry = _NAMESPACES
        if registry:
            served = yield from self._cluster.discovery()
            yield from creation.require(Precondition(registry, name, "project"), namespace, served)
        return Project(namespace, name, settings.cluster, namespace)

    def find(
        self, project: Project, name: str, *, exact: bool = False, deleted: bool = False
    ) -> Flow[list[Workload]]:
        if deleted:
            return []
        if exact:
            return (yield from self._named(project, name))
        listed = yield from self._listed(project.id or None)
        workloads = [self._workload(one) for one in listed]
        return [one for one in workloads if one.name.startswith(name)]

    def find_generations(
        self, project: Project, digest: str, *, deleted: bool = False
    ) -> Flow[list[Numbered]]:
        if deleted:
            return []
        listed = yield from self._listed(project.id or None, digest)
        found = [self._workload(one) for one in listed]
        numbered = [(generation_of(digest, one.name), one) for one in found]
        return [(number, one) for number, one in numbered if number is not None]

    def resolve(self, project: Project, name_or_id: str) -> Flow[Workload]:
        if _UID.fullmatch(name_or_id):
            listed = yield from self._listed(project.id or None)
            found = [self._workload(one) for one in listed]
            found = [one for one in found if one.id == name_or_id]
        else:
            found = yield from self._named(project, name_or_id)
        if not found:
            raise NotResolved(
                f"workload {name_or_id!r}: project {project.name!r} has none of this name or id"
            )
        return found[-1]

    def inventory(
        self,
        instance: str,
        project: str | None = None,
        cluster: str | None = None,
        *,
        digest: str = "",
        ended: bool = False,
    ) -> Flow[list[Owned]]:
        namespace = self.settings.namespace
        if cluster not in (None, self.settings.cluster):
            return []
        if project is not None:
            namespace = (yield from self.find_project(project, cluster)).id
        dialect = yield from self.dialect()
        listed = yield from self._listed(namespace, digest)
        owned = [self._owned(one, instance, dialect) for one in listed]
        return [
            one
            for one in owned
            if one
            and (ended or one.workload.meaning not in FINAL)
            and project in (None, one.project)
        ]

    def create(self, project: Project, request: SubmissionRequest) -> Flow[Workload]:
        dialect = yield from self.dialect()
        made = creation.manifests(project, request, dialect, self.settings)
        served = yield from self._cluster.discovery()
        wait = partial(creation.let_nobody_write, project.id, made.workload)
        yield from self._sight.attempt(project.id, "Pod", wait)
        created = yield from creation.create(project.id, made, served)
        return self._fresh(made.workload["kind"], created.object, (yield from now()))

    def rehearse(
        self, project: Project, request: SubmissionRequest
    ) -> Flow[tuple[str, ...] | None]:
        dialect = yield from self.dialect()
        made = creation.manifests(project, request, dialect, self.settings)
        served = yield from self._cluster.discovery()
        return (yield from creation.create(project.id, made, served, dry_run=True)).warnings

    def reader(self, start: Workload) -> WorkloadReader:
        return TrainingReader(start, self._cluster, self._sight)

    def get_spec(self, workload: Workload) -> Flow[Mapping[str, Any]]:
        found = yield from confirmed(partial(writes.read, _path(workload), workload.id))
        return _specification(found)

    def standing_pods(self, workload: Workload) -> Flow[int]:
        _, _, label = kind_of(workload)
        return writers(workload.project_id, workload.id, label)

    def suspend(self, workload: Workload) -> Flow[None]:
        return _suspended(self._cluster, workload, True)

    def resume(self, workload: Workload) -> Flow[None]:
        return _suspended(self._cluster, workload, False)

    def delete(self, workload: Workload) -> Flow[None]:
        yield from writes.delete(_path(workload), workload.id)

    def dialect(self) -> Flow[Dialect]:
        """Return how this cluster is told about queues and priorities."""
        return self._cluster.dialect()

    def _listed(self, namespace: str | None, identity: str = "") -> Flow[list[ListedTraining]]:
        cluster = yield from self._cluster.discovery()
        return (yield from list_trainings(cluster, self._sight, namespace, identity))

    def _workload(self, one: ListedTraining) -> Workload:
        return one.reading.workload(self.settings.cluster)

    def _named(self, project: Project, name: str) -> Flow[list[Workload]]:
        """Return who has this name, whoever made it; each as it is now."""
        selector = [("fieldSelector", f"metadata.name={name}")]
        found: list[Workload] = []

        def take(kind: str, resource: ResourceKind) -> Flow[None]:
            items, _ = yield from read_objects(resource.collection(project.id or None), selector)
            for item in items:
                fresh = self._fresh(kind, item, (yield from now()))
                with suppress(NotFound):  # gone since it was listed
                    found.append((yield from self.reader(fresh).read(fresh.id)))

        for kind, resource in kinds_of((yield from self._cluster.discovery())):
            make = partial(take, kind, resource)
            if resource is JOBS:
                yield from make()
            else:
                yield from self._sight.attempt(project.id or None, kind, make)
        return found

    def _fresh(self, kind: str, found: Mapping[str, Any], moment: float) -> Workload:
        """Return what an object alone says."""
        mirror = Mirror()
        mirror.found(kind, found, moment)
        reading = read_training(mirror, meta(found, "uid"))
        assert reading is not None, "its object was just read"
        return replace(reading.workload(self.settings.cluster), kind=KINDS[kind])

    def _owned(self, one: ListedTraining, instance: str, dialect: Dialect) -> Owned | None:
        variables = own_variables(one.object)
        workload = self._workload(one)
        found = origin({"name": workload.name, "environmentVariables": variables}, instance)
        if found is None:
            return None
        labels = [word(one.object, "metadata", "labels", key) for key in dialect.queue_labels]
        project = next(filter(None, labels), workload.project_id)
        return Owned(workload, found, Mark.from_environment(variables), project)


def _path(workload: Workload) -> str:
    _, resource, _ = kind_of(workload)
    return resource.object(workload.project_id, workload.name)


def _suspended(cluster: KnownCluster, workload: Workload, wanted: bool) -> Flow[None]:
    found = yield from confirmed(partial(writes.read, _path(workload), workload.id))
    if word(found, "metadata", "labels", QUEUE):
        kind = yield from cluster.kind(KUEUE_WORKLOADS)
        yield from hold_back(kind, workload, wanted)
        return

    def decide(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
        is_so = (at(found, "spec", "suspend") is True) == wanted
        return None if is_so else {"spec": {"suspend": wanted}}

    yield from writes.change(_path(workload), workload.id, decide)


def _specification(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the annotation says, with image and command as the container has them."""
    try:
        noted = json.loads(at(found, "metadata", "annotations", SPECIFICATION_ANNOTATION) or "")
    except (ValueError, TypeError, RecursionError):
        noted = {}
    spec = at(noted, "spec")
    container = training_container(found)
    real: dict[str, Any] = {"image": word(container, "image")}
    for name in ("command", "args"):
        said, words = at(spec, name), at(container, name) or []
        if not isinstance(said, str) or shlex.split(said) != words:
            real[name] = shlex.join(map(str, words)) if words else None
    return {**(spec if isinstance(spec, Mapping) else {}), **real}
