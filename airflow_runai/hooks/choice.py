"""Which platform a connection leads to: its type decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from airflow_runai.errors import ConnectionSettingsError
from airflow_runai.hooks.runai_settings import runai_settings

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_runai.backends.settings import Settings

#: What reads a connection of each type.
READERS: Mapping[str, Callable[[Connection], Settings]] = {
    "runai": runai_settings,
}


def settings_of(connection: Connection) -> Settings:
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
