"""A Kubernetes cluster as a connection of type ``kubernetes`` reaches it."""

# ruff: noqa: D102 - `platform.py` says what a method means
from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_runai.backends.access import ClusterAccess, async_client, client
from airflow_runai.backends.kubernetes.platform import KubernetesBackend
from airflow_runai.backends.kubernetes.watching.awaited_trainings import AwaitedTraining
from airflow_runai.backends.kubernetes.watching.namespace_reflectors import ClusterReflectors
from airflow_runai.core.flow import Flow, Reply, Request
from airflow_runai.core.project import Project
from airflow_runai.core.workload import Workload
from airflow_runai.hooks.kubernetes import obtaining
from airflow_runai.hooks.kubernetes_settings import ClusterConnection, is_namespace
from airflow_runai.hooks.platform import NewsSource, Platform, Published

if TYPE_CHECKING:
    import httpx


class ClusterPlatform(Platform):
    """A cluster: its clients renew a login by themselves, and reflectors serve all waits."""

    #: What an API server allows one client without a thought.
    pace = 50.0

    def __init__(self, connection: ClusterConnection, access: ClusterAccess) -> None:
        self._cluster = access.cluster
        self.backend = KubernetesBackend(replace(connection.trainings, cluster=self._cluster))
        self.address = access.host
        self.changed: Callable[[], object] = lambda: None
        self._connection, self._access = connection, access
        self._obtain = obtaining(connection.conn_id, connection.extras)
        self._reflectors = ClusterReflectors(lambda: self.changed())

    def known_project(self, name: str, cluster: str | None) -> Project | None:
        namespace, own = self._connection.trainings.namespace or name, self._cluster
        if cluster not in (None, own) or not is_namespace(namespace):
            return None
        return Project(namespace, name, own, namespace)

    def client(self) -> httpx.Client:
        return client(self._access, self._obtain)

    def async_client(self) -> httpx.AsyncClient:
        return async_client(self._access, self._obtain)

    def send(self, request: Request) -> Flow[Reply]:
        return (yield request)

    @property
    def sources(self) -> Collection[NewsSource]:
        return self._reflectors.sources

    def watched(
        self, start: Workload, interval: float, published: Published | None
    ) -> AwaitedTraining:
        return AwaitedTraining(start, self._cluster, interval, self._reflectors, published)

    def look_around(self) -> Flow[str]:
        (cluster,) = yield from self.backend.clusters()
        dialect = yield from self.backend.dialect()
        text = f"Reached {self.address} ({cluster.version}); dialect {dialect.name}"
        if self._connection.project:
            project = yield from self.backend.find_project(self._connection.project)
            lacking = yield from self.backend.lacking_rights(project)
            text += f"; project {project.name} found, namespace {project.id}"
            text += f"; {lacking or 'all rights are there'}"
        return text
