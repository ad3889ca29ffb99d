"""
From a path in a container, or a URI, to something a worker can read, and how far the way to it is trusted.

Who writes a DAG and who mounts a volume is trusted, who trains is not. So the worker's end of a
path map is taken as it is, links and all; from there on
:mod:`airflow_runai.checkpoints.storage.directory_handle` follows none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_runai.core.paths import to_worker, worker_prefix
from airflow_runai.errors import InvalidArgument

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from airflow_runai.checkpoints.storage.small_files import SmallFile

_LOCAL = ("file", "local")


def location(
    path: str, path_map: Mapping[str, str] | None, storage_conn_id: str | None = None
) -> Path | ObjectStoragePath:
    """
    Return where a worker finds ``path``.

    :param path: container path or URI.
    :param path_map: container prefixes to worker prefixes (paths or URIs).
    :param storage_conn_id: Airflow connection for object storage.
    :raises InvalidArgument: for what is no path, and where ``..`` leads out of the prefix.
    """
    if not isinstance(path, str) or not path.strip() or not _can_be_named(path):
        raise InvalidArgument(
            [f"path: {path!r}; allowed: a container path or a URI that is not empty"]
        )
    if path_map is not None and not isinstance(path_map, Mapping):
        raise InvalidArgument(
            [
                f"path_map: {path_map!r}; allowed: a mapping from container prefixes to worker prefixes"
            ]
        )
    found = to_worker(path, path_map or {})
    mounted = _mounted(found)
    if mounted is not None:
        return mounted
    # Imported here: fsspec is not needed to parse a DAG.
    from airflow.sdk import ObjectStoragePath

    try:
        return ObjectStoragePath(found, conn_id=storage_conn_id)
    except ValueError as error:
        raise InvalidArgument(
            [
                f"path: {found!r} ({error}); allowed: a path, or a URI whose provider is installed, such as s3://…"
            ]
        ) from error


def _can_be_named(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _mounted(worker: str) -> Path | None:
    """The path that a worker's name for something means, unless it lies on object storage."""
    scheme, found, rest = worker.partition("://")
    if found and scheme.lower() not in _LOCAL:
        return None
    return Path(rest if found else worker)


def untrusted_below(path: str, path_map: Mapping[str, str] | None) -> Path | None:
    """
    Return the directory from which on no link is followed to ``path``; ``None`` where nothing is known of it.

    The worker prefix, if one matches. Otherwise the mount that the path lies on, or the link that
    leads there: those who may write on a mounted volume are many, those who may mount one are few.
    On object storage there are no links.
    """
    prefix = worker_prefix(path, path_map or {})
    if prefix is not None:
        return _mounted(prefix)
    mounted = _mounted(path)
    above = [] if mounted is None or not mounted.is_absolute() else list(mounted.parents)[-2::-1]
    return next((top for top in above if os.path.ismount(top) or os.path.islink(top)), None)


def small_file(
    path: str, path_map: Mapping[str, str] | None, storage_conn_id: str | None = None
) -> SmallFile:
    """Return the small file that a worker finds under ``path``; the parameters are those of :func:`location`."""
    # Imported here: reading checkpoints is not needed to parse a DAG.
    from airflow_runai.checkpoints.storage.small_files import SmallFile

    return SmallFile(location(path, path_map, storage_conn_id), untrusted_below(path, path_map))


def refuse_missing_connection(storage_conn_id: str | None) -> None:
    """
    Name a connection that is not there; providers go on without credentials then, and blame the storage.

    :raises InvalidArgument: if there is none of that name.
    """
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        if storage_conn_id:
            BaseHook.get_connection(storage_conn_id)
    except AirflowNotFoundException:
        raise InvalidArgument(
            [
                f"storage_conn_id: {storage_conn_id!r} is no connection that Airflow can read; define it, or name another"
            ]
        ) from None


def without_connection(uri: str, storage_conn_id: str | None) -> str:
    """Return a URI as others write it: Airflow puts the connection's id in front of the bucket."""
    return uri.replace(f"://{storage_conn_id}@", "://", 1) if storage_conn_id else uri
