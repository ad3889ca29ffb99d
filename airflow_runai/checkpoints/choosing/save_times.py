"""What manifests tell of the newest checkpoints: which were published, and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.choosing.roots import Candidate, candidates
from airflow_runai.checkpoints.containers.json_documents import parse_object
from airflow_runai.checkpoints.storage.listing import Location, stat_entry

#: The newest so many are read: a single save may have been unusually quick.
MAX_CHECKPOINTS = 10
#: Whether there is a manifest is looked for in the newest so many.
MAX_LOOKED_AT = 50
#: A manifest lists files; a larger one is not ours.
MAX_MANIFEST_BYTES = 16 * 1024 * 1024
#: A month; NaN is not below it.
MAX_SECONDS = 31 * 86400
_MANIFEST = "manifest.json"


def with_manifests(listed: Sequence[Candidate]) -> Sequence[Candidate]:
    """Return those that were published; all of them if no manifest is to be seen."""
    newest = listed[:MAX_LOOKED_AT]
    found = [one for one in newest if _has_manifest(one.path)]
    return [*found, *listed[MAX_LOOKED_AT:]] if found else listed


def _has_manifest(checkpoint: Any) -> bool:
    try:
        return stat_entry(checkpoint / _MANIFEST).kind == "file"
    except OSError:
        return False


def longest_save(root: Location) -> float | None:
    """
    Return the longest save in seconds; ``None`` if no manifest says.

    :raises RootProblem: if ``root`` cannot be read, or holds no checkpoint.
    """
    newest = candidates(root)[:MAX_CHECKPOINTS]
    times = [_save_seconds(one.path) for one in newest]
    return max((seconds for seconds in times if seconds is not None), default=None)


def _save_seconds(checkpoint: Any) -> float | None:
    # What is wrong with a checkpoint is reported by `python -m airflow_runai.checkpoints check`.
    try:
        entry = stat_entry(checkpoint / _MANIFEST)
        if entry.kind != "file" or entry.size > MAX_MANIFEST_BYTES:
            return None
        with entry.path.open("rb") as stream:
            document = parse_object(stream.read(MAX_MANIFEST_BYTES), "json-malformed", _MANIFEST)
    except (OSError, FormatError):
        return None
    seconds = document.get("save_seconds")
    # The training wrote it, so it may be anything.
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return None
    return float(seconds) if 0 <= seconds <= MAX_SECONDS else None
