"""
A LevelDB table, such as the index of a TensorFlow checkpoint: keys and values in blocks.

Every byte is accounted for: the blocks follow each other from the first byte to the footer, each
has its CRC32C. Only uncompressed blocks are read, because TensorFlow writes no others
(tensor_bundle.cc, 2.21, ``TableBuilderOptions``). The layout is LevelDB's table_format.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_runai.checkpoints.containers.bounded_reader import BoundedReader, Cursor
from airflow_runai.checkpoints.storage.crc32c import crc32c, unmasked

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
FOOTER_SIZE = 48
# Behind each block: one byte that names its compression, and the CRC32C of both.
_TRAILER_SIZE = 5
# The keys are names of variables. Each may repeat the one before, so a small file can hold many.
_KEY_LIMIT = 16 * 1024
_KEYS_LIMIT = 32 * 1024 * 1024


def read_table(data: bytes, code: str) -> Iterator[tuple[bytes, bytes]]:
    """
    Yield keys and values, in the order of the keys.

    :param data: the whole table.
    :param code: code of the :class:`FormatError` to raise.
    """
    table = BoundedReader.over(data, code)
    if len(data) < FOOTER_SIZE or not data.endswith(MAGIC):
        raise table.damage("does not end as a LevelDB table does; it was cut or overwritten")
    meta_begin, index = _index(table, data)
    expected = 0
    for _, handle in _entries(index):
        place = Cursor(BoundedReader.over(handle, code))
        begin, size = place.numbers(2)
        if begin != expected or place.at != len(handle):
            text = f"block at {begin} does not follow the one before"
            raise table.damage(f"{text}, which ends at {expected}")
        yield from _entries(_block(table, begin, size))
        expected = begin + size + _TRAILER_SIZE
    if expected != meta_begin:
        raise table.damage(f"{meta_begin - expected} bytes belong to no block")


def _index(table: BoundedReader, data: bytes) -> tuple[int, BoundedReader]:
    """Return where the data blocks end, and the block that lists them."""
    footer = len(data) - FOOTER_SIZE
    place = Cursor(table, footer)
    meta_begin, meta_size, begin, size = place.numbers(4)
    meta_end = meta_begin + meta_size + _TRAILER_SIZE
    end = begin + size + _TRAILER_SIZE
    padding = data[place.at : -len(MAGIC)]
    if any(padding) or begin != meta_end or end != footer:
        raise table.damage("its footer does not point at the blocks before it; it was overwritten")
    for _ in _entries(_block(table, meta_begin, meta_size)):
        raise table.damage("its meta block is not empty")
    return meta_begin, _block(table, begin, size)


def _block(table: BoundedReader, begin: int, size: int) -> BoundedReader:
    """Return the content of one block, after comparing its checksum."""
    data = table.bytes(begin, size + _TRAILER_SIZE)
    if crc32c(data[:-4]) != unmasked(int.from_bytes(data[-4:], "little")):
        raise table.damage(f"block at {begin} is damaged: its CRC32C does not match")
    if data[size]:
        raise table.damage(f"block at {begin} is compressed; only plain ones are read")
    # A block ends with the places of the keys that stand in full, and their number.
    restarts = int.from_bytes(data[size - 4 : size], "little") if size >= 4 else size
    end = size - 4 - 4 * restarts
    if end < 0:
        raise table.damage(f"block at {begin} is too short for its {restarts} restarts")
    return BoundedReader(lambda at, count: data[at : at + count], end, table.code)


def _entries(block: BoundedReader) -> Iterator[tuple[bytes, bytes]]:
    place, key, total = Cursor(block), b"", 0
    while place.at < block.size:
        shared, fresh, size = place.numbers(3)
        length = shared + fresh
        total += length
        if shared > len(key) or length > _KEY_LIMIT or total > _KEYS_LIMIT:
            text = f"a key of {shared} + {fresh} bytes at {place.at}; it was overwritten"
            raise block.damage(text)
        key = key[:shared] + place.take(fresh)
        yield key, place.take(size)
