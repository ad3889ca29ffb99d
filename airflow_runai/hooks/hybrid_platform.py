"""Run:ai with the eyes of Kubernetes: a connection of type ``runai`` that names a second one."""

# ruff: noqa: D102 - `platform.py` says what a method means
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_runai.backends import clients
from airflow_runai.backends.access import AwaitedLine, BlockingLine, ClusterAccess
from airflow_runai.backends.hybrid import HybridBackend
from airflow_runai.backends.settings import Settings
from airflow_runai.core.flow import Flow, Reply, Request
from airflow_runai.hooks.runai_platform import ControlPlanePlatform

if TYPE_CHECKING:
    import httpx


class HybridPlatform(ControlPlanePlatform):
    """
    Run:ai, whose cluster is asked, too, by its own login.

    :param obtain: obtains access to the cluster anew.
    """

    def __init__(
        self, settings: Settings, access: ClusterAccess, obtain: Callable[[], ClusterAccess]
    ) -> None:
        super().__init__(settings)
        self.backend = HybridBackend(settings, access.host)
        self._access, self._obtain = access, obtain
        self._elsewhere = access.host.rstrip("/")

    def client(self) -> httpx.Client:
        way = BlockingLine(self._access, self._obtain)
        return clients.client(self._settings, {self._elsewhere: way})

    def async_client(self) -> httpx.AsyncClient:
        way = AwaitedLine(self._access, self._obtain)
        return clients.async_client(self._settings, {self._elsewhere: way})

    def send(self, request: Request) -> Flow[Reply]:
        if request.path.startswith(f"{self._elsewhere}/"):
            return _as_it_is(request)  # no token of the control plane goes there
        return super().send(request)


def _as_it_is(request: Request) -> Flow[Reply]:
    return (yield request)
