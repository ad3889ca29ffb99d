"""
The separate process that opens an HDF5 file, because the C library that parses it is not trusted.

:mod:`~airflow_runai.checkpoints.containers.hdf5_reader` starts it as a script, by its path; it
imports nothing of this package. It limits its own memory and time first, follows no link into
another file, loads no filter plug-ins, and decides nothing: it writes one line of JSON for each
dataset, followed by the bytes. h5py 3.
"""

from __future__ import annotations

import io
import json
import resource
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import IO, Any

_DATASETS_LIMIT = 100_000
_BLOCK = 4 * 1024 * 1024
_TEXT_LIMIT = 16 * 1024 * 1024
_LIMITS = {resource.RLIMIT_AS: "memory", resource.RLIMIT_CPU: "seconds"}


class Refusal(Exception):
    """The file must not be read; the arguments are the kind of problem and its message."""


class ClippedFile(io.RawIOBase):
    """A run of bytes of a file, as a file; for HDF5 inside of a zip."""

    def __init__(self, file: IO[bytes], begin: int, size: int) -> None:
        self._file, self._begin, self._size, self._at = file, begin, size, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move within the part."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def readinto(self, target: Any) -> int:
        """Fill the target as far as the part reaches."""
        self._file.seek(self._begin + self._at)
        data = self._file.read(max(0, min(len(target), self._size - self._at)))
        target[: len(data)] = data
        self._at += len(data)
        return len(data)


def say(line: dict[str, Any], content: Iterable[bytes] | None = None) -> None:
    """
    Write one answer: a line, then blocks of bytes, each behind its length.

    An empty block is the last; it also ends a dataset that cannot be read.
    """
    out = sys.stdout.buffer
    header = json.dumps({**line, "content": content is not None})
    out.write(header.encode() + b"\n")
    if content is None:
        return
    try:
        for block in content:
            out.write(len(block).to_bytes(8, "little") + block)
    finally:
        out.write(bytes(8))


def objects(h5py: Any, file: Any) -> Iterator[tuple[str, Any]]:
    """Return every group and dataset once, with its name, however they are linked."""
    pending, met = [("", file)], set()
    while pending:
        name, item = pending.pop()
        # Hard links may lead back to a group above.
        address = h5py.h5o.get_info(item.id).addr
        if address in met:
            continue
        met.add(address)
        yield name, item
        if isinstance(item, h5py.Group):
            pending.extend(members(h5py, name, item))
        if len(met) > _DATASETS_LIMIT:
            raise Refusal("limit", f"more than {_DATASETS_LIMIT} objects")


def members(h5py: Any, name: str, group: Any) -> Iterator[tuple[str, Any]]:
    """Return what a group holds, with its name."""
    for key in sorted(group):
        path = f"{name}/{key}"
        link = group.get(key, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise Refusal("external", f"{path} is a link into another file")
        # A soft link is another name of something in this file.
        if isinstance(link, h5py.HardLink):
            yield path, group[key]


def blocks(data: Any) -> Iterator[bytes]:
    """Return the values of a dataset, a few MB at a time."""
    # A chunk is unpacked as a whole, so each is read once.
    for place in data.iter_chunks() if data.chunks else contiguous(data):
        yield data[place].tobytes()


def contiguous(data: Any) -> Iterator[tuple[Any, ...]]:
    """Return the places of a dataset without chunks, each of a few MB."""
    outer, size = data.shape, data.dtype.itemsize
    while outer and size * outer[-1] <= _BLOCK:
        *outer, last = outer
        size *= last
    return _places(tuple(outer), max(1, _BLOCK // size))


def _places(shape: tuple[int, ...], step: int) -> Iterator[tuple[Any, ...]]:
    """Return indices for the outer axes: single ones, and slices along the last."""
    if not shape:
        yield ()
    elif len(shape) == 1:
        for at in range(0, shape[0], step):
            yield (slice(at, at + step),)
    else:
        for at in range(shape[0]):
            for inner in _places(shape[1:], step):
                yield at, *inner


def show(h5py: Any, name: str, item: Any, file_size: int) -> None:
    """Write one group or dataset."""
    # Object headers have a checksum from version 2 on (HDF5 1.8, libver="latest").
    sealed = h5py.h5o.get_info(item.id).hdr.version >= 2
    if not isinstance(item, h5py.Dataset):
        say({"group": name[:1000], "sealed": sealed})
        return
    shape, size = item.shape, 0
    if shape is not None:
        _check_dataset(name, item, file_size)
        # Objects and compounds are not numbers; their values are not read.
        is_plain = item.dtype.kind not in "OV"
        size = item.nbytes if is_plain else 0
        sealed = sealed and is_plain and bool(item.fletcher32 or not size)
    line = {
        "dataset": name[:1000],
        "dtype": item.dtype.str,
        "shape": shape or (),
        "sealed": sealed,
        "size": size,
    }
    say(line, blocks(item) if size else None)


def _check_dataset(name: str, item: Any, file_size: int) -> None:
    if item.external or item.is_virtual:
        raise Refusal("external", f"{name} takes its values from another file")
    # Deflate packs 1000 to 1 at best; what is not stored reads as the fill value.
    if item.nbytes > 1000 * file_size + 16 * _BLOCK:
        raise Refusal("limit", f"{name} would unpack to {item.nbytes} bytes")


def read(h5py: Any, request: dict[str, Any]) -> None:
    """Write everything about one file."""
    size = request["size"]
    with open(request["path"], "rb") as file:
        part = io.BufferedReader(ClippedFile(file, request["begin"], size), 1 << 16)
        with h5py.File(part, "r") as root:
            describe(root)
            for name, item in objects(h5py, root):
                show(h5py, name, item, size)


def describe(root: Any) -> None:
    """Write what is known of the file as a whole."""
    # The superblock has a checksum from version 2 on.
    version, *_ = root.id.get_create_plist().get_version()
    if version < 2:
        say({"group": "/", "sealed": False})
    config = root.attrs.get("model_config")
    if isinstance(config, str) and len(config) < _TEXT_LIMIT:
        say({"config": config})


def outcome(request: dict[str, Any]) -> tuple[str, str]:
    """Read the file; return how that ended, and why."""
    try:
        h5py = import_module("h5py")
    except Exception as error:
        return "missing", f"{type(error).__name__}: {error}"
    try:
        read(h5py, request)
    except Refusal as refusal:
        kind, message = refusal.args
        return kind, message
    except MemoryError:
        return "limit", "it needs more memory than it may take"
    except Exception as error:
        return "damaged", f"{type(error).__name__}: {error}"
    return "done", ""


def main() -> None:
    """Answer one request from the standard input."""
    request = json.load(sys.stdin)
    sys.path[:] = request["sys_path"]
    for kind, limit in _LIMITS.items():
        resource.setrlimit(kind, (request[limit], request[limit]))
    # A core file would hold the weights.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    end, message = outcome(request)
    say({"end": end, "message": message[:300]})
    sys.stdout.flush()


if __name__ == "__main__":
    main()
