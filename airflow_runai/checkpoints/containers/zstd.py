"""
Unpacks zstd piece by piece, so that memory stays flat.

The package ``zstandard`` does the work and compares the checksum of a frame that has one. It is
imported with the first frame, because Airflow imports this package whenever it parses a DAG.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, cast

from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.containers.bounded_reader import Read

if TYPE_CHECKING:
    from zstandard import ZstdDecompressionReader

# A frame says itself how much memory it takes; level 22, the highest, takes this much.
_WINDOW_LIMIT = 128 * 1024 * 1024
_PIECE = 512 * 1024


def is_there() -> bool:
    """Whether the package is installed; an older installation may lack it."""
    return find_spec("zstandard") is not None


def unpacked(data: bytes, limit: int, code: str) -> bytes:
    """
    Return the content of one frame.

    :param limit: maximum size in bytes.
    :param code: code of the :class:`FormatError` for one that cannot be unpacked.
    """
    parts, size = [], 0
    for part in unpack(lambda at, count: data[at : at + count], len(data), code):
        size += len(part)
        if size > limit:
            raise FormatError("too-large", f"unpacks to more than {limit} bytes; no more are read")
        parts.append(part)
    if size != announced(data):
        text = f"unpacks to {size} bytes, {announced(data)} were announced"
        raise FormatError(code, f"{text}; it was cut or overwritten")
    return b"".join(parts)


def announced(first: bytes) -> int:
    """
    Return the size of the content that the frame states; -1 if it states none.

    :param first: its first bytes, up to 18.
    """
    import zstandard

    try:
        return int(zstandard.frame_content_size(first))
    except zstandard.ZstdError:
        return -1


def unpack(read: Read, size: int, code: str) -> Iterator[bytes]:
    """
    Yield the content of one frame, piece by piece, each a multiple of 8 bytes long except the last.

    :param size: of the packed bytes, all of which are one frame.
    :param code: code of the :class:`FormatError` for one that cannot be unpacked. One that was cut
        gives too few bytes.
    """
    import zstandard

    packed = cast(IO[bytes], _Packed(read, size))  # no more of a stream is asked for
    reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW_LIMIT).stream_reader(
        packed, read_size=_PIECE
    )
    try:
        while piece := _full(reader):
            yield piece
    except zstandard.ZstdError as error:
        text = f"cannot be unpacked ({error}); it was cut or overwritten"
        raise FormatError(code, text) from None


def _full(reader: ZstdDecompressionReader) -> bytes:
    piece = b""
    while len(piece) < _PIECE:
        more = reader.read(_PIECE - len(piece))
        if not more:
            break
        piece += more
    return piece


class _Packed:
    """The packed bytes, as a stream."""

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._size = size
        self.at = 0

    def read(self, size: int) -> bytes:
        data = self._read(self.at, min(size, self._size - self.at))
        self.at += len(data)
        return data
