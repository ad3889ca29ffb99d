"""
Join two CRC32 values without the bytes: the sum of a whole file from the sums of its parts, each byte summed once.

The standard library has ``zlib.crc32`` but not zlib's ``crc32_combine``; this is that function (zlib 1.2.12 and
later, ``multmodp`` and ``x2nmodp`` in crc32.c), polynomials over GF(2) in reflected bit order.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["combine"]

_POLYNOMIAL = 0xEDB88320
_ONE = 0x80000000


def combine(first: int, second: int, second_size: int) -> int:
    """
    CRC32 of two runs of bytes, one after the other.

    :param first: CRC32 of the first run.
    :param second: CRC32 of the second run.
    :param second_size: length of the second run in bytes.
    """
    return _multiply(_shift(second_size), first) ^ second


@lru_cache(maxsize=1024)
def _shift(size: int) -> int:
    """Return x to the power of 8 * ``size``, modulo the CRC polynomial."""
    result, square, power = _ONE, _ONE >> 1, 8 * size
    while power:
        if power & 1:
            result = _multiply(square, result)
        square = _multiply(square, square)
        power >>= 1
    return result


def _multiply(a: int, b: int) -> int:
    product, mask = 0, _ONE
    while True:
        if a & mask:
            product ^= b
            if not a & (mask - 1):
                return product
        if mask == 0:
            return product
        mask >>= 1
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
