"""
One small file in any storage: read whole, created once, replaced atomically, removed.

On mounted storage no link is followed to it
(:mod:`~airflow_runai.checkpoints.storage.directory_handle`), and it is written under another name,
synced and renamed. On object storage a single put is atomic by itself, and there are no links; a
file that only one writer may create needs :mod:`~airflow_runai.checkpoints.storage.exclusive`.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from airflow_runai.checkpoints.storage.directory_handle import Folder
from airflow_runai.checkpoints.storage.exclusive import NotExclusive, put_new
from airflow_runai.checkpoints.storage.listing import Location, children, forget_listings


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

    @property
    def is_mounted(self) -> bool:
        """Whether it lies in a file system, and not in object storage."""
        return isinstance(self.path, Path)

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
        # Somebody else may have replaced it since it was listed.
        forget_listings(self.path)
        # One byte more tells the caller that it is too large.
        with self.path.open("rb") as file:
            data: bytes = file.read(limit + 1)
            return data

    def within(self, name: str) -> SmallFile:
        """Return the place of something in it, which must be a folder."""
        path: Any = self.path
        return SmallFile(path / name, self.below)

    def beside(self, name: str) -> SmallFile:
        """Return the place of something in the same folder."""
        path: Any = self.path
        return SmallFile(path.parent / name, None if path == self.below else self.below)

    def names(self, limit: int) -> list[str]:
        """
        Return the names in it, which must be a folder, in any order; none if it is not there.

        :raises OSError: if it cannot be listed, or holds more than ``limit`` names; storage
            libraries raise other errors, too.
        """
        with suppress(FileNotFoundError):
            names = self._names(limit)
            if names is None or len(names) > limit:
                raise OSError(errno.E2BIG, f"holds more than {limit} files", str(self))
            return names
        return []

    def _names(self, limit: int) -> list[str] | None:
        if isinstance(self.path, Path):
            with Folder.at(self.path, self.below) as folder:
                return list(islice(folder.names(), limit + 1))
        forget_listings(self.path)
        try:
            found = children(self.path, limit)
            return None if found is None else [child.name for child in found]
        except NotADirectoryError:  # what some storages say of a folder with nothing in it
            return []

    def make_room(self) -> None:
        """
        Make its directory, to find out early whether it can be written.

        :raises OSError: if not; on object storage only the writing itself can tell.
        """
        if isinstance(self.path, Path):
            with Folder.holding(self.path, self.below, make=True) as folder:
                folder.expect_room()

    def create(self, text: str) -> None:
        """
        Write it if there is none: of several writers exactly one succeeds.

        :raises FileExistsError: if there is one that says something else.
        :raises NotExclusive: if the storage cannot tell.
        :raises OSError: if it cannot be written; storage libraries raise other errors, too.
        """
        data = text.encode()
        try:
            self._create(data)
        except NotExclusive:
            raise
        except Exception:
            # The answer to our own writing may have been lost, and the request repeated.
            if not self._holds(data):
                raise

    def _create(self, data: bytes) -> None:
        if isinstance(self.path, Path):
            with Folder.holding(self.path, self.below, make=True) as folder:
                folder.create(self.path.name, data)
        else:
            put_new(self.path, data)

    def _holds(self, data: bytes) -> bool:
        with suppress(Exception):  # the error that led here says more
            return self.read(len(data)) == data
        return False

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
