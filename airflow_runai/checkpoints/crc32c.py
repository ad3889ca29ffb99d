"""
CRC32C (Castagnoli), the checksum of TensorFlow and of Orbax's OCDBT, by whatever is installed.

That is the package ``crc32c`` (extra ``fast``), else ``google-crc32c``, else the standard library alone. It has no
CRC32C, and a loop over bytes manages some 10 MB/s. So the fallback folds: a CRC is linear, so the first half of a run,
advanced by the length of the second, can be laid over it, until four bytes are left. One half is advanced at once by
``bytes.translate`` and exclusive-or of big integers: 100 MB/s, where the packages do 10 GB/s.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module

__all__ = ["crc32c", "crc32c_slowly", "unmasked"]

_POLYNOMIAL = 0x82F63B78
_FULL = 0xFFFFFFFF
_PIECE = 64 * 1024
_Bytes = bytes | bytearray | memoryview


def crc32c(data: _Bytes, value: int = 0) -> int:
    """
    CRC32C of a run of bytes.

    :param value: CRC32C of what came before it.
    """
    return _native()(data, value)


def unmasked(stored: int) -> int:
    """Return the CRC32C that LevelDB and TensorFlow store rotated and shifted, so that a CRC of CRCs is harmless."""
    rotated = (stored - 0xA282EAD8) & _FULL
    return (rotated >> 17 | rotated << 15) & _FULL


def crc32c_slowly(data: _Bytes, value: int = 0) -> int:
    """Do as :func:`crc32c` with the standard library alone."""
    state = value ^ _FULL
    for at in range(0, len(data), _PIECE):
        state = _piece(bytes(data[at : at + _PIECE]), state)
    return state ^ _FULL


@lru_cache(maxsize=1)
def _native() -> Callable[[_Bytes, int], int]:
    try:
        found: Callable[[_Bytes, int], int] = import_module("crc32c").crc32c
        return found
    except ImportError:
        pass
    try:
        extend = import_module("google_crc32c").extend
    except ImportError:
        return crc32c_slowly
    return lambda data, value: int(extend(value, bytes(data)))


def _piece(data: bytes, state: int) -> int:
    if len(data) < 4:
        for byte in data:
            state = _advanced(state ^ byte, 1)
        return state
    first = int.from_bytes(data[:4], "little") ^ state
    words = 1 << (-(-len(data) // 4) - 1).bit_length()
    # Zeros in front change nothing, because the state lies in the first word already.
    padded = bytes(4 * words - len(data)) + first.to_bytes(4, "little") + data[4:]
    lanes = [padded[lane::4] for lane in range(4)]
    while words > 1:
        words //= 2
        lanes = _folded(lanes, words)
    return _advanced(int.from_bytes(b"".join(lanes), "little"), 4)


def _folded(lanes: list[bytes], words: int) -> list[bytes]:
    """Advance the first half of the words by the length of the second and lay it over that."""
    folded = []
    for out in range(4):
        total = int.from_bytes(lanes[out][words:], "little")
        for lane in range(4):
            total ^= int.from_bytes(lanes[lane][:words].translate(_tables(4 * words)[lane][out]), "little")
        folded.append(total.to_bytes(words, "little"))
    return folded


@lru_cache(maxsize=32)
def _tables(size: int) -> tuple[tuple[bytes, ...], ...]:
    """For each byte of a state and each byte of the state ``size`` zero bytes later: what becomes of every value."""
    tables = []
    for lane in range(4):
        bits = [_advanced(1 << (8 * lane + bit), size) for bit in range(8)]
        values = [0]
        for image in bits:
            values += [value ^ image for value in values]
        tables.append(tuple(bytes(value >> 8 * out & 0xFF for value in values) for out in range(4)))
    return tuple(tables)


@lru_cache(maxsize=2048)
def _advanced(state: int, size: int) -> int:
    """Return the state after ``size`` zero bytes (1, or a multiple of it by a power of two)."""
    if size > 1:
        return _applied(_columns(size), state)
    for _ in range(8):
        state = state >> 1 ^ (_POLYNOMIAL if state & 1 else 0)
    return state


@lru_cache(maxsize=32)
def _columns(size: int) -> tuple[int, ...]:
    """What becomes of each bit of a state; advancing by twice the size is doing it twice."""
    half = size // 2
    return tuple(_advanced(_advanced(1 << bit, half), half) for bit in range(32))


def _applied(columns: tuple[int, ...], state: int) -> int:
    result = 0
    for column in columns:
        if state & 1:
            result ^= column
        state >>= 1
    return result
