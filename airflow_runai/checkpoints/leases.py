"""
Who is reading a checkpoint just now, so that nobody removes it under his eyes.

A lease is a small file under ``ROOT/.leases``, named after the checkpoint and its holder. It expires, because holders
die; one that cannot be read never does, because deleting on a guess cannot be undone. Only for file systems: on object
storage nothing of ours removes checkpoints.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path

__all__ = ["LEASES", "forget_expired", "hold", "leased", "release"]

LEASES = ".leases"


def hold(checkpoint: Path, holder: str, *, until: float) -> None:
    """
    Take a lease, or prolong one's own.

    :param holder: who reads it; the same words release it.
    :param until: epoch seconds after which the lease counts no more.
    :raises FileNotFoundError: when the checkpoint is not there, or was being removed just now.
    """
    lease = _lease(checkpoint, holder)
    lease.parent.mkdir(exist_ok=True)
    fresh = lease.with_name(f".{uuid.uuid4().hex}.tmp")
    told = {"checkpoint": checkpoint.name, "holder": holder, "until": until}
    fresh.write_text(json.dumps(told), encoding="utf-8")
    fresh.replace(lease)
    # Only now: whoever removes looks at the leases once more after the checkpoint has lost its name.
    if not checkpoint.exists():
        lease.unlink(missing_ok=True)
        raise FileNotFoundError(f"{checkpoint}: is not there, or is being removed; choose another checkpoint")


def release(checkpoint: Path, holder: str) -> None:
    """Give a lease back; nothing happens where there is none."""
    _lease(checkpoint, holder).unlink(missing_ok=True)


def leased(root: Path, *, now: float) -> Mapping[str, str]:
    """
    Return who holds which checkpoint, by its name.

    :raises OSError: when that cannot be known.
    """
    found: dict[str, str] = {}
    try:
        listed = sorted((root / LEASES).iterdir())
    except FileNotFoundError:
        return found
    for lease in listed:
        name, at, _ = lease.name.rpartition("@")
        holder = _holder(lease, now) if at else None
        if holder is not None:
            found[name] = holder
    return found


def forget_expired(root: Path, *, now: float) -> None:
    """Clear away the leases of holders that died; one that cannot be read stays."""
    for lease in (root / LEASES).glob("*@*"):
        if _holder(lease, now) is None:
            lease.unlink(missing_ok=True)


def _holder(lease: Path, now: float) -> str | None:
    """Who holds it; ``None`` if nobody does any more."""
    try:
        told = json.loads(lease.read_bytes())
        return str(told["holder"]) if float(told["until"]) > now else None
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        return f"someone ({lease.name} cannot be read; remove it if nobody does)"


def _lease(checkpoint: Path, holder: str) -> Path:
    mark = hashlib.sha256(holder.encode()).hexdigest()[:12]
    return checkpoint.parent / LEASES / f"{checkpoint.name}@{mark}.json"
