"""Whether the disks have room for a build, asked before it begins: a disk that fills up after ten minutes is worse."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.rig.go import BuildError

_MB = 1_000_000


def check(needs: Mapping[Path, int]) -> None:
    """Raise :class:`BuildError` if the disk of a folder has fewer bytes free than all folders on it need."""
    disks = {folder: _nearest(folder).stat().st_dev for folder in needs}
    for folder in needs:
        needed = sum(amount for other, amount in needs.items() if disks[other] == disks[folder])
        free = shutil.disk_usage(_nearest(folder)).free
        if free < needed:
            raise BuildError(
                f"the disk of {folder} has {free // _MB} MB free, and the rig needs {needed // _MB} MB there;"
                " make room, or name other folders with RUNAI_RIG_CACHE and GOCACHE"
            )


def lacking(folders: list[Path], wanted: int) -> int:
    """Return how many bytes the folders must still grow to hold as many as wanted; a warm cache needs no more room."""
    for file in (file for folder in folders for file in folder.rglob("*")):
        if wanted <= 0:
            return 0
        with suppress(FileNotFoundError):  # another build may tidy up
            wanted -= file.lstat().st_size
    return max(0, wanted)


def _nearest(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())
