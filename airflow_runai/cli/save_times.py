"""How long it took to save a checkpoint, by the manifests of the newest ones."""

from __future__ import annotations

from pathlib import Path

from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.choosing.roots import RootProblem, candidates
from airflow_runai.checkpoints.containers.json_documents import parse_object
from airflow_runai.cli.exit_codes import UsageError

#: The newest so many are read: a single save may have been unusually quick.
MAX_CHECKPOINTS = 10
#: A manifest lists files; a larger one is not ours.
MAX_MANIFEST_BYTES = 16 * 1024 * 1024


def longest_save(root: Path) -> float | None:
    """
    Return the longest save in seconds; ``None`` if no manifest says.

    :raises UsageError: if ``root`` cannot be read, or holds no checkpoint.
    """
    try:
        newest = candidates(root)[:MAX_CHECKPOINTS]
    except RootProblem as problem:
        raise UsageError(f"--checkpoints: {problem}") from None
    times = [_save_seconds(Path(str(one.path)) / "manifest.json") for one in newest]
    return max((seconds for seconds in times if seconds is not None), default=None)


def _save_seconds(manifest: Path) -> float | None:
    # What is wrong with a checkpoint is reported by `python -m airflow_runai.checkpoints check`.
    try:
        if not manifest.is_file() or manifest.stat().st_size > MAX_MANIFEST_BYTES:
            return None
        document = parse_object(manifest.read_bytes(), "json-malformed", manifest.name)
    except (OSError, FormatError):
        return None
    seconds = document.get("save_seconds")
    # The training wrote it, so it may be anything.
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds < 0:
        return None
    return float(seconds)
