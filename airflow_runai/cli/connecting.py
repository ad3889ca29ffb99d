"""From ``--conn`` to a hook whose connection is known to exist."""

from __future__ import annotations

from airflow.sdk.exceptions import AirflowException

from airflow_runai.errors import ConnectionSettingsError
from airflow_runai.hooks.runai import RunaiHook


def hook_of(conn_id: str) -> RunaiHook:
    """
    Return a hook; nothing is sent yet.

    :raises ConnectionSettingsError: also if there is no connection of that id.
    """
    hook = RunaiHook(conn_id)
    try:
        _ = hook.settings
    except AirflowException:  # Airflow's own words differ between its versions, and name no remedy
        raise ConnectionSettingsError(
            f"connection {conn_id!r}: not defined; make it in Airflow (Admin → Connections, type Run:ai), set "
            f"AIRFLOW_CONN_{conn_id.upper()}, or name another one with --conn"
        ) from None
    return hook
