"""
The copy that a run works on, so that a drill writes nothing into the script's own folder.

Bounded: a folder with the data in it is refused before anything is copied. Links stay links; those
that lead out of the folder (to the data, say) lead to the same place from the copy.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from airflow_runai.drill.plan import DrillError

MAX_BYTES = 1 << 30
MAX_FILES = 20_000
_LEFT_OUT = frozenset(
    {".git", "__pycache__", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)
_SAVED = (
    ".pt",
    ".pth",
    ".ckpt",
    ".bin",
    ".safetensors",
    ".npz",
    ".npy",
    ".h5",
    ".hdf5",
    ".keras",
    ".pkl",
    ".onnx",
)


def copy(
    folder: Path, target: Path, without: PurePosixPath | None = None, max_bytes: int = MAX_BYTES
) -> None:
    """
    Copy a folder.

    :param without: a directory below it whose content stays behind: checkpoints of earlier
        trainings.
    :param most_bytes: refuse larger ones.
    :raises DrillProblem: it is too large, or cannot be read.
    """
    try:
        found = list(_measured(folder, without, max_bytes))
        target.mkdir(parents=True)
        for path in found:
            _copy(path, target / path.relative_to(folder), folder)
    except OSError as error:
        raise DrillError(
            f"folder {folder}: cannot be copied: {error.strerror}: {error.filename}"
        ) from None


def new_checkpoint_files(copied: Path, folder: Path) -> list[str]:
    """
    List at most three files in the copy that look like checkpoints and are not in the original.
    """
    saved = (path.relative_to(copied) for path in _walk(copied, None) if path.name.endswith(_SAVED))
    return [str(path) for path in saved if not (folder / path).exists()][:3]


def _measured(folder: Path, without: PurePosixPath | None, max_bytes: int) -> Iterator[Path]:
    size = 0
    for files, path in enumerate(_walk(folder, without), 1):
        size += 0 if path.is_symlink() else path.stat().st_size
        if size > max_bytes or files > MAX_FILES:
            raise DrillError(
                f"folder {folder}: holds more than {max_bytes / 2**20:g} MiB or {MAX_FILES} files; the drill works "
                "on a copy of the script's folder; move data and old results out of it, and link to them or give the "
                "script their path"
            )
        yield path


def _walk(folder: Path, without: PurePosixPath | None) -> Iterator[Path]:
    """Yield directories before what is in them, files, and links; nothing is followed."""
    for parent, folders, names in os.walk(folder, onerror=_raise):
        here = Path(parent)
        links = [name for name in folders if (here / name).is_symlink()]
        folders[:] = [name for name in folders if name not in _LEFT_OUT and name not in links]
        yield from (here / name for name in (*folders, *links, *names))
        folders[:] = [
            name for name in folders if without is None or here / name != folder / without
        ]


def _raise(error: OSError) -> None:
    raise error


def _copy(path: Path, target: Path, folder: Path) -> None:
    if path.is_symlink():
        told, leads = os.readlink(path), Path(os.path.realpath(path))
        inside = leads.is_relative_to(folder.resolve()) and not os.path.isabs(told)
        target.symlink_to(told if inside else leads)
    elif path.is_dir():
        target.mkdir()
    elif path.is_file():
        shutil.copy2(path, target)
