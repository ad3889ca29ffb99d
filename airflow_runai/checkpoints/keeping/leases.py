"""
Leases that keep a checkpoint from being removed while it is in use.

A lease is a small file under ``ROOT/.leases``, named after the checkpoint and its holder. It
expires, because holders die; a lease that cannot be read never does, because a deletion cannot be
undone. For file systems only: on object storage this package removes no checkpoints.

``below`` is always the directory below which no link is followed to the root; see
:mod:`~airflow_runai.checkpoints.storage.directory_handle`. In the root none is.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from airflow_runai.checkpoints.checking.format_error import shown
from airflow_runai.checkpoints.storage.directory_handle import Folder, WrongKind

LEASES = ".leases"
#: A lease is three short values; a larger file is no lease. Bytes.
_MAX_SIZE = 64 * 1024


def hold(checkpoint: Path, holder: str, *, until: float, below: Path | None = None) -> None:
    """
    Take a lease, or extend one's own.

    :param holder: names who reads the checkpoint; the same text releases it.
    :param until: epoch seconds at which the lease expires.
    :raises FileNotFoundError: if the checkpoint does not exist, or is being removed.
    :raises OSError: if no lease can be written.
    """
    lease = _lease(checkpoint, holder)
    document = {"checkpoint": checkpoint.name, "holder": holder, "until": until}
    with Folder.holding(checkpoint, below) as root, root.enter(LEASES, make=True) as leases:
        leases.replace(lease, json.dumps(document).encode())
        # After the lease is written: a removal reads the leases again after its rename, so one of
        # the two sees the other.
        if root.kind(checkpoint.name) is None:
            leases.remove(lease)
            text = "is not there, or is being removed; choose another checkpoint"
            raise FileNotFoundError(f"{checkpoint}: {text}")


def release(checkpoint: Path, holder: str, *, below: Path | None = None) -> None:
    """
    Release a lease, if there is one.

    :raises OSError: if that fails.
    """
    # As Folder.holding: the directory that holds the topmost one is not below it.
    below = None if checkpoint == below else below
    with suppress(FileNotFoundError), _opened(checkpoint.parent, below) as leases:
        leases.remove(_lease(checkpoint, holder))


def leased(root: Path, *, now: float, below: Path | None = None) -> Mapping[str, str]:
    """
    Return the holder of every leased checkpoint, by its name.

    :raises OSError: if the leases cannot be read.
    """
    holders: dict[str, str] = {}
    with suppress(FileNotFoundError), _opened(root, below) as leases:
        for lease in _names(leases):
            holder = _holder(leases, lease, now)
            if holder is not None:
                checkpoint, _, _ = lease.rpartition("@")
                holders[checkpoint] = holder
    return holders


def forget_expired(root: Path, *, now: float, below: Path | None = None) -> None:
    """
    Remove expired leases; one that cannot be read stays.

    :raises OSError: if the leases cannot be listed.
    """
    with suppress(FileNotFoundError), _opened(root, below) as leases:
        expired = [name for name in _names(leases) if _holder(leases, name, now) is None]
        for lease in expired:
            leases.remove(lease)


def _opened(root: Path, below: Path | None) -> Folder:
    with Folder.at(root, below) as folder:
        return folder.enter(LEASES)


def _names(leases: Folder) -> Iterator[str]:
    return (name for name in leases.names() if "@" in name)


def _holder(leases: Folder, lease: str, now: float) -> str | None:
    """Return who holds a lease; ``None`` if it has expired."""
    unknown = f"someone ({shown(lease)} cannot be read; remove it if no one does)"
    try:
        content = leases.read(lease, _MAX_SIZE)
        document = json.loads(content) if len(content) <= _MAX_SIZE else {}
        until = float(document["until"])
        # Quoted, because the text comes out of a file; the quotes themselves say nothing.
        holder = shown(str(document["holder"]))[1:-1]
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, RecursionError, WrongKind):
        return unknown
    if math.isnan(until):
        return unknown
    return None if until <= now else holder


def _lease(checkpoint: Path, holder: str) -> str:
    digest = hashlib.sha256(holder.encode()).hexdigest()[:12]
    return f"{checkpoint.name}@{digest}.json"
