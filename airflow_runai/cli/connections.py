"""From ``--conn`` to a hook whose connection is known to exist."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException

from airflow_runai.errors import ConnectionSettingsError
from airflow_runai.hooks.runai import RunaiHook

_CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"


def hook_for(conn_id: str) -> RunaiHook:
    """
    Return a hook; nothing is sent yet.

    :raises ConnectionSettingsError: also if there is no connection of that id.
    """
    hook = RunaiHook(conn_id)
    try:
        with _beside_the_scheduler():
            _ = hook.settings
    except AirflowException:  # Airflow's own words differ between its versions, and name no remedy
        variable = f"AIRFLOW_CONN_{conn_id.upper()}"
        # Airflow calls a connection whose text it cannot read undefined, too.
        broken = (
            ""
            if not os.environ.get(variable)
            else f" as far as {variable} can be read (one JSON object or one URI)"
        )
        raise ConnectionSettingsError(
            f"connection {conn_id!r}: not defined{broken}; make it in Airflow (Admin → Connections, type Run:ai), set "
            f"{variable}, or name another one with --conn"
        ) from None
    return hook


@contextmanager
def _beside_the_scheduler() -> Iterator[None]:
    """Let Airflow look into its database, too: it does so only in a process that says so (as ``connections test``)."""
    before = os.environ.pop(_CONTEXT, None)
    os.environ[_CONTEXT] = "server"
    try:
        yield
    finally:
        del os.environ[_CONTEXT]
        os.environ.update({} if before is None else {_CONTEXT: before})
