"""
An open directory: reads, writes, renames and removes what lies below it without ever leaving it.

Trainings write into the storage that workers read, so what lies there may lead elsewhere: a link in
place of a file or directory, a fifo that never answers, a name with ``..`` in it. Checking a path
and then using it is not safe, because what it names may change in between. Each step therefore goes
from an open directory to one name in it, and the opening itself refuses a link (``openat`` with
``O_NOFOLLOW``).

A hard link cannot be told from the file and is treated as the file: it cannot leave its file
system, and Linux lets no one link to a file that they cannot write. Nothing is written in place, so
other names of the same file keep their content. Mounted storage only; object storage has no links.
"""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType

from airflow_runai.checkpoints.storage.exclusive import NotExclusive

_NEVER_FOLLOWED = os.O_NOFOLLOW | os.O_CLOEXEC
# Passing through a directory does not need the right to list it.
_DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
# Opening a fifo waits for a writer otherwise.
_READABLE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | _NEVER_FOLLOWED
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NEVER_FOLLOWED
# Listings of checkpoints end at 16 levels; anything deeper was no checkpoint.
_MAX_DEPTH = 64
# EPERM is how Linux says that a file system has none.
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


class WrongKind(OSError):
    """A name is not valid, or leads to a link, a fifo or a device that must not be used."""

    def __init__(self, place: Path, problem: str) -> None:
        super().__init__(errno.ELOOP, problem, str(place))

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


class Folder:
    """
    An open directory; a context manager.

    Methods that take a name expect that of one entry, and raise :class:`WrongKind` for other text.

    :param path: names it in errors.
    """

    def __init__(self, handle: int, path: Path) -> None:
        self._handle = handle
        self.path = path

    @classmethod
    def at(cls, path: Path, below: Path | None = None, *, make: bool = False) -> Folder:
        """
        Open a directory.

        :param below: from here on no link is followed; without it, the path is trusted to its end.
        :param make: make missing directories.
        :raises WrongKind: where the path leads out of ``below``, or through something that is no
            directory.
        """
        top = path if below is None else below
        if below is not None and not path.is_relative_to(below):
            raise WrongKind(path, f"does not lie below {below}")
        if make:
            top.mkdir(parents=True, exist_ok=True)
        folder = cls(os.open(top, _DIRECTORY), top)
        for name in path.relative_to(top).parts:
            with folder:
                folder = folder.enter(name, make=make)
        return folder

    @classmethod
    def holding(cls, path: Path, below: Path | None = None, *, make: bool = False) -> Folder:
        """Open the directory that something lies in; see :meth:`at`."""
        return cls.at(path.parent, None if path == below else below, make=make)

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._handle)

    def enter(self, name: str, *, make: bool = False) -> Folder:
        """Open a directory in this one."""
        if make:
            with suppress(FileExistsError):
                self.make(name)
        try:
            handle = self._open(name, _DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            self._expect(name, "directory")
            raise
        return Folder(handle, self.path / name)

    def make(self, name: str) -> None:
        """Make a directory that does not exist yet."""
        os.mkdir(self._single(name), dir_fd=self._handle)

    def names(self) -> Iterator[str]:
        """Yield the names of all entries, in any order."""
        with self._listed() as handle, os.scandir(handle) as entries:
            for entry in entries:
                yield entry.name

    def kind(self, name: str) -> str | None:
        """
        Return what an entry is; ``None`` if there is none.

        :return: ``file``, ``directory``, ``link``, ``fifo``, ``socket`` or ``device``.
        """
        try:
            status = os.stat(self._single(name), dir_fd=self._handle, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return _KINDS.get(stat.S_IFMT(status.st_mode), "device")

    def read(self, name: str, limit: int) -> bytes:
        """Read a file; of one that is longer than ``limit`` bytes, one byte more."""
        # Checked before, because opening a device may have effects; and after, because the entry
        # may have been replaced in between.
        self._expect(name, "file")
        with _closing(self._open(name, _READABLE)) as handle:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise WrongKind(self.path / name, "is no file any more")
            with open(handle, "rb", closefd=False) as file:
                return file.read(min(limit, status.st_size) + 1)

    def expect_room(self) -> None:
        """Raise :class:`PermissionError` if nothing can be written here."""
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=self._handle):
            raise PermissionError(f"{self.path} is not writable")

    def write(self, name: str, data: bytes) -> None:
        """Write a file that does not exist yet, and sync it to the disk."""
        with open(self._open(name, _NEW), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def create(self, name: str, data: bytes) -> None:
        """
        Write a file atomically, unless something has its name; of several writers one succeeds.

        :raises FileExistsError: if something has.
        :raises NotExclusive: if this file system cannot tell.
        """
        with self._written(data) as fresh:
            try:
                ends = {"src_dir_fd": self._handle, "dst_dir_fd": self._handle}
                os.link(fresh, self._single(name), **ends, follow_symlinks=False)
            except OSError as error:
                if error.errno in _NO_HARD_LINKS:
                    raise NotExclusive(self.path / name, "file system without hard links") from None
                raise

    def replace(self, name: str, data: bytes) -> None:
        """Write a file atomically: readers see the old or the new one; a link is replaced."""
        with self._written(data) as fresh:
            os.replace(fresh, self._single(name), src_dir_fd=self._handle, dst_dir_fd=self._handle)

    @contextmanager
    def _written(self, data: bytes) -> Iterator[str]:
        """Write a file under a temporary name, from which the block makes its real one."""
        fresh = f".{uuid.uuid4().hex}.tmp"
        try:
            self.write(fresh, data)
            yield fresh
        finally:
            self.remove(fresh)
        # Without this a power failure may undo the block.
        with self._listed() as handle:
            os.fsync(handle)

    def move(self, name: str, into: Folder) -> None:
        """Move an entry of any kind into another directory of the same file system."""
        os.rename(self._single(name), name, src_dir_fd=self._handle, dst_dir_fd=into._handle)

    def remove(self, name: str) -> None:
        """Remove a file or a link, if there is one."""
        with suppress(FileNotFoundError):
            os.unlink(self._single(name), dir_fd=self._handle)

    def clear(self, name: str, *, max_depth: int = _MAX_DEPTH) -> None:
        """Remove an entry and all that lies in it; links are removed, not followed."""
        if self.kind(name) != "directory":
            return self.remove(name)
        if not max_depth:
            problem = f"lies more than {_MAX_DEPTH} directories deep; remove it by hand"
            raise WrongKind(self.path / name, problem)
        with self.enter(name) as folder:
            # What a listing yields while entries vanish is not defined.
            for child in list(folder.names()):
                folder.clear(child, max_depth=max_depth - 1)
        self.drop(name)

    def drop(self, name: str) -> None:
        """Remove an empty directory."""
        os.rmdir(self._single(name), dir_fd=self._handle)

    def _open(self, name: str, flags: int) -> int:
        return os.open(self._single(name), flags, 0o666, dir_fd=self._handle)

    def _single(self, name: str) -> str:
        if name in ("", ".", "..") or "/" in name or not can_be_encoded(name):
            raise WrongKind(self.path, f"{name[:80]!r} is no name of something in it")
        return name

    def _expect(self, name: str, expected: str) -> None:
        kind = self.kind(name)
        if kind in (expected, None):
            return
        reason = "links are not followed here, because they may lead anywhere; "
        problem = f"is a {kind}; {reason if kind == 'link' else ''}put the {expected} itself there"
        raise WrongKind(self.path / name, problem)

    def _listed(self) -> AbstractContextManager[int]:
        # A handle of O_PATH can neither list nor sync.
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        return _closing(os.open(".", flags, dir_fd=self._handle))


@contextmanager
def _closing(handle: int) -> Iterator[int]:
    try:
        yield handle
    finally:
        os.close(handle)


def can_be_encoded(name: str) -> bool:
    """Whether a file can have this name: no NUL, no surrogate except those for odd bytes."""
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False
