"""
A bounded listing of one checkpoint, taken with the pathlib interface only.

Works for :class:`pathlib.Path` and for object storage. Opens nothing: fifos, devices and links to
directories are listed as what they are and never followed, because opening a fifo blocks and a link
to a directory may never end.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal, Protocol

#: Called with the relative path and the error of an entry that cannot be read.
OnError = Callable[[str, Exception], None]
Kind = Literal["file", "directory", "special", "link", "gone"]
# What trainers write is a handful of levels deep.
_DEPTH_LIMIT = 16
# Where TensorFlow keeps the parts of a checkpoint until it merges them: ckpt-12_temp.
_TENSORFLOW_PARTS = re.compile(r"_temp(?:_[0-9a-f]{32})?$")


class Location(Protocol):
    """The part of the pathlib interface in use, which ``ObjectStoragePath`` has too."""

    @property
    def name(self) -> str:
        """Last part of the path."""

    def iterdir(self) -> Iterable[Any]:
        """Children of a directory."""

    def stat(self) -> Any:
        """Mode, size and time of modification."""

    def open(self, mode: str) -> IO[Any]:
        """Open for reading."""


@dataclass(frozen=True)
class FileEntry:
    """
    One listed entry.

    :param mtime: epoch seconds; 0 if the storage has none.
    :param linked: reached through a symbolic link.
    """

    path: Location
    kind: Kind
    size: int = 0
    mtime: float = 0.0
    linked: bool = False


@dataclass
class Listing:
    """
    A listed checkpoint.

    :param root: the checkpoint itself.
    :param label: how findings name it.
    :param files: regular files by relative POSIX path; a checkpoint of one file has one, under its
        own name.
    :param others: everything that is neither a regular file nor a directory, by relative path.
    :param single: the checkpoint is a file, not a directory.
    :param truncated: there are more entries than the limit.
    :param listed: entries so far, directories included.
    """

    root: Location
    label: str
    files: dict[str, FileEntry] = field(default_factory=dict)
    others: dict[str, FileEntry] = field(default_factory=dict)
    single: bool = False
    truncated: bool = False
    listed: int = 0

    def narrowed_to(self, name: str) -> Listing:
        """The same checkpoint status as one of its files."""
        return Listing(self.files[name].path, name, {name: self.files[name]}, single=True)

    def add(self, name: str, entry: FileEntry) -> None:
        """Add what is not a directory."""
        entries = self.files if entry.kind == "file" else self.others
        entries[name] = entry

    def has_top_level(self, name: str) -> bool:
        """Whether a file of that name lies at the top of the directory."""
        return not self.single and name in self.files

    @property
    def size(self) -> int:
        """Size of all its files, in bytes."""
        return sum(entry.size for entry in self.files.values())

    @property
    def fingerprint(self) -> dict[str, tuple[int, float]]:
        """Sizes and times, to detect that the checkpoint is still being written."""
        return {name: (entry.size, entry.mtime) for name, entry in self.files.items()}

    @property
    def mark(self) -> str:
        """The fingerprint as a short text, to recognise the same files later."""
        files = sorted(self.fingerprint.items())
        others = sorted((name, entry.kind) for name, entry in self.others.items())
        content = repr((files, others)).encode("utf-8", "surrogateescape")
        return hashlib.sha256(content).hexdigest()


def stat_entry(path: Location) -> FileEntry:
    """
    Read the status of one path, following a link to a file.

    :raises OSError: if it does not exist or access is denied.
    """
    status = path.stat()
    # ObjectStoragePath leaves out what its storage does not know.
    mode = int(getattr(status, "st_mode", 0) or 0)
    size = int(getattr(status, "st_size", 0) or 0)
    mtime = float(getattr(status, "st_mtime", 0) or 0)
    if stat.S_ISDIR(mode):
        return FileEntry(path, "directory", 0, mtime)
    # An object has no kind.
    if stat.S_ISREG(mode) or stat.S_IFMT(mode) == 0:
        return FileEntry(path, "file", size, mtime)
    return FileEntry(path, "special", 0, mtime)


def list_tree(root: Location, limit: int, on_error: OnError) -> Listing:
    """
    List a checkpoint, breadth first.

    :param limit: maximum number of entries.
    :raises OSError: if the root itself cannot be read.
    """
    forget_listings(root)
    top = stat_entry(root)
    tree = Listing(root, root.name)
    if top.kind != "directory":
        tree.single = True
        tree.add(root.name, top)
        return tree
    pending: list[tuple[str, Location]] = [("", root)]
    while pending:
        prefix, folder = pending.pop(0)
        for name, entry in _children(tree, prefix, folder, limit, on_error):
            _place(tree, name, entry, pending)
    return tree


def children(folder: Any, limit: int) -> Iterator[Any] | None:
    """
    Return the entries of a directory; ``None`` if S3 holds more than the limit.

    A million names are not collected first, nor requested from S3, as s3fs does.
    For other object stores fsspec returns whole listings.
    """
    # Path.iterdir calls os.listdir, which returns only when it has all names.
    if isinstance(folder, Path):
        return _scanned(folder)
    return iter(folder.iterdir()) if _fits(folder, limit) else None


def _scanned(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield folder / entry.name


def _fits(folder: Any, limit: int) -> bool:
    """Ask S3 whether there are at most so many entries, with a request for each thousand."""
    system: Any = getattr(folder, "fs", None)
    if "s3" not in getattr(system, "protocol", ()):
        return True
    bucket, key, _ = system.split_path(folder.path)
    query = {
        "Bucket": bucket,
        "Prefix": key.rstrip("/") + "/" if key else "",
        "Delimiter": "/",
        "MaxKeys": min(limit + 1, 1000),
    }
    count = 0
    while count <= limit:
        page = system.call_s3("list_objects_v2", **query)
        count += page.get("KeyCount", 0)
        if not page.get("IsTruncated"):
            break
        query["ContinuationToken"] = page["NextContinuationToken"]
    return count <= limit


def forget_listings(root: Any) -> None:
    """Make fsspec forget its cached listings, because the trainer goes on writing."""
    system = getattr(root, "fs", None)
    if system is not None:
        system.invalidate_cache()


def _children(
    tree: Listing,
    prefix: str,
    folder: Location,
    limit: int,
    on_error: OnError,
) -> Iterable[tuple[str, FileEntry]]:
    try:
        listed = children(folder, limit)
        if listed is None:
            tree.truncated = True
            return
        for child in listed:
            if tree.listed >= limit:
                tree.truncated = True
                return
            tree.listed += 1
            name = prefix + child.name
            try:
                yield name, _child_entry(child)
            except Exception as error:
                # Kept, so that two listings differ when it can be read the second time.
                tree.others[name] = FileEntry(child, "gone")
                on_error(name, error)
    except Exception as error:
        on_error(prefix.rstrip("/") or tree.label, error)


def _child_entry(child: Any) -> FileEntry:
    entry = stat_entry(child)
    is_link = getattr(child, "is_symlink", None)
    if is_link is None or not is_link():
        return entry
    return FileEntry(child, "link") if entry.kind == "directory" else replace(entry, linked=True)


def _place(tree: Listing, name: str, entry: FileEntry, pending: list[tuple[str, Location]]) -> None:
    if entry.kind != "directory":
        tree.add(name, entry)
    elif name.count("/") + 1 >= _DEPTH_LIMIT:
        tree.truncated = True
    else:
        pending.append((name + "/", entry.path))


def is_temporary(name: str) -> bool:
    """Whether a name says that it is still being written or already being deleted."""
    if name.startswith((".tmp", ".trash-", "tmp-")):
        return True
    if name.endswith((".tmp", ".part", ".incomplete")):
        return True
    return ".orbax-checkpoint-tmp" in name or _TENSORFLOW_PARTS.search(name) is not None
