"""
Replacing a small file so that readers see the old or the new one, never half of one.

On a file system it is written under another name, synced and renamed; on object storage a single put is atomic by
itself.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from airflow_runai.checkpoints.tree import Location

__all__ = ["replace_text"]


def replace_text(target: Location, text: str) -> None:
    """
    Write a file, making its directory where there is none.

    :raises OSError: when it cannot be written; then the old one is still there.
    """
    if isinstance(target, Path):
        _replace(target, text)
    else:
        with target.open("wb") as file:
            file.write(text.encode())


def _replace(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    _sync_directory(target.parent)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
