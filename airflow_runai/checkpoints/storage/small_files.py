"""
One small file in any storage: read whole, replaced atomically, removed.

On mounted storage no link is followed to it
(:mod:`~airflow_runai.checkpoints.storage.directory_handle`), and it is written under another name,
synced and renamed. On object storage a single put is atomic by itself, and there are no links.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_runai.checkpoints.storage.directory_handle import Folder
from airflow_runai.checkpoints.storage.listing import Location


@dataclass(frozen=True)
class SmallFile:
    """
    The place of a small file.

    :param below: on mounted storage, the directory below which no link is followed; without it only
        the file itself must not be a link.
    """

    path: Location
    below: Path | None = None

    def __str__(self) -> str:
        return str(self.path)

    @classmethod
    def of(cls, place: FilePlace) -> SmallFile:
        """Make one of a path."""
        return place if isinstance(place, SmallFile) else cls(place)

    def read(self, limit: int) -> bytes:
        """
        Read it; of one that is longer than ``limit`` bytes, at least one byte more.

        :raises FileNotFoundError: if there is none.
        :raises OSError: if it cannot be read; storage libraries raise other errors, too.
        """
        if isinstance(self.path, Path):
            with Folder.holding(self.path, self.below) as folder:
                return folder.read(self.path.name, limit)
        # One byte more tells the caller that it is too large.
        with self.path.open("rb") as file:
            data: bytes = file.read(limit + 1)
            return data

    def make_room(self) -> None:
        """
        Make its directory, to find out early whether it can be written.

        :raises OSError: if not; on object storage only the writing itself can tell.
        """
        if isinstance(self.path, Path):
            with Folder.holding(self.path, self.below, make=True) as folder:
                folder.expect_room()

    def replace(self, text: str) -> None:
        """
        Write it, and make its directory if there is none.

        :raises OSError: if it cannot be written; the old one is still there.
        """
        if isinstance(self.path, Path):
            with Folder.holding(self.path, self.below, make=True) as folder:
                folder.replace(self.path.name, text.encode())
        else:
            with self.path.open("wb") as file:
                file.write(text.encode())

    def remove(self) -> None:
        """
        Remove it, if it is there; of a link, the link.

        :raises OSError: when that fails; storage libraries raise other errors, too.
        """
        if isinstance(self.path, Path):
            with suppress(FileNotFoundError), Folder.holding(self.path, self.below) as folder:
                folder.remove(self.path.name)
        else:
            place: Any = self.path
            place.unlink(missing_ok=True)


FilePlace = Location | SmallFile
