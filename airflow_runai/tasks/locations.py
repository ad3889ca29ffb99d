"""
From a path in a container, or a URI, to a file that a worker can read, and how far it is trusted.

The authors of DAGs and mounts are trusted, trainings are not. So the worker's end of a path map is
taken as it is, links and all; from there on
:mod:`airflow_runai.checkpoints.storage.directory_handle` follows no links.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_runai.core.paths import PathMap, to_worker, worker_prefix
from airflow_runai.deployment.supervisor import connection_is_missing
from airflow_runai.errors import InvalidArgument, Unreachable

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from airflow_runai.checkpoints.storage.small_files import SmallFile

_LOCAL = ("file", "local")
_PATH_MAPS = "allowed: a mapping from container prefixes to worker prefixes"


def location(
    path: str, path_map: PathMap | None, storage_conn_id: str | None = None
) -> Path | ObjectStoragePath:
    """
    Return where a worker finds ``path``.

    :param path: container path or URI.
    :param path_map: container prefixes to worker prefixes (paths or URIs).
    :param storage_conn_id: Airflow connection for object storage.
    :raises InvalidArgument: if it is not a path, or ``..`` leads out of the prefix.
    """
    if not isinstance(path, str) or not path.strip() or not _can_be_named(path):
        raise InvalidArgument(
            [f"path: {path!r}; allowed: a container path or a URI that is not empty"]
        )
    if path_map is not None and not isinstance(path_map, Mapping):
        raise InvalidArgument([f"path_map: {path_map!r}; {_PATH_MAPS}"])
    uri = to_worker(path, path_map or {})
    return _mounted(uri) or _in_object_storage(uri, storage_conn_id)


def _in_object_storage(uri: str, storage_conn_id: str | None) -> ObjectStoragePath:
    # Imported here: fsspec is not needed to parse a DAG.
    from airflow.sdk import ObjectStoragePath

    try:
        return ObjectStoragePath(uri, conn_id=storage_conn_id)
    except ValueError as error:
        allowed = "allowed: a path, or a URI whose provider is installed, such as s3://…"
        raise InvalidArgument([f"path: {uri!r} ({error}); {allowed}"]) from error


def _can_be_named(path: str) -> bool:
    # Python raises a bare ValueError for these only when the file is opened.
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _mounted(worker: str) -> Path | None:
    """Return the path that a worker's name means; ``None`` for object storage."""
    scheme, separator, rest = worker.partition("://")
    if not separator:
        return Path(worker)
    # Airflow's storage paths would read these as well, but without directory handles.
    return Path(rest) if scheme.lower() in _LOCAL else None


def untrusted_below(path: str, path_map: PathMap | None) -> Path | None:
    """
    Return the directory below which no link is followed; ``None`` if there is none.

    It is the worker prefix, if one matches. Otherwise it is the mount that the path lies on, or the
    link that leads there: many may write to a mounted volume, few may mount one. Object storage has
    no links.
    """
    prefix = worker_prefix(path, path_map or {})
    if prefix is not None:
        return _mounted(prefix)
    mounted = _mounted(path)
    if mounted is None or not mounted.is_absolute():
        return None
    above = list(mounted.parents)[-2::-1]  # from the top down, without the root
    return next((top for top in above if os.path.ismount(top) or os.path.islink(top)), None)


def storage_of(path: str, path_map: PathMap | None) -> str:
    """Name the storage that a path lies on: a worker prefix, a bucket, or the rest of the disk."""
    prefix = worker_prefix(path, path_map or {})
    scheme, separator, rest = path.partition("://")
    return prefix or (f"{scheme}://{rest.partition('/')[0]}" if separator else "/")


def small_file(
    path: str, path_map: PathMap | None, storage_conn_id: str | None = None
) -> SmallFile:
    """Return the small file at ``path``; the parameters are those of :func:`location`."""
    # Imported here: reading checkpoints is not needed to parse a DAG.
    from airflow_runai.checkpoints.storage.small_files import SmallFile

    return SmallFile(location(path, path_map, storage_conn_id), untrusted_below(path, path_map))


def refuse_missing_connection(conn_id: str | None, argument: str = "storage_conn_id") -> None:
    """
    Refuse a connection that does not exist: without credentials, providers blame the storage.

    :param argument: by which it was named.
    :raises InvalidArgument: if there is none of that name.
    :raises Unreachable: if Airflow does not say whether there is one.
    """
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    if not conn_id:
        return
    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        found = f"{argument}: {conn_id!r} is not a connection that Airflow can read"
        if not connection_is_missing(conn_id):
            raise Unreachable(f"{found} now: its API server gives no answer") from None
        raise InvalidArgument([f"{found}; define it, or name another"]) from None


def without_connection(uri: str, storage_conn_id: str | None) -> str:
    """Return a URI without the connection's id, which Airflow puts in front of the bucket."""
    return uri.replace(f"://{storage_conn_id}@", "://", 1) if storage_conn_id else uri
