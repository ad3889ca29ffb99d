"""
The champion pointer: one small JSON file that says which checkpoint is promoted.

Readers see the old or the new pointer, never half of one: on a file system it is written under another name,
synced and renamed; on object storage a single put is atomic by itself.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_runai.checkpoints.tree import Location

#: A pointer is a few hundred bytes; anything larger is some other file.
LARGEST_POINTER = 1024 * 1024


def read_champion(pointer: Location) -> dict[str, Any] | None:
    """
    Return the present champion, or ``None`` if nothing was ever promoted.

    :raises ValueError: if there is something, but it is no pointer of ours: it must not be overwritten.
    """
    try:
        with pointer.open("rb") as file:
            raw = file.read(LARGEST_POINTER + 1)
        found = json.loads(raw) if len(raw) <= LARGEST_POINTER else None
    except FileNotFoundError:
        return None
    except (ValueError, IsADirectoryError):
        found = None
    if not isinstance(found, dict) or "uri" not in found:
        raise ValueError(f"{pointer}: is no champion pointer; move it away, or name another file")
    return found


def write_champion(pointer: Location, champion: Mapping[str, Any]) -> None:
    """Replace the pointer in one step."""
    text = json.dumps(champion, indent=2, sort_keys=True) + "\n"
    if isinstance(pointer, Path):
        _replace(pointer, text)
    else:
        with pointer.open("wb") as file:
            file.write(text.encode())


def _replace(pointer: Path, text: str) -> None:
    pointer.parent.mkdir(parents=True, exist_ok=True)
    fresh = pointer.with_name(f".{pointer.name}.{uuid.uuid4().hex}.tmp")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(pointer)
    finally:
        fresh.unlink(missing_ok=True)
    _sync_directory(pointer.parent)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
