"""
The CRC32 of bytes, and of two runs of bytes from the CRC32s of both.

``isal`` computes both, some 10 times as fast as zlib. It is imported when the first byte is summed,
because Airflow imports this package whenever it parses a DAG.
"""

from __future__ import annotations


def crc32(data: bytes | bytearray | memoryview, value: int = 0) -> int:
    """
    Return the CRC32 of a run of bytes.

    :param value: CRC32 of what came before it.
    """
    from isal import isal_zlib

    return int(isal_zlib.crc32(data, value))


def combine(first: int, second: int, second_size: int) -> int:
    """
    Return the CRC32 of two runs of bytes, one after the other.

    :param first: CRC32 of the first run.
    :param second: CRC32 of the second run.
    :param second_size: length of the second run in bytes.
    """
    from isal import isal_zlib

    return int(isal_zlib.crc32_combine(first, second, second_size))
