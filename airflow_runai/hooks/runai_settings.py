"""The fields of an Airflow connection of type ``runai``, as settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_runai.backends.settings import Settings
from airflow_runai.core.values import flag
from airflow_runai.errors import ConnectionSettingsError

if TYPE_CHECKING:
    from airflow.sdk import Connection


def runai_settings(connection: Connection) -> Settings:
    """
    Read a connection of type ``runai``.

    :raises ConnectionSettingsError: naming the field, its value (never the secret) and what is
        allowed.
    """
    extra: Mapping[str, Any] = connection.extra_dejson
    try:
        return Settings(
            url=_address(connection),
            client_id=connection.login or "",
            client_secret=connection.password or "",
            project=extra.get("project") or None,
            cluster=extra.get("cluster") or None,
            project_id=_text(extra.get("project_id")),
            cluster_id=_text(extra.get("cluster_id")),
            verify=_verify_ssl(extra.get("verify_ssl", True)),
            ca_file=extra.get("ca_file") or None,
            timeout=_seconds(extra.get("timeout")),
            cluster_url=_text(extra.get("cluster_url")),
            kubernetes_conn_id=_text(extra.get("kubernetes_conn_id")),
        )
    except ValueError as error:  # also an address that cannot be parsed
        raise ConnectionSettingsError(f"connection {connection.conn_id!r}: {error}") from None


def _address(connection: Connection) -> str:
    """Return the URL with the port, unless it has one; a path may follow."""
    url = (connection.host or "").strip().rstrip("/")
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    has_port = host.rsplit(":", 1)[-1].isdecimal()
    if not connection.port or not host or has_port:
        return url
    return f"{scheme}{mark}{host}:{connection.port}{slash}{path}"


def _verify_ssl(value: object) -> bool:
    try:
        return flag(str(value))
    except ValueError as error:
        raise ConnectionSettingsError(f"verify_ssl: {error}") from None


def _text(value: object) -> str | None:
    """Read an id; in JSON, a project's may have been written as a number."""
    return str(value).strip() or None if value is not None else None


def _seconds(value: Any) -> float:
    if value in (None, ""):
        return 30.0
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ConnectionSettingsError(
            f"timeout: {value!r}; allowed: seconds greater than 0"
        ) from None
