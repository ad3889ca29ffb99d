"""
A LevelDB table, such as the index of a TensorFlow checkpoint: keys and values in blocks.

Every byte is accounted for: the blocks follow each other from the first byte to the footer, each
has its CRC32C. Only uncompressed blocks are read, because TensorFlow writes no others
(tensor_bundle.cc, 2.21, ``TableBuilderOptions``). The layout is LevelDB's table_format.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_runai.checkpoints.containers.bounded_reader import BoundedReader
from airflow_runai.checkpoints.storage.crc32c import crc32c, unmasked

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
FOOTER_SIZE = 48
_TRAILER_SIZE = 5
_KEY_LIMIT = 16 * 1024
_KEYS_LIMIT = 32 * 1024 * 1024


def read_table(data: bytes, code: str) -> Iterator[tuple[bytes, bytes]]:
    """
    Yield keys and values, in the order of the keys.

    :param data: the whole table.
    :param code: code of the :class:`FormatError` to raise.
    """
    table = BoundedReader.over(data, code)
    if len(data) < FOOTER_SIZE or data[-8:] != MAGIC:
        raise table.damage("does not end as a LevelDB table does; it was cut or overwritten")
    footer = len(data) - FOOTER_SIZE
    meta_begin, at = table.varint(footer)
    meta_size, at = table.varint(at)
    begin, at = table.varint(at)
    size, at = table.varint(at)
    meta_end, index_end = meta_begin + meta_size + _TRAILER_SIZE, begin + size + _TRAILER_SIZE
    if any(data[at:-8]) or begin != meta_end or index_end != footer:
        raise table.damage("its footer does not point at the blocks before it; it was overwritten")
    for _ in _entries(_block(table, meta_begin, meta_size)):
        raise table.damage("its meta block is not empty")
    expected = 0
    for _, handle in _entries(_block(table, begin, size)):
        part = BoundedReader.over(handle, code)
        block_begin, after = part.varint(0)
        block_size, after = part.varint(after)
        if block_begin != expected or after != len(handle):
            text = f"block at {block_begin} does not follow the one before"
            raise table.damage(f"{text}, which ends at {expected}")
        expected = block_begin + block_size + _TRAILER_SIZE
        yield from _entries(_block(table, block_begin, block_size))
    if expected != meta_begin:
        raise table.damage(f"{meta_begin - expected} bytes belong to no block")


def _block(table: BoundedReader, begin: int, size: int) -> BoundedReader:
    """Return the content of one block, after comparing its checksum."""
    data = table.bytes(begin, size + _TRAILER_SIZE)
    if crc32c(data[:-4]) != unmasked(int.from_bytes(data[-4:], "little")):
        raise table.damage(f"block at {begin} is damaged: its CRC32C does not match")
    if data[size]:
        raise table.damage(f"block at {begin} is compressed; only plain ones are read")
    restarts = int.from_bytes(data[size - 4 : size], "little") if size >= 4 else size
    end = size - 4 - 4 * restarts
    if end < 0:
        raise table.damage(f"block at {begin} is too short for its {restarts} restarts")
    return BoundedReader(lambda at, count: data[at : at + count], end, table.code)


def _entries(block: BoundedReader) -> Iterator[tuple[bytes, bytes]]:
    at, key, total = 0, b"", 0
    while at < block.size:
        shared, at = block.varint(at)
        fresh, at = block.varint(at)
        size, at = block.varint(at)
        total += shared + fresh
        if shared > len(key) or shared + fresh > _KEY_LIMIT or total > _KEYS_LIMIT:
            raise block.damage(f"a key of {shared} + {fresh} bytes at {at}; it was overwritten")
        key = key[:shared] + block.bytes(at, fresh)
        at += fresh
        yield key, block.bytes(at, size)
        at += size
