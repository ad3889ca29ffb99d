"""From a path in a container, or a URI, to something a worker can read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_runai.core.paths import to_worker
from airflow_runai.errors import SpecError

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath


def location(
    path: str, path_map: Mapping[str, str] | None, storage_conn_id: str | None = None
) -> Path | ObjectStoragePath:
    """
    Return where a worker finds ``path``.

    :param path: container path or URI.
    :param path_map: container prefixes to worker prefixes (paths or URIs).
    :param storage_conn_id: Airflow connection for object storage.
    """
    if not isinstance(path, str) or not path.strip():
        raise SpecError([f"path: {path!r}; allowed: a container path or a URI that is not empty"])
    if path_map is not None and not isinstance(path_map, Mapping):
        raise SpecError([f"path_map: {path_map!r}; allowed: a mapping from container prefixes to worker prefixes"])
    found = to_worker(path, path_map or {})
    if found.startswith("file://"):
        return Path(found.removeprefix("file://"))
    if "://" not in found:
        return Path(found)
    # Imported here: fsspec is not needed to parse a DAG.
    from airflow.sdk import ObjectStoragePath

    try:
        return ObjectStoragePath(found, conn_id=storage_conn_id)
    except ValueError as error:
        raise SpecError(
            [f"path: {found!r} ({error}); allowed: a path, or a URI whose provider is installed, such as s3://…"]
        ) from error


def refuse_missing_connection(storage_conn_id: str | None) -> None:
    """
    Name a connection that is not there; providers go on without credentials then, and blame the storage.

    :raises SpecError: if there is none of that name.
    """
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        if storage_conn_id:
            BaseHook.get_connection(storage_conn_id)
    except AirflowNotFoundException:
        raise SpecError(
            [f"storage_conn_id: {storage_conn_id!r} is no connection that Airflow can read; define it, or name another"]
        ) from None


def without_connection(uri: str, storage_conn_id: str | None) -> str:
    """Return a URI as others write it: Airflow puts the connection's id in front of the bucket."""
    return uri.replace(f"://{storage_conn_id}@", "://", 1) if storage_conn_id else uri
