"""
Who is reading a checkpoint just now, so that nobody removes it under his eyes.

A lease is a small file under ``ROOT/.leases``, named after the checkpoint and its holder. It
expires, because holders die; one that cannot be read never does, because deleting on a guess cannot
be undone. Only for file systems: on object storage nothing of ours removes checkpoints.

``below`` is everywhere the directory from which on no link is followed to the root; see
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
#: A lease is three short values; anything larger is no lease. Bytes.
_MAX_SIZE = 64 * 1024


def hold(checkpoint: Path, holder: str, *, until: float, below: Path | None = None) -> None:
    """
    Take a lease, or prolong one's own.

    :param holder: who reads it; the same words release it.
    :param until: epoch seconds after which the lease counts no more.
    :raises FileNotFoundError: when the checkpoint is not there, or was being removed just now.
    :raises OSError: when no lease can be written.
    """
    lease, told = (
        _lease(checkpoint, holder),
        {"checkpoint": checkpoint.name, "holder": holder, "until": until},
    )
    with Folder.holding(checkpoint, below) as root, root.enter(LEASES, make=True) as leases:
        leases.replace(lease, json.dumps(told).encode())
        # Only now: whoever removes looks at the leases once more after the checkpoint has lost its
        # name.
        if root.kind(checkpoint.name) is None:
            leases.remove(lease)
            raise FileNotFoundError(
                f"{checkpoint}: is not there, or is being removed; choose another checkpoint"
            )


def release(checkpoint: Path, holder: str, *, below: Path | None = None) -> None:
    """
    Give a lease back; nothing happens where there is none.

    :raises OSError: when that cannot be done.
    """
    with (
        suppress(FileNotFoundError),
        _opened(checkpoint.parent, None if checkpoint == below else below) as leases,
    ):
        leases.remove(_lease(checkpoint, holder))


def leased(root: Path, *, now: float, below: Path | None = None) -> Mapping[str, str]:
    """
    Return who holds which checkpoint, by its name.

    :raises OSError: when that cannot be known.
    """
    found: dict[str, str] = {}
    with suppress(FileNotFoundError), _opened(root, below) as leases:
        for lease in _names(leases):
            holder = _holder(leases, lease, now)
            if holder is not None:
                found[lease.rpartition("@")[0]] = holder
    return found


def forget_expired(root: Path, *, now: float, below: Path | None = None) -> None:
    """
    Clear away the leases of holders that died; one that cannot be read stays.

    :raises OSError: when they cannot be looked at.
    """
    with suppress(FileNotFoundError), _opened(root, below) as leases:
        for lease in [name for name in _names(leases) if _holder(leases, name, now) is None]:
            leases.remove(lease)


def _opened(root: Path, below: Path | None) -> Folder:
    with Folder.at(root, below) as folder:
        return folder.enter(LEASES)


def _names(leases: Folder) -> Iterator[str]:
    return (name for name in leases.names() if "@" in name)


def _holder(leases: Folder, lease: str, now: float) -> str | None:
    """Who holds it; ``None`` if nobody does any more."""
    unknown = f"someone ({shown(lease)} cannot be read; remove it if nobody does)"
    try:
        raw = leases.read(lease, _MAX_SIZE)
        told = json.loads(raw) if len(raw) <= _MAX_SIZE else {}
        until = float(told["until"])
        holder = unknown if math.isnan(until) else shown(str(told["holder"]))[1:-1]
        return None if until <= now else holder
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, RecursionError, WrongKind):
        return unknown


def _lease(checkpoint: Path, holder: str) -> str:
    mark = hashlib.sha256(holder.encode()).hexdigest()[:12]
    return f"{checkpoint.name}@{mark}.json"
