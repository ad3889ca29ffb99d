"""
CRC32C (Castagnoli), the checksum of TensorFlow and of Orbax's OCDBT.

The package ``crc32c`` computes it. It is imported when the first byte is summed, because Airflow
imports this package whenever it parses a DAG.
"""

from __future__ import annotations

_FULL = 0xFFFFFFFF


def crc32c(data: bytes | bytearray | memoryview, value: int = 0) -> int:
    """
    Return the CRC32C of a run of bytes.

    :param value: CRC32C of what came before it.
    """
    from crc32c import crc32c as computed

    return int(computed(data, value))


def ends_with_crc32c(data: bytes) -> bool:
    """Whether the last four bytes are the CRC32C of those before."""
    return crc32c(data[:-4]) == int.from_bytes(data[-4:], "little")


def unmasked(stored: int) -> int:
    """Undo the masking of LevelDB and TensorFlow, which rotate and shift a CRC32C."""
    # LevelDB's util/crc32c.h: a CRC of bytes that contain plain CRCs is problematic.
    rotated = (stored - 0xA282EAD8) & _FULL
    return (rotated >> 17 | rotated << 15) & _FULL
