"""Objects that hold only what was said: Kubernetes has its own defaults for the rest."""

from __future__ import annotations

from typing import Any

from airflow_runai.core.json_merge import JsonObject


def sparse(**entries: Any) -> JsonObject:
    """Return the entries that say something: not ``None``, and no empty mapping or list."""
    return {key: value for key, value in entries.items() if value not in (None, {}, [], ())}
