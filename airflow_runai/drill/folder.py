"""
The copy that a run works on, so that a drill writes nothing into the script's own folder.

Bounded: a folder that holds the data is refused before anything is copied. Links stay links; those
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
_SKIPPED = frozenset(
    {".git", "__pycache__", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)
_CHECKPOINT_SUFFIXES = (
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

    :param without: a directory below it whose content is left out: checkpoints of earlier
        trainings.
    :param max_bytes: larger folders are refused.
    :raises DrillError: it is too large, or cannot be read.
    """
    try:
        paths = list(_bounded_walk(folder, without, max_bytes))
        target.mkdir(parents=True)
        for path in paths:
            _copy_entry(path, target / path.relative_to(folder), folder)
    except OSError as error:
        raise DrillError(
            f"folder {folder}: cannot be copied: {error.strerror}: {error.filename}"
        ) from None


def new_checkpoint_files(copied: Path, folder: Path) -> list[str]:
    """Return at most three files of the copy that look like checkpoints and are new."""
    suspects = (path for path in _walk(copied, None) if path.name.endswith(_CHECKPOINT_SUFFIXES))
    names = (path.relative_to(copied) for path in suspects)
    return [str(name) for name in names if not (folder / name).exists()][:3]


def _bounded_walk(folder: Path, without: PurePosixPath | None, max_bytes: int) -> Iterator[Path]:
    size = 0
    for number, path in enumerate(_walk(folder, without), 1):
        size += 0 if path.is_symlink() else path.stat().st_size
        if size > max_bytes or number > MAX_FILES:
            raise DrillError(
                f"folder {folder}: holds more than {max_bytes / 2**20:g} MiB or {MAX_FILES} files; "
                "the drill works on a copy of the script's folder; move data and old results out "
                "of it, and link to them or give the script their path"
            )
        yield path


def _walk(folder: Path, without: PurePosixPath | None) -> Iterator[Path]:
    """Yield directories before their content, files, and links; no link is followed."""
    for parent, folders, files in os.walk(folder, onerror=_raise):
        here = Path(parent)
        links = [name for name in folders if (here / name).is_symlink()]
        # os.walk descends into what is left in this list.
        folders[:] = [name for name in folders if name not in _SKIPPED and name not in links]
        yield from (here / name for name in (*folders, *links, *files))
        # The directory itself is copied, only its content is not.
        if without is not None:
            folders[:] = [name for name in folders if here / name != folder / without]


def _raise(error: OSError) -> None:
    raise error


def _copy_entry(path: Path, target: Path, folder: Path) -> None:
    """Copy a file, a directory without its content, or a link; pipes and devices are left out."""
    if path.is_symlink():
        target.symlink_to(_link_from_copy(path, folder))
    elif path.is_dir():
        target.mkdir()
    elif path.is_file():
        # Modes and times too: a script may be executable, and make compares times.
        shutil.copy2(path, target)


def _link_from_copy(link: Path, folder: Path) -> Path:
    written, resolved = Path(os.readlink(link)), Path(os.path.realpath(link))
    # An absolute link would lead from the copy back into the original.
    stays_inside = not written.is_absolute() and resolved.is_relative_to(folder.resolve())
    return written if stays_inside else resolved
