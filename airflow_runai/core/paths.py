"""
One file, two names: the container's and the worker's.

What the container calls ``/workspace/ckpt`` may be ``/mnt/nfs/ckpt`` or ``s3://bucket/ckpt`` to a
worker. A path map goes from container prefixes to worker prefixes. Prefixes match whole segments;
the longest match wins. A path below a prefix stays below it: ``..`` is resolved by its text alone,
and never leads out. Links are not resolved here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from airflow_runai.errors import InvalidArgument

#: From prefixes of one side to those of the other.
PathMap: TypeAlias = Mapping[str, str]


def to_worker(path: str, path_map: PathMap) -> str:
    """
    Return a worker's name for a container path; unchanged if no prefix matches.

    :raises InvalidArgument: where ``..`` leads out of the prefix, or there is none to stay in.
    """
    return _translated(path, path_map)


def to_container(path: str, path_map: PathMap) -> str:
    """Return the container's name for a worker's path; see :func:`to_worker`."""
    return _translated(path, {worker: container for container, worker in path_map.items()})


def worker_prefix(path: str, path_map: PathMap) -> str | None:
    """Return the worker prefix above a container path; ``None`` if no prefix matches."""
    prefix = mapped_prefix(path, path_map)
    return None if prefix is None else path_map[prefix]


def _translated(path: str, prefixes: PathMap) -> str:
    prefix = mapped_prefix(path, prefixes)
    if prefix is not None:
        # Of the prefix "/" itself nothing would be left.
        return prefixes[prefix].rstrip("/") + _rest(path, prefix) or "/"
    if ".." in path.split("/"):
        raise InvalidArgument(
            [
                f"path: {path!r}; no prefix of path_map matches, so '..' could lead anywhere; "
                "write the path out"
            ]
        )
    return path


def mapped_prefix(path: str, prefixes: PathMap) -> str | None:
    """Return the longest prefix that is above a path, or the path itself; ``None`` if none is."""
    for prefix in sorted(prefixes, key=len, reverse=True):
        bare = prefix.rstrip("/")
        if path == bare or path.startswith(bare + "/"):
            return prefix
    return None


def _rest(path: str, prefix: str) -> str:
    """Return what follows the prefix, with ``..`` resolved."""
    rest = path[len(prefix.rstrip("/")) :]
    if ".." not in rest.split("/"):
        return rest
    kept: list[str] = []
    for segment in rest.split("/"):
        if segment != "..":
            kept += [segment] if segment not in ("", ".") else []
        elif kept:
            kept.pop()
        else:
            raise InvalidArgument(
                [f"path: {path!r}; '..' leads out of {prefix!r}; allowed: what lies below it"]
            )
    return "".join(f"/{segment}" for segment in kept)
