"""Which platform a connection leads to: its type decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias, Union

from airflow.sdk import BaseHook

from airflow_runai.backends.settings import Settings
from airflow_runai.errors import ConnectionSettingsError
from airflow_runai.hooks.runai_settings import runai_settings

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_runai.backends.access import ClusterAccess
    from airflow_runai.hooks.kubernetes_settings import ClusterConnection
    from airflow_runai.hooks.platform import Platform

#: What a connection of either type says: hashable, and the same for the same connection.
AnySettings: TypeAlias = Union[Settings, "ClusterConnection"]


def _cluster_connection(connection: Connection) -> ClusterConnection:
    # A DAG file that is parsed needs none of this.
    from airflow_runai.hooks.kubernetes_settings import cluster_connection

    return cluster_connection(connection)


#: What reads a connection of each type.
READERS: Mapping[str, Callable[[Connection], AnySettings]] = {
    "runai": runai_settings,
    "kubernetes": _cluster_connection,
}


def settings_of(connection: Connection) -> AnySettings:
    """
    Read a connection.

    :raises ConnectionSettingsError: naming the field, its value (never the secret) and what is
        allowed; also for a type that is no platform of ours.
    """
    read = READERS.get(connection.conn_type or "")
    if read is None:
        raise ConnectionSettingsError(
            f"connection {connection.conn_id!r}: its type is {connection.conn_type!r}; allowed: "
            f"{' or '.join(map(repr, READERS))}; change its type, or name another connection"
        )
    return read(connection)


def platform_of(settings: AnySettings) -> Platform:
    """
    Return the platform that a connection leads to; may block, see :func:`kubernetes.access`.

    :raises ConnectionSettingsError: if nobody can find out how to reach it.
    """
    second = _second(settings)
    if isinstance(settings, Settings) and second is None:
        return _control_plane(settings)
    cluster = _cluster(settings, BaseHook.get_connection(second) if second else None)
    from airflow_runai.hooks.kubernetes import access

    return _with_cluster(settings, cluster, access(cluster.conn_id, cluster.extras))


async def platform_on_loop(settings: AnySettings) -> Platform:
    """Return the same on an event loop; what blocks goes through a thread."""
    second = _second(settings)
    if isinstance(settings, Settings) and second is None:
        return _control_plane(settings)
    cluster = _cluster(settings, await BaseHook.aget_connection(second) if second else None)
    from airflow_runai.hooks.kubernetes import access_on_loop

    found = await access_on_loop(cluster.conn_id, cluster.extras)
    return _with_cluster(settings, cluster, found)


def _second(settings: AnySettings) -> str | None:
    return settings.kubernetes_conn_id if isinstance(settings, Settings) else None


def _control_plane(settings: Settings) -> Platform:
    from airflow_runai.hooks.runai_platform import ControlPlanePlatform

    return ControlPlanePlatform(settings)


def _cluster(settings: AnySettings, second: Connection | None) -> ClusterConnection:
    """Return what is said of the cluster: by the connection itself, or by the second one."""
    found = settings_of(second) if second else settings
    if isinstance(found, Settings):
        raise ConnectionSettingsError(
            "kubernetes_conn_id: names a connection of type 'runai'; allowed: one of type "
            "'kubernetes'"
        )
    return found


def _with_cluster(
    settings: AnySettings, cluster: ClusterConnection, access: ClusterAccess
) -> Platform:
    from airflow_runai.hooks.hybrid_platform import HybridPlatform
    from airflow_runai.hooks.kubernetes import obtaining
    from airflow_runai.hooks.kubernetes_platform import ClusterPlatform

    if isinstance(settings, Settings):
        obtain = obtaining(cluster.conn_id, cluster.extras)
        return HybridPlatform(settings, access, obtain)
    return ClusterPlatform(cluster, access)
