"""
Finds NaN, infinity and all-zero content in bytes; exact, for every common float.

Two SIMD reductions of NumPy over a chunk answer both; only a chunk with a non-finite value is
examined further. NumPy is imported with the first chunk, because Airflow imports this package
whenever it parses a DAG. Floats are never converted: only their bit patterns are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np

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


FLOAT_LAYOUTS: dict[str, FloatLayout] = {
    "f64": FloatLayout(8, 0x7FF0 << 48),
    "f32": FloatLayout(4, 0x7F800000),
    "bf16": FloatLayout(2, 0x7F80),
    "f16": FloatLayout(2, 0x7C00),
    "e5m2": FloatLayout(1, 0x7C),
    "e4m3fn": FloatLayout(1, 0x7F, has_infinity=False),
}


class ContentFlags(NamedTuple):
    """What two reductions tell of a chunk: ``non_finite`` without saying where."""

    non_finite: bool
    all_zero: bool


class NonFinite(NamedTuple):
    """Indices of the numbers in a chunk that are not finite; count of zeros and of all."""

    nan: np.ndarray[Any, Any]
    plus: np.ndarray[Any, Any]
    minus: np.ndarray[Any, Any]
    zeros: int
    size: int


class ContentTest:
    """
    Tests the content of one tensor, chunk by chunk.

    After the last chunk ``nan``, ``plus``, ``minus`` and ``all_zero`` hold; ``mask_like`` says that
    the tensor holds nothing but zeros and -inf, which is what attention masks look like and weights
    never do.

    :param kind: a key of :data:`FLOAT_LAYOUTS`; any other type is only tested for zeros.
    """

    def __init__(self, kind: str, byteorder: ByteOrder = "little") -> None:
        self.layout = FLOAT_LAYOUTS.get(kind)
        self.byteorder: ByteOrder = byteorder
        self.nan = self.plus = self.minus = False
        self.all_zero = True
        self.mask_like = True

    @property
    def non_finite(self) -> bool:
        """Whether there is a NaN or an infinity."""
        return self.nan or self.plus or self.minus

    def feed(self, chunk: memoryview) -> None:
        """Test the next chunk; a number that is cut off at its end is left out."""
        layout = self.layout
        if layout is None:
            self.all_zero = self.all_zero and not any_set(chunk)
            return
        rest = len(chunk) % layout.width
        if rest:
            chunk = chunk[:-rest]
        flags = flags_of(chunk, layout, self.byteorder)
        self.all_zero = self.all_zero and flags.all_zero
        if flags.non_finite:
            self.take(locate_non_finite(chunk, layout, self.byteorder))
        elif not flags.all_zero:
            self.mask_like = False

    def take(self, found: NonFinite) -> None:
        """Record which values are not finite."""
        self.nan = self.nan or len(found.nan) > 0
        self.plus = self.plus or len(found.plus) > 0
        self.minus = self.minus or len(found.minus) > 0
        self.mask_like = self.mask_like and len(found.minus) + found.zeros == found.size


def any_set(chunk: bytes | memoryview) -> bool:
    """Return whether any bit is set."""
    import numpy as np

    return bool(np.frombuffer(chunk, np.uint8).any()) if len(chunk) else False


def flags_of(chunk: memoryview, layout: FloatLayout, byteorder: ByteOrder) -> ContentFlags:
    """Test a chunk by two maxima, without a mask and without a temporary array."""
    import numpy as np

    unsigned, signed = _integers(layout.width, byteorder)
    numbers = np.frombuffer(chunk, unsigned)
    # A maximum is one pass of SIMD instructions; a comparison would write a mask first.
    highest = int(np.maximum.reduce(numbers, initial=0))
    if highest == 0:
        return ContentFlags(non_finite=False, all_zero=True)
    # Read as unsigned, the highest number shows a non-finite one with a sign; as signed, without.
    negative = highest >= layout.minus_infinity
    positive = int(np.maximum.reduce(numbers.view(signed))) >= layout.exponent
    return ContentFlags(non_finite=negative or positive, all_zero=False)


def locate_non_finite(chunk: memoryview, layout: FloatLayout, byteorder: ByteOrder) -> NonFinite:
    """Find every value that is not finite."""
    import numpy as np

    unsigned, _ = _integers(layout.width, byteorder)
    numbers = np.frombuffer(chunk, unsigned)
    # Without the sign, all that is not finite is at least the exponent.
    magnitude = numbers & ~unsigned.type(layout.sign)
    if layout.has_infinity:
        infinite = magnitude == layout.exponent
    else:
        infinite = np.zeros(len(magnitude), bool)
    nan = (magnitude >= layout.exponent) & ~infinite
    negative = (numbers & unsigned.type(layout.sign)) != 0
    return NonFinite(
        np.flatnonzero(nan),
        np.flatnonzero(infinite & ~negative),
        np.flatnonzero(infinite & negative),
        int(np.count_nonzero(numbers == 0)),
        len(numbers),
    )


@lru_cache(maxsize=8)
def _integers(width: int, byteorder: ByteOrder) -> tuple[Any, Any]:
    import numpy as np

    # Cached, because parsing these names for every chunk costs more than a sum.
    order = "<" if byteorder == "little" else ">"
    return np.dtype(f"{order}u{width}"), np.dtype(f"{order}i{width}")
