"""From ``--conn`` to a hook whose connection exists."""

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
        with database_allowed():
            _ = hook.settings
    except AirflowException:  # its text differs between versions of Airflow, and names no remedy
        raise ConnectionSettingsError(_not_defined(conn_id)) from None
    return hook


def _not_defined(conn_id: str) -> str:
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    problem = "not defined"
    if os.environ.get(variable):
        # Airflow also calls a connection undefined whose text it cannot parse.
        problem += f" as far as {variable} can be read (one JSON object or one URI)"
    return (
        f"connection {conn_id!r}: {problem}; make it in Airflow (Admin → Connections, type "
        f"Run:ai), set {variable}, or name another one with --conn"
    )


@contextmanager
def database_allowed() -> Iterator[None]:
    """Let Airflow read its database, which only a server process may (as ``connections test``)."""
    previous = os.environ.pop(_CONTEXT, None)
    os.environ[_CONTEXT] = "server"
    try:
        yield
    finally:
        del os.environ[_CONTEXT]
        if previous is not None:
            os.environ[_CONTEXT] = previous
