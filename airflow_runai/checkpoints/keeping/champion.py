"""
The champion pointer: one small JSON file that says which checkpoint is promoted.

Readers see the old or the new pointer, never half of one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_runai.checkpoints.storage.directory_handle import WrongKind
from airflow_runai.checkpoints.storage.listing import Location
from airflow_runai.checkpoints.storage.small_files import SmallFile

#: A pointer is a few hundred bytes; anything larger is some other file.
MAX_POINTER_SIZE = 1024 * 1024


def read_champion(pointer: Location | SmallFile) -> dict[str, Any] | None:
    """
    Return the present champion, or ``None`` if nothing was ever promoted.

    :raises ValueError: if there is something, but it is no pointer of ours: it must not be
        overwritten.
    """
    advice = "move it away, or name another file"
    try:
        raw = SmallFile.of(pointer).read(MAX_POINTER_SIZE)
        found = json.loads(raw) if len(raw) <= MAX_POINTER_SIZE else None
    except FileNotFoundError:
        return None
    except WrongKind as error:
        raise ValueError(f"{pointer}: is no champion pointer ({error}); {advice}") from error
    except (ValueError, RecursionError, IsADirectoryError):
        found = None
    if not isinstance(found, dict) or "uri" not in found:
        raise ValueError(f"{pointer}: is no champion pointer; {advice}")
    return found


def write_champion(pointer: Location | SmallFile, champion: Mapping[str, Any]) -> None:
    """Replace the pointer in one step."""
    SmallFile.of(pointer).replace(json.dumps(champion, indent=2, sort_keys=True) + "\n")
