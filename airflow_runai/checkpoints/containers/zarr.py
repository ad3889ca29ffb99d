"""
Arrays of Zarr, formats 2 and 3, as TensorStore writes them for Orbax: their pieces and sizes.

Does not know where the pieces lie. :mod:`~airflow_runai.checkpoints.containers.zarr_documents`
reads the description of an array.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import product
from math import ceil, prod

from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.storage.crc32c import ends_with_crc32c

#: Sizes along each dimension.
Shape = tuple[int, ...]

_CODE = "orbax-layout"
# Each piece is a file, or a key of a store; one beyond a million would be listed for minutes.
_PIECE_LIMIT = 1_000_000
# Of a shard with one piece: offset and length of 8 bytes each, and a CRC32C.
_INDEX_SIZE = 20
# Zarr's sharding codec marks a piece that is all fill values so.
_NO_PIECE = (1 << 64) - 1


@dataclass(frozen=True)
class Array:
    """
    The description of an array.

    :param shape: of the whole, in elements.
    :param piece: shape of one piece; those at the end are padded to it.
    :param dtype: as NumPy calls it, or as the document does.
    :param kind: its float layout, a key of ``FLOAT_LAYOUTS``, or another name.
    :param width: of an element in bytes; 0 where that is not known.
    :param packing: ``""``, ``zstd``, ``gzip``, or another name, of which nothing is known.
    :param sharded: whether each piece is a shard with one piece in it, and an index behind.
    :param optional: whether a piece that is not there stands for a value.
    """

    name: str
    shape: Shape
    piece: Shape
    dtype: str
    kind: str
    width: int
    packing: str
    sharded: bool
    optional: bool
    between: str
    before: str

    @property
    def grid(self) -> Shape:
        """Number of pieces along each dimension."""
        pairs = zip(self.shape, self.piece, strict=True)
        return tuple(ceil(size / step) if step else 0 for size, step in pairs)

    @property
    def size(self) -> int:
        """Size of one unpacked piece in bytes."""
        return prod(self.piece) * self.width

    @property
    def whole(self) -> bool:
        """Whether no piece is padded."""
        pairs = zip(self.shape, self.piece, strict=True)
        return all(size % step == 0 for size, step in pairs if step)

    def piece_keys(self) -> list[str]:
        """
        Return the key of every piece, relative to the array.

        :raises FormatError: ``too-large`` beyond a million.
        """
        count = prod(self.grid)
        if count > _PIECE_LIMIT:
            text = f"array {shown(self.name)} has {count} pieces; at most {_PIECE_LIMIT} are read"
            raise FormatError("too-large", text)
        # Of an empty array any other size may be huge, and product would hold all its numbers.
        places = product(*map(range, self.grid)) if count else ()
        return [self._key(place) for place in places]

    def _key(self, place: Shape) -> str:
        if self.before:
            return self.between.join([self.before, *map(str, place)])
        return self.between.join(map(str, place)) or "0"


def sharded_piece(index: bytes, size: int) -> tuple[int, int]:
    """
    Return offset and length of the one piece in a shard; (0, 0) if it stands for a value.

    :param index: the last 20 bytes of the shard: offset, length and CRC32C.
    :param size: of the shard, in bytes.
    """
    if len(index) != _INDEX_SIZE or not ends_with_crc32c(index):
        raise FormatError(_CODE, "the index of a shard is damaged: its CRC32C does not match")
    offset, length = struct.unpack_from("<QQ", index)
    if offset == length == _NO_PIECE:
        return 0, 0
    if offset + length + len(index) > size:
        text = "the index of a shard reaches beyond it; it was cut or overwritten"
        raise FormatError(_CODE, text)
    return offset, length
