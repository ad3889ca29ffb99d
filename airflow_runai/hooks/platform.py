"""What a connection gives, whatever its type: clients, a way to send, and what serves waits."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from airflow_runai.core.backend import Backend
from airflow_runai.core.flow import Flow, Reply, Request
from airflow_runai.core.project import Project
from airflow_runai.core.reader import WorkloadReader
from airflow_runai.core.timeline import Moment
from airflow_runai.core.workload import Workload
from airflow_runai.errors import RunaiError

if TYPE_CHECKING:
    import httpx

#: See :meth:`WorkloadReader.published`.
Published = Callable[[], Flow[tuple[Moment, ...]]]


class NewsSource(Protocol):
    """Looks on behalf of many waits."""

    def run(self) -> Flow[None]:
        """Look, for ever."""

    def fail(self, error: RunaiError) -> Flow[None]:
        """Tell all waits that there is no answer."""


class AwaitingReader(WorkloadReader, AbstractContextManager["AwaitingReader"], Protocol):
    """A reader to which news come while it is entered."""


class Platform(Protocol):
    """
    A connection in use: by one hook, or by all waits on one event loop.

    :ivar backend: what the platform can do.
    :ivar address: of its API.
    :ivar pace: requests a second that one session may send.
    :ivar changed: called whenever :attr:`sources` may have changed.
    """

    backend: Backend
    address: str
    pace: float
    changed: Callable[[], object]

    @property
    def sources(self) -> Collection[NewsSource]:
        """What has to look now, because somebody waits."""

    def known_project(self, name: str, cluster: str | None) -> Project | None:
        """Return a project that need not be looked up."""

    def client(self) -> httpx.Client:
        """Return a blocking client; the caller closes it."""

    def async_client(self) -> httpx.AsyncClient:
        """Return a client for the running event loop; the caller closes it."""

    def send(self, request: Request) -> Flow[Reply]:
        """Send a request as who the connection says."""

    def watched(
        self, start: Workload, interval: float, published: Published | None
    ) -> AwaitingReader:
        """
        Return a reader to which news are brought.

        :param interval: seconds between two looks, where nobody tells the news.
        """

    def look_around(self) -> Flow[str]:
        """Find out whether the connection works; return what was seen."""
