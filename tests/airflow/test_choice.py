"""The type of a connection decides which platform it leads to."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_runai.backends.settings import Settings
from airflow_runai.errors import ConnectionSettingsError
from airflow_runai.hooks.choice import READERS, settings_of
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.hooks.sessions import session

KNOWN: dict[str, Any] = {
    "host": "https://org.run.ai",
    "login": "id",
    "password": "a-secret-of-theirs",
}


def test_a_connection_of_a_known_type_is_read() -> None:
    found = settings_of(Connection(conn_id="gpu", conn_type="runai", **KNOWN))
    assert isinstance(found, Settings)
    assert found.client_id == "id"


@pytest.mark.parametrize("kind", ["http", "aws", "", "Runai"])
def test_any_other_type_is_refused_with_what_is_allowed(kind: str) -> None:
    with pytest.raises(ConnectionSettingsError) as refused:
        settings_of(Connection(conn_id="gpu", conn_type=kind, **KNOWN))
    words = str(refused.value)
    assert words.startswith(f"connection 'gpu': its type is {kind!r}; allowed: 'runai'")
    assert all(repr(allowed) in words for allowed in READERS)
    assert KNOWN["password"] not in words


def test_hook_and_session_refuse_it_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GPU", json.dumps({"conn_type": "http", **KNOWN}))

    async def join() -> None:
        async with session("gpu"):
            pass

    with pytest.raises(ConnectionSettingsError, match="its type is 'http'"):
        _ = RunaiHook("gpu").backend
    with pytest.raises(ConnectionSettingsError, match="its type is 'http'"):
        asyncio.run(join())
