"""Configured HTTP clients: certificates verified, time-outs set, no redirects followed."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from airflow_runai.backends.settings import Settings
from airflow_runai.errors import ConnectionSettingsError

#: Seconds for which an idle connection is kept: twice the default interval, so that looks need no
#: new TLS handshakes.
KEPT = 60.0
#: Eight for the control plane (``throttle.IN_FLIGHT``), and four for logs, which clusters have.
CONNECTIONS = 12


def client(
    settings: Settings, mounts: Mapping[str, httpx.BaseTransport] | None = None
) -> httpx.Client:
    """
    Return a blocking client; the caller closes it.

    :param mounts: other ways for requests to other servers, by the beginning of their address.
    """
    return httpx.Client(**_options(settings), mounts=mounts)


def async_client(
    settings: Settings, mounts: Mapping[str, httpx.AsyncBaseTransport] | None = None
) -> httpx.AsyncClient:
    """
    Return a client for the running event loop; the caller closes it.

    Keep it: a client with the system's certificates takes 40–56 ms to make, on the event loop.
    """
    return httpx.AsyncClient(**_options(settings), mounts=mounts)


def _options(settings: Settings) -> dict[str, Any]:
    try:
        address = httpx.URL(settings.url.rstrip("/") + "/")
    except httpx.InvalidURL as error:
        raise ConnectionSettingsError(
            f"control plane URL (host): {settings.url!r} is not an address: {error}"
        ) from error
    return {
        "base_url": address,
        "limits": httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=KEPT),
        "timeout": httpx.Timeout(settings.timeout, connect=min(settings.timeout, 10.0)),
        "verify": _trust(settings),
        "follow_redirects": False,
        "headers": {"Accept": "application/json", "User-Agent": "airflow-provider-runai"},
    }


def _trust(settings: Settings) -> ssl.SSLContext | bool:
    if not settings.verify:
        return False
    if settings.ca_file is None:
        return True
    if not Path(settings.ca_file).is_file():
        raise ConnectionSettingsError(
            f"CA file: {settings.ca_file!r} is not a readable file on this machine; "
            "allowed: a PEM file that exists on every worker and triggerer"
        )
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (ssl.SSLError, OSError) as error:
        raise ConnectionSettingsError(
            f"CA file: {settings.ca_file!r} cannot be used: {error}"
        ) from error
