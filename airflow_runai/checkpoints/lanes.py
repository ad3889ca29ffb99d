"""
Whether there is a NaN or an infinity in some bytes, and whether they are all zero; exact, for every common float.

With NumPy two SIMD reductions over a chunk answer both; without it a search in the high bytes does, and in doubt one
big-integer expression, with the same answer (a test compares them over every 16-bit pattern). NumPy is imported only
when a chunk is looked at, because Airflow imports this package whenever it parses a DAG. Floats are never converted:
only their bit patterns are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, Literal

__all__ = ["KINDS", "ByteOrder", "ContentTest", "Lane", "trips_integers", "trips_numpy"]

ByteOrder = Literal["little", "big"]


@dataclass(frozen=True)
class Lane:
    """
    How one float is laid out.

    :param width: size in bytes.
    :param exponent: bits that are all set in a non-finite value, sign excluded.
    :param lowest: lowest of these bits; adding it carries into the sign.
    """

    width: int
    exponent: int
    lowest: int

    @property
    def sign(self) -> int:
        """The sign bit."""
        return 1 << (8 * self.width - 1)

    @property
    def minus_infinity(self) -> int:
        """Bit pattern of -inf (in e4m3fn: of a NaN; it has no infinity)."""
        return self.sign | self.exponent


KINDS: dict[str, Lane] = {
    "f64": Lane(8, 0x7FF0 << 48, 0x0010 << 48),
    "f32": Lane(4, 0x7F800000, 0x00800000),
    "bf16": Lane(2, 0x7F80, 0x0080),
    "f16": Lane(2, 0x7C00, 0x0400),
    "e5m2": Lane(1, 0x7C, 0x04),
    "e4m3fn": Lane(1, 0x7F, 0x01),
}
_FORMATS: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}


class ContentTest:
    """
    The content of one tensor, seen chunk by chunk.

    After the last chunk ``non_finite`` and ``all_zero`` hold; ``mask_like`` says that the tensor holds nothing but
    zeros and -inf, which is what attention masks look like and weights never do.

    :param kind: a key of :data:`KINDS`; any other type is only tested for zeros.
    """

    def __init__(self, kind: str, byteorder: ByteOrder = "little") -> None:
        self.lane = KINDS.get(kind)
        self.byteorder: ByteOrder = byteorder
        self._trips = trips_integers if _numpy() is None else trips_numpy
        self.non_finite = False
        self.all_zero = True
        self.mask_like = True

    def feed(self, chunk: memoryview) -> None:
        """Look at the next chunk; of what is cut off in the middle of a number, the piece is left out."""
        if self.lane is None:
            self.all_zero = self.all_zero and not any_set(chunk)
            return
        if len(chunk) % self.lane.width:
            chunk = chunk[: len(chunk) // self.lane.width * self.lane.width]
        trips, zero = self._trips(chunk, self.lane, self.byteorder)
        self.all_zero = self.all_zero and zero
        if trips:
            self.non_finite = True
            self.mask_like = self.mask_like and _only_zero_and_minus_infinity(chunk, self.lane, self.byteorder)
        elif not zero:
            self.mask_like = False


def any_set(chunk: bytes | memoryview) -> bool:
    """Whether any bit is set."""
    return int.from_bytes(chunk[:64], "little") != 0 or int.from_bytes(chunk, "little") != 0


def trips_integers(chunk: memoryview, lane: Lane, byteorder: ByteOrder) -> tuple[bool, bool]:
    """
    Say (non-finite value present, all bytes zero) with the standard library alone.

    Hardly any weight has a high byte that a non-finite value could have, and bytes are searched fast. Where there is
    one, masking leaves each lane's exponent; adding its lowest bit carries into the (cleared) sign bit of that lane
    exactly when all exponent bits were set, and never further.
    """
    data = bytes(chunk)
    if not any_set(data):
        return False, True
    high = data[(lane.width - 1 if byteorder == "little" else 0) :: lane.width]
    if not any(suspect in high for suspect in _suspects(lane)):
        return False, False
    exponents, lowest, signs = _masks(lane, len(data))
    return ((int.from_bytes(data, byteorder) & exponents) + lowest) & signs != 0, False


@lru_cache(maxsize=8)
def _suspects(lane: Lane) -> tuple[int, ...]:
    """High bytes whose exponent bits are all set."""
    bits = lane.exponent >> 8 * (lane.width - 1)
    return tuple(byte for byte in range(256) if byte & bits == bits)


def trips_numpy(chunk: memoryview, lane: Lane, byteorder: ByteOrder) -> tuple[bool, bool]:
    """Say the same with NumPy, which must be importable: two maxima, no mask, no temporary."""
    numpy = _numpy()
    assert numpy is not None, "numpy is not importable"
    unsigned, signed = _types(lane.width, byteorder)
    numbers = numpy.frombuffer(chunk, unsigned)
    highest = int(numpy.maximum.reduce(numbers, initial=0))
    if highest == 0:
        return False, True
    trips = highest >= lane.minus_infinity or int(numpy.maximum.reduce(numbers.view(signed))) >= lane.exponent
    return trips, False


@lru_cache(maxsize=8)
def _types(width: int, byteorder: ByteOrder) -> tuple[Any, Any]:
    """Unsigned and signed integers of that layout; parsing their names for every chunk would cost more than a sum."""
    numpy = _numpy()
    assert numpy is not None, "numpy is not importable"
    order = "<" if byteorder == "little" else ">"
    return numpy.dtype(f"{order}u{width}"), numpy.dtype(f"{order}i{width}")


@lru_cache(maxsize=1)
def _numpy() -> ModuleType | None:
    try:
        import numpy
    except ImportError:
        return None
    return numpy


@lru_cache(maxsize=16)
def _masks(lane: Lane, size: int) -> tuple[int, int, int]:
    count = size // lane.width

    def repeated(pattern: int) -> int:
        return int.from_bytes(pattern.to_bytes(lane.width, "little") * count, "little")

    return repeated(lane.exponent), repeated(lane.lowest), repeated(lane.sign)


def _only_zero_and_minus_infinity(chunk: memoryview, lane: Lane, byteorder: ByteOrder) -> bool:
    pattern = lane.minus_infinity.to_bytes(lane.width, byteorder)
    allowed = {0, memoryview(pattern).cast(_FORMATS[lane.width])[0]}
    return set(chunk.cast("B").cast(_FORMATS[lane.width])) <= allowed
