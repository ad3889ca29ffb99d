"""
One file, two names: the container's and the worker's.

What the container calls ``/workspace/ckpt`` may be ``/mnt/nfs/ckpt`` or ``s3://bucket/ckpt`` to a worker. A path map
goes from container prefixes to worker prefixes. Prefixes match whole segments; the longest match wins.
"""

from __future__ import annotations

from collections.abc import Mapping


def to_worker(path: str, path_map: Mapping[str, str]) -> str:
    """Return what a worker calls a container path; unchanged where no prefix matches."""
    return _translated(path, path_map)


def to_container(path: str, path_map: Mapping[str, str]) -> str:
    """Return what the container calls a worker's path; unchanged where no prefix matches."""
    return _translated(path, {worker: container for container, worker in path_map.items()})


def _translated(path: str, prefixes: Mapping[str, str]) -> str:
    for prefix in sorted(prefixes, key=len, reverse=True):
        bare = prefix.rstrip("/")
        if path == bare or path.startswith(bare + "/"):
            return prefixes[prefix].rstrip("/") + path[len(bare) :] or "/"
    return path
