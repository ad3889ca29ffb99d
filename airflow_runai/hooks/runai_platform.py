"""Run:ai as a connection of type ``runai`` reaches it."""

# ruff: noqa: D102 - `platform.py` says what a method means
from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from airflow.sdk.log import mask_secret

from airflow_runai.backends import clients
from airflow_runai.backends.runai import RunaiBackend
from airflow_runai.backends.settings import Settings
from airflow_runai.backends.throttle import RATE
from airflow_runai.backends.tokens import Tokens
from airflow_runai.backends.watched import Watched
from airflow_runai.backends.watcher import Watcher
from airflow_runai.core.backend import Backend
from airflow_runai.core.flow import Flow, Reply, Request
from airflow_runai.core.project import Project
from airflow_runai.core.texts import cut
from airflow_runai.core.workload import Workload
from airflow_runai.hooks.platform import NewsSource, Platform, Published

if TYPE_CHECKING:
    import httpx


class ControlPlanePlatform(Platform):
    """Run:ai: a token on each request, and one watcher for all waits."""

    pace = RATE

    def __init__(self, settings: Settings) -> None:
        self.backend: Backend = RunaiBackend(settings)
        self.address = settings.url
        self.changed: Callable[[], object] = lambda: None
        self._settings = settings
        self._tokens = Tokens(settings.client_id, settings.client_secret, on_token=mask_secret)
        self._watcher = Watcher()
        self._has_waits = False

    def known_project(self, name: str, cluster: str | None) -> Project | None:
        default = self._settings
        is_default = (name, cluster) == (default.project, default.cluster)
        if is_default and default.project_id and default.cluster_id:
            return Project(default.project_id, name, default.cluster_id)
        return None

    def client(self) -> httpx.Client:
        return clients.client(self._settings)

    def async_client(self) -> httpx.AsyncClient:
        return clients.async_client(self._settings)

    def send(self, request: Request) -> Flow[Reply]:
        return self._tokens.send(request)

    @property
    def sources(self) -> Collection[NewsSource]:
        return (self._watcher,) if self._has_waits else ()

    def watched(self, start: Workload, interval: float, published: Published | None) -> Watched:
        return Watched(start, interval, self, published)

    def join(self, wait: Watched) -> None:
        """Let the watcher bring news to a wait."""
        self._watcher.join(wait)
        self._has_waits = True
        self.changed()

    def leave(self, wait: Watched) -> None:
        """Bring no more news."""
        self._has_waits = self._watcher.leave(wait)
        self.changed()

    def look_around(self) -> Flow[str]:
        settings = self._settings
        clusters = yield from self.backend.clusters()
        names = ", ".join(f"{c.name} ({c.version or 'version unknown'})" for c in clusters)
        text = f"Logged in to {settings.url}; clusters: {cut(names) or 'none visible'}"
        if settings.project:
            project = yield from self.backend.find_project(settings.project, settings.cluster)
            settings.check_ids(project)
            ids = f"project_id {project.id}, cluster_id {project.cluster_id}"
            text += f"; project {project.name} found ({ids})"
        return text
