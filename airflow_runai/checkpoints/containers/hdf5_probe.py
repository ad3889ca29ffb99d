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
    sys.stdout.buffer.write(json.dumps({**line, "content": content is not None}).encode() + b"\n")
    if content is None:
        return
    try:
        for block in content:
            sys.stdout.buffer.write(len(block).to_bytes(8, "little") + block)
    finally:
        sys.stdout.buffer.write(bytes(8))


def objects(h5py: Any, file: Any) -> Iterator[tuple[str, Any]]:
    """Return every group and dataset once, with its name, however they are linked."""
    pending, met = [("", file)], set()
    while pending:
        name, item = pending.pop()
        address = h5py.h5o.get_info(item.id).addr
        if address in met:
            continue
        met.add(address)
        yield name, item
        for key in sorted(item) if isinstance(item, h5py.Group) else ():
            link = item.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise Refusal("external", f"{name}/{key} is a link into another file")
            if isinstance(link, h5py.HardLink):
                pending.append((f"{name}/{key}", item[key]))
        if len(met) > _DATASETS_LIMIT:
            raise Refusal("limit", f"more than {_DATASETS_LIMIT} objects")


def blocks(data: Any) -> Iterator[bytes]:
    """Return the values of a dataset, a few MB at a time."""
    if data.shape == () or data.chunks is not None:
        places = iter([()]) if data.shape == () else data.iter_chunks()
        for place in places:
            yield data[place].tobytes()
        return
    axis, inner = len(data.shape), data.dtype.itemsize
    while axis > 0 and inner * data.shape[axis - 1] <= _BLOCK:
        axis, inner = axis - 1, inner * data.shape[axis - 1]
    for place in _places(data.shape[:axis], max(1, _BLOCK // inner)):
        yield data[place].tobytes()


def _places(shape: tuple[int, ...], step: int) -> Iterator[tuple[Any, ...]]:
    """Return indices for the outer axes: single ones, and slices along the last."""
    if not shape:
        yield ()
        return
    outer = [0] * (len(shape) - 1)
    while True:
        for at in range(0, shape[-1], step):
            yield (*outer, slice(at, at + step))
        axis = len(outer) - 1
        while axis >= 0 and outer[axis] + 1 == shape[axis]:
            outer[axis], axis = 0, axis - 1
        if axis < 0:
            return
        outer[axis] += 1


def show(h5py: Any, name: str, item: Any, file_size: int) -> None:
    """Write one group or dataset."""
    sealed = h5py.h5o.get_info(item.id).hdr.version >= 2
    if not isinstance(item, h5py.Dataset):
        say({"group": name[:1000], "sealed": sealed})
        return
    if item.shape is None:
        line = {"dataset": name[:1000], "dtype": item.dtype.str, "shape": [], "sealed": sealed}
        say({**line, "size": 0})
        return
    if item.external or item.is_virtual:
        raise Refusal("external", f"{name} takes its values from another file")
    if item.nbytes > 1000 * file_size + 16 * _BLOCK:
        raise Refusal("limit", f"{name} would unpack to {item.nbytes} bytes")
    plain = item.dtype.kind not in "OV"
    sealed = sealed and bool(plain and (item.fletcher32 or not item.nbytes))
    line = {"dataset": name[:1000], "dtype": item.dtype.str, "shape": item.shape, "sealed": sealed}
    size = item.nbytes if plain else 0
    say({**line, "size": size}, blocks(item) if size else None)


def read(h5py: Any, request: dict[str, Any]) -> None:
    """Write everything about one file."""
    with open(request["path"], "rb") as file:
        part = ClippedFile(file, request["begin"], request["size"])
        with h5py.File(io.BufferedReader(part, 1 << 16), "r") as root:
            if root.id.get_create_plist().get_version()[0] < 2:
                say({"group": "/", "sealed": False})
            config = root.attrs.get("model_config")
            if isinstance(config, str) and len(config) < _TEXT_LIMIT:
                say({"config": config})
            for name, item in objects(h5py, root):
                show(h5py, name, item, request["size"])


def main() -> None:
    """Answer one request from the standard input."""
    request = json.load(sys.stdin)
    sys.path[:] = request["sys_path"]
    for kind, limit in ((resource.RLIMIT_AS, "memory"), (resource.RLIMIT_CPU, "seconds")):
        resource.setrlimit(kind, (request[limit], request[limit]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        h5py = import_module("h5py")
    except Exception as error:
        say({"end": "missing", "message": f"{type(error).__name__}: {error}"[:300]})
        return
    try:
        read(h5py, request)
        say({"end": "done", "message": ""})
    except Refusal as refusal:
        say({"end": refusal.args[0], "message": refusal.args[1][:300]})
    except MemoryError:
        say({"end": "limit", "message": "it needs more memory than it may take"})
    except Exception as error:
        say({"end": "damaged", "message": f"{type(error).__name__}: {error}"[:300]})
    sys.stdout.flush()


if __name__ == "__main__":
    main()
