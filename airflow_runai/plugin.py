"""
The Airflow plugin: a tab "Run:ai" on every task instance, and an ear for the marks that people set.

The tab shows the timeline of the workload. It is a few static files and no data: their code asks
Airflow's own REST API, as the person who looks. Every Airflow process imports this module, so what
serves the files is imported by the first request for one, and what ends workloads by the first
mark.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin

from airflow_runai import __version__
from airflow_runai.deployment import configuration
from airflow_runai.errors import InvalidArgument
from airflow_runai.listeners.errands import Errand, Errands
from airflow_runai.listeners.listener import Listener

log = logging.getLogger(__name__)

_ASSETS = Path(__file__).with_name("plugin_assets")
# The version in the path is part of the address of each file: no browser mixes files of two.
_PREFIX = f"runai/{__version__}"
_Message = MutableMapping[str, Any]
_Application = Callable[
    [_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Any
]


async def _assets(
    scope: _Message,
    receive: Callable[[], Awaitable[_Message]],
    send: Callable[[_Message], Awaitable[None]],
) -> None:
    """Serve the tab's code: an ASGI application, as Airflow mounts any."""
    await _static_files()(scope, receive, send)


@cache
def _static_files() -> _Application:
    from starlette.staticfiles import StaticFiles

    return StaticFiles(directory=_ASSETS)


_TAB = {
    # The UI takes the component from globalThis under this name.
    "name": "Run:ai",
    # Without a slash in front, so that it is found where Airflow lives under a sub-path.
    "bundle_url": f"{_PREFIX}/tab.js",
    "destination": "task_instance",
    "url_route": "runai",
}


def _attend(errands: Collection[Errand]) -> Collection[Errand]:
    from airflow_runai.deployment.task_states import states_in_database
    from airflow_runai.listeners.marked_tasks import attend
    from airflow_runai.listeners.rendered_connection import connections_in_database

    return attend(errands, connections_in_database, states_in_database)


def _settle_name() -> None:
    from airflow_runai.deployment.instance_name import name_in_database

    name_in_database()


def _shows_tab() -> bool:
    try:
        return configuration.is_on("tab")
    except InvalidArgument as error:
        # Without this plugin no mark would end a workload any more.
        log.warning("%s; the tab is shown", error)
        return True


class RunaiPlugin(AirflowPlugin):
    """Registered through the entry point ``airflow.plugins``."""

    name = "runai"
    listeners = [Listener(Errands(_attend), _settle_name)]
    fastapi_apps = [{"app": _assets, "url_prefix": f"/{_PREFIX}", "name": "Run:ai"}]
    react_apps = [_TAB] if _shows_tab() else []
