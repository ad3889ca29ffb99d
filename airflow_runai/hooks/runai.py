"""
The Airflow connection of type ``runai``.

:class:`RunaiHook` turns it into settings and drives flows with them, blocking. For the event loop
see ``sessions.py``. Nothing is looked up or sent before the first call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from airflow_runai.backends import clients, drivers
from airflow_runai.backends.patience import retry_while_unreachable
from airflow_runai.backends.runai import RunaiBackend
from airflow_runai.backends.server_clock import ServerClock
from airflow_runai.backends.settings import Settings
from airflow_runai.backends.tokens import Tokens
from airflow_runai.core.backend import Backend
from airflow_runai.core.flow import Flow, Notice, through
from airflow_runai.core.project import Project
from airflow_runai.core.texts import cut
from airflow_runai.deployment.metrics import counted
from airflow_runai.errors import ConnectionSettingsError, RunaiError, Unreachable, Untrusted
from airflow_runai.hooks.choice import settings_of

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class RunaiHook(BaseHook):
    """
    Talks to the control plane that an Airflow connection names.

    :param runai_conn_id: id of a connection of type ``runai``.
    """

    conn_name_attr = "runai_conn_id"
    default_conn_name = "runai_default"
    conn_type = "runai"
    hook_name = "Run:ai"

    def __init__(self, runai_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.runai_conn_id = runai_conn_id

    @cached_property
    def settings(self) -> Settings:
        """The settings of the connection, checked; raises ``ConnectionSettingsError``."""
        conn_id = self.runai_conn_id
        try:
            return settings_of(self.get_connection(conn_id))
        # The type stays: it is also what comes of a secrets backend that does not answer.
        except AirflowNotFoundException:
            raise AirflowNotFoundException(
                f"connection {conn_id!r}: not defined; make it in Airflow (Admin → Connections, "
                f"type Run:ai), set AIRFLOW_CONN_{conn_id.upper()}, or name another one as "
                "`runai_conn_id`"
            ) from None

    @cached_property
    def backend(self) -> Backend:
        """What the connection's platform can do, as flows for :meth:`run`."""
        return RunaiBackend(self.settings)

    @cached_property
    def _client(self) -> httpx.Client:
        return clients.client(self.settings)

    @cached_property
    def _tokens(self) -> Tokens:
        return Tokens(self.settings.client_id, self.settings.client_secret, on_token=mask_secret)

    @cached_property
    def _clock(self) -> ServerClock:
        return ServerClock()

    def get_conn(self) -> httpx.Client:
        """Return the blocking HTTP client, without authentication; :meth:`run` adds that."""
        return self._client

    def run(
        self,
        flow: Flow[T],
        on_notice: Callable[[Notice], None] | None = None,
        sleep: Callable[[float], None] = drivers.pause,
    ) -> T:
        """Drive a flow to its end, with a token on each request; see :func:`drivers.run`."""
        authorized = through(flow, lambda request: counted(self._tokens.send(request)))
        return drivers.run(authorized, self._client, on_notice, sleep, self._clock)

    def project(
        self,
        name: str | None = None,
        cluster: str | None = None,
        patience: Callable[[Callable[[], Flow[Project]]], Flow[Project]] = retry_while_unreachable,
        sleep: Callable[[float], None] = drivers.pause,
    ) -> Project:
        """
        Resolve a project, by default the connection's; nothing is sent if that names its id.

        :param patience: retries what may pass; by default an unreachable control plane.
        :param sleep: as for :meth:`run`.
        :raises NotResolved: for 0 or several hits.
        """
        settings = self.settings
        project_name, cluster_name = name or settings.project, cluster or settings.cluster
        if not project_name:
            raise ConnectionSettingsError(
                f"project: neither the task nor connection {self.runai_conn_id!r} names one; "
                "set `project` on the operator or the default project of the connection"
            )
        is_default = (project_name, cluster_name) == (settings.project, settings.cluster)
        if is_default and settings.project_id and settings.cluster_id:
            return Project(settings.project_id, project_name, settings.cluster_id)
        search = patience(lambda: self.backend.find_project(project_name, cluster_name))
        return self.run(search, sleep=sleep)

    def test_connection(self) -> tuple[bool, str]:
        """Log in and look around; return whether that works, and what was seen or is wrong."""
        try:
            return True, self._look_around()
        except Untrusted as error:
            return False, str(error)
        except Unreachable as error:
            advice = "check the control plane URL, and that this machine may reach it"
            # The form has another name for the host.
            words = str(error).removesuffix("; check the connection's host")
            return False, f"{words}; {advice}"
        except RunaiError as error:
            # Airflow tests what is in the form, under an id that it has made up.
            return False, str(error).removeprefix(f"connection {self.runai_conn_id!r}: ")

    def _look_around(self) -> str:
        settings = self.settings
        clusters = self.run(self.backend.clusters())
        names = ", ".join(f"{c.name} ({c.version or 'version unknown'})" for c in clusters)
        text = f"Logged in to {settings.url}; clusters: {cut(names) or 'none visible'}"
        if settings.project:
            project = self.run(self.backend.find_project(settings.project, settings.cluster))
            settings.check_ids(project.id, project.cluster_id)
            ids = f"project_id {project.id}, cluster_id {project.cluster_id}"
            text += f"; project {project.name} found ({ids})"
        return text
