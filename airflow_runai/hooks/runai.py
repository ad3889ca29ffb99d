"""
The Airflow connection, of type ``runai`` or ``kubernetes``.

:class:`RunaiHook` turns it into settings and drives flows with them, blocking. For the event loop
see ``sessions.py``. Nothing is looked up or sent before the first call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_runai.backends import drivers
from airflow_runai.backends.patience import retry_while_unreachable
from airflow_runai.backends.server_clock import ServerClock
from airflow_runai.core.backend import Backend
from airflow_runai.core.flow import Flow, Notice, through
from airflow_runai.core.project import Project
from airflow_runai.deployment.metrics import counted
from airflow_runai.errors import ConnectionSettingsError, RunaiError, Unreachable, Untrusted
from airflow_runai.hooks.choice import AnySettings, platform_of, settings_of
from airflow_runai.hooks.platform import Platform

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

log = logging.getLogger(__name__)


def _tell_retries(notice: Notice) -> None:
    if notice.kind == "retry":
        log.warning("%s", notice.text)


class RunaiHook(BaseHook):
    """
    Talks to the platform that an Airflow connection names.

    :param runai_conn_id: id of a connection of type ``runai`` or ``kubernetes``.
    """

    conn_name_attr = "runai_conn_id"
    default_conn_name = "runai_default"
    conn_type = "runai"
    hook_name = "Run:ai"

    def __init__(self, runai_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.runai_conn_id = runai_conn_id

    @cached_property
    def settings(self) -> AnySettings:
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
    def platform(self) -> Platform:
        """The platform that the connection leads to; on Kubernetes, a plug-in may run for it."""
        return platform_of(self.settings)

    @property
    def backend(self) -> Backend:
        """What the connection's platform can do, as flows for :meth:`run`."""
        return self.platform.backend

    @cached_property
    def _client(self) -> httpx.Client:
        return self.platform.client()

    @cached_property
    def _clock(self) -> ServerClock:
        return ServerClock()

    def get_conn(self) -> httpx.Client:
        """Return the blocking HTTP client, without a login to Run:ai; :meth:`run` adds that."""
        return self._client

    def run(
        self,
        flow: Flow[T],
        on_notice: Callable[[Notice], None] = _tell_retries,
        sleep: Callable[[float], None] = drivers.pause,
    ) -> T:
        """
        Drive a flow to its end, as who the connection says; see :func:`drivers.run`.

        :param on_notice: by default, the log says what is tried again, and until when.
        """
        sent = through(flow, lambda request: counted(self.platform.send(request)))
        return drivers.run(sent, self._client, on_notice, sleep, self._clock)

    def project(
        self,
        name: str | None = None,
        cluster: str | None = None,
        patience: Callable[[Callable[[], Flow[Project]]], Flow[Project]] = retry_while_unreachable,
        sleep: Callable[[float], None] = drivers.pause,
    ) -> Project:
        """
        Resolve a project, by default the connection's.

        Nothing is sent if that names its id, or on Kubernetes.

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
        if known := self.platform.known_project(project_name, cluster_name):
            return known
        search = patience(lambda: self.backend.find_project(project_name, cluster_name))
        return self.run(search, sleep=sleep)

    def test_connection(self) -> tuple[bool, str]:
        """Log in and look around; return whether that works, and what was seen or is wrong."""
        try:
            return True, self.run(self.platform.look_around())
        except Untrusted as error:
            return False, str(error)
        except Unreachable as error:
            # The form has another name for the host.
            words = str(error).removesuffix("; check the connection's host")
            return False, f"{words}; {self.settings.reach_advice}"
        except RunaiError as error:
            # Airflow tests what is in the form, under an id that it has made up.
            return False, str(error).removeprefix(f"connection {self.runai_conn_id!r}: ")
