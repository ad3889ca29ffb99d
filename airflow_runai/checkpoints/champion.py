"""
The champion pointer: one small JSON file that says which checkpoint is promoted.

Readers see the old or the new pointer, never half of one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_runai.checkpoints.durable import replace_text
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
    replace_text(pointer, json.dumps(champion, indent=2, sort_keys=True) + "\n")
