"""
Whether there is a NaN or an infinity in some bytes, and whether they are all zero; exact, for every common float.

Two SIMD reductions of NumPy over a chunk answer both; only a chunk that holds something is looked
at more closely. NumPy is imported when the first chunk is looked at, because Airflow imports this
package whenever it parses a DAG. Floats are never converted: only their bit patterns are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "KINDS",
    "ByteOrder",
    "ContentTest",
    "FloatLayout",
    "Special",
    "any_set",
    "special",
    "trips",
]

ByteOrder = Literal["little", "big"]


@dataclass(frozen=True)
class FloatLayout:
    """
    How one float is laid out.

    :param width: size in bytes.
    :param exponent: bits that are all set in a non-finite value, sign excluded.
    :param has_infinity: whether no other bit but the sign means infinity, and not a NaN.
    """

    width: int
    exponent: int
    has_infinity: bool = True

    @property
    def sign(self) -> int:
        """The sign bit."""
        return 1 << (8 * self.width - 1)

    @property
    def minus_infinity(self) -> int:
        """Bit pattern of -inf (in e4m3fn: of a NaN; it has no infinity)."""
        return self.sign | self.exponent


KINDS: dict[str, FloatLayout] = {
    "f64": FloatLayout(8, 0x7FF0 << 48),
    "f32": FloatLayout(4, 0x7F800000),
    "bf16": FloatLayout(2, 0x7F80),
    "f16": FloatLayout(2, 0x7C00),
    "e5m2": FloatLayout(1, 0x7C),
    "e4m3fn": FloatLayout(1, 0x7F, has_infinity=False),
}


class Special(NamedTuple):
    """Where in a chunk there is which value that is not finite, as indices of its numbers; how many zeros there are."""

    nan: np.ndarray[Any, Any]
    plus: np.ndarray[Any, Any]
    minus: np.ndarray[Any, Any]
    zeros: int
    size: int


class ContentTest:
    """
    The content of one tensor, seen chunk by chunk.

    After the last chunk ``nan``, ``plus``, ``minus`` and ``all_zero`` hold; ``mask_like`` says that
    the tensor holds nothing but zeros and -inf, which is what attention masks look like and weights
    never do.

    :param kind: a key of :data:`KINDS`; any other type is only tested for zeros.
    """

    def __init__(self, kind: str, byteorder: ByteOrder = "little") -> None:
        self.lane = KINDS.get(kind)
        self.byteorder: ByteOrder = byteorder
        self.nan = self.plus = self.minus = False
        self.all_zero = True
        self.mask_like = True

    @property
    def non_finite(self) -> bool:
        """Whether there is a NaN or an infinity."""
        return self.nan or self.plus or self.minus

    def feed(self, chunk: memoryview) -> None:
        """
        Look at the next chunk; of what is cut off in the middle of a number, the piece is left out.
        """
        if self.lane is None:
            self.all_zero = self.all_zero and not any_set(chunk)
            return
        if len(chunk) % self.lane.width:
            chunk = chunk[: len(chunk) // self.lane.width * self.lane.width]
        found, zero = trips(chunk, self.lane, self.byteorder)
        self.all_zero = self.all_zero and zero
        if found:
            self.take(special(chunk, self.lane, self.byteorder))
        elif not zero:
            self.mask_like = False

    def take(self, seen: Special) -> None:
        """Note what a closer look has found."""
        self.nan = self.nan or bool(len(seen.nan))
        self.plus = self.plus or bool(len(seen.plus))
        self.minus = self.minus or bool(len(seen.minus))
        self.mask_like = self.mask_like and len(seen.minus) + seen.zeros == seen.size


def any_set(chunk: bytes | memoryview) -> bool:
    """Whether any bit is set."""
    import numpy as np

    return bool(np.frombuffer(chunk, np.uint8).any()) if len(chunk) else False


def trips(chunk: memoryview, lane: FloatLayout, byteorder: ByteOrder) -> tuple[bool, bool]:
    """Say (non-finite value present, all bytes zero): two maxima, no mask, no temporary."""
    import numpy as np

    unsigned, signed = _types(lane.width, byteorder)
    numbers = np.frombuffer(chunk, unsigned)
    highest = int(np.maximum.reduce(numbers, initial=0))
    if highest == 0:
        return False, True
    found = (
        highest >= lane.minus_infinity
        or int(np.maximum.reduce(numbers.view(signed))) >= lane.exponent
    )
    return found, False


def special(chunk: memoryview, lane: FloatLayout, byteorder: ByteOrder) -> Special:
    """Find every value that is not finite."""
    import numpy as np

    unsigned, _ = _types(lane.width, byteorder)
    numbers = np.frombuffer(chunk, unsigned)
    # Shifting the sign out leaves what is compared, whatever the sign.
    size = numbers & ~unsigned.type(lane.sign)
    infinite = (size == lane.exponent) if lane.has_infinity else np.zeros(len(size), bool)
    nan = (size >= lane.exponent) & ~infinite
    negative = (numbers & unsigned.type(lane.sign)) != 0
    return Special(
        np.flatnonzero(nan),
        np.flatnonzero(infinite & ~negative),
        np.flatnonzero(infinite & negative),
        int(np.count_nonzero(numbers == 0)),
        len(numbers),
    )


@lru_cache(maxsize=8)
def _types(width: int, byteorder: ByteOrder) -> tuple[Any, Any]:
    """Unsigned and signed integers of that layout; parsing their names for every chunk would cost more than a sum."""
    import numpy as np

    order = "<" if byteorder == "little" else ">"
    return np.dtype(f"{order}u{width}"), np.dtype(f"{order}i{width}")
