"""
The champion pointer: one small JSON file that names the promoted checkpoint.

Readers see the old or the new pointer, never half of one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_runai.checkpoints.storage.directory_handle import WrongKind
from airflow_runai.checkpoints.storage.small_files import FilePlace, SmallFile

#: A pointer is a few hundred bytes; a larger file is another one.
MAX_POINTER_SIZE = 1024 * 1024


def read_champion(pointer: FilePlace) -> dict[str, Any] | None:
    """
    Return the present champion, or ``None`` if nothing was ever promoted.

    :raises ValueError: if the file is no pointer of ours, and so must not be overwritten.
    """
    advice = "move it away, or name another file"
    try:
        content = SmallFile.of(pointer).read(MAX_POINTER_SIZE)
        document = json.loads(content) if len(content) <= MAX_POINTER_SIZE else None
    except FileNotFoundError:
        return None
    except WrongKind as error:
        raise ValueError(f"{pointer}: is no champion pointer ({error}); {advice}") from error
    except (ValueError, RecursionError, IsADirectoryError):
        document = None
    if not isinstance(document, dict) or "uri" not in document:
        raise ValueError(f"{pointer}: is no champion pointer; {advice}")
    return document


def write_champion(pointer: FilePlace, champion: Mapping[str, Any]) -> None:
    """Replace the pointer in one step."""
    SmallFile.of(pointer).replace(json.dumps(champion, indent=2, sort_keys=True) + "\n")
