"""How long it took to save a checkpoint, as the manifests of the newest ones say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.choosing.roots import RootProblem, candidates
from airflow_runai.checkpoints.containers.json_documents import parse_object
from airflow_runai.cli.exit_codes import Misuse

#: So many of the newest are looked at: one save may have been lucky.
LOOKED_AT = 10
#: A manifest lists files; a larger one would be no manifest of ours. Bytes.
LARGEST_MANIFEST = 16 * 1024 * 1024


def longest_save(root: Path) -> float | None:
    """
    Return seconds; ``None`` if no manifest says.

    :raises Misuse: if ``root`` cannot be read, or holds no checkpoint.
    """
    try:
        found = candidates(root)[:LOOKED_AT]
    except RootProblem as problem:
        raise Misuse(f"--checkpoints: {problem}") from None
    told = (_save_seconds(Path(str(candidate.path)) / "manifest.json") for candidate in found)
    return max((value for value in told if value is not None), default=None)


def _save_seconds(manifest: Path) -> float | None:
    try:
        if not manifest.is_file() or manifest.stat().st_size > LARGEST_MANIFEST:
            return None
        found: Any = parse_object(manifest.read_bytes(), "json-malformed", manifest.name).get(
            "save_seconds"
        )
    except (OSError, FormatError):
        return None  # what is wrong with a checkpoint, `python -m airflow_runai.checkpoints check` says
    return (
        float(found)
        if isinstance(found, (int, float)) and not isinstance(found, bool) and found >= 0
        else None
    )
