"""
Judges the numbers of one tensor: poisoned, suspicious, or as they should be.

The rules avoid the false alarms that real checkpoints cause: attention masks full of -inf, best
scores that begin as infinity, biases that start at zero, the second LoRA matrix. A NaN in a weight
or optimizer moment is never excused; :mod:`~airflow_runai.checkpoints.checking.tensor_places` has
the rules.
"""

from __future__ import annotations

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.float_layouts import ByteOrder, ContentTest
from airflow_runai.checkpoints.checking.format_error import shown
from airflow_runai.checkpoints.checking.ledger import TensorEntry
from airflow_runai.checkpoints.checking.tensor_places import MOMENTS, excuse, place_of

# A bias and the second LoRA matrix begin at zero, a running mean and a moment may stay there.
_MAY_BE_ZERO = ("bias", "running_mean", "lora_B", "lora_b", "mask", *MOMENTS)
_EXCUSES = {
    "score-non-finite": "is NaN or infinite; it is not trained",
    "mask-infinite": "holds -inf, as an attention mask does",
    "moment-infinite": "has overflowed to infinity, which stops its weight and nothing else",
}


class TensorContent:
    """
    Tests one run of bytes that holds one tensor.

    :param name: for the findings.
    :param kind: float layout, a key of ``FLOAT_LAYOUTS``, or another name for whole numbers and
        bytes.
    :param begin: first byte inside the run that belongs to the tensor; bytes before and after are
        ignored, because uninitialised memory is allowed there.
    :param end: one after its last byte.

    ``crc`` is the CRC32 of the run once a format has set it after the pass; ``all_zero`` and
    ``non_finite`` hold once all of the run was fed.
    """

    def __init__(
        self, name: str, kind: str, begin: int, end: int, byteorder: ByteOrder = "little"
    ) -> None:
        self.name = name
        self.kind = kind
        self.begin = begin
        self.end = end
        self.place = place_of(name)
        self.crc: int | None = None
        self._at = 0
        self._test = ContentTest(kind, byteorder)

    def feed(self, chunk: memoryview) -> None:
        """Take the next chunk of the run."""
        first, last = overlap(self.begin, self.end, self._at, chunk)
        if first < last:
            self._test.feed(chunk[first:last])
        self._at += len(chunk)

    @property
    def all_zero(self) -> bool:
        """Whether there is not one bit set in it; so also for an empty one."""
        return self._test.all_zero

    @property
    def non_finite(self) -> bool:
        """Whether a float in it is NaN or infinite."""
        return self._test.non_finite

    def enter(self, context: CheckContext, path: str, dtype: str, shape: tuple[int, ...]) -> None:
        """Record the tensor in the ledger; its content only if it was tested."""
        zero, non_finite = None, None
        if context.level >= 3:
            zero, non_finite = self.all_zero, self.non_finite
        entry = TensorEntry(dtype, shape, self.crc, zero, non_finite)
        context.account.enter(path, self.name, entry)

    def note(self, context: CheckContext, path: str) -> None:
        """Record what was found, once the run is over."""
        note_content(self, self._test, context, path)


def overlap(begin: int, end: int, at: int, chunk: memoryview) -> tuple[int, int]:
    """Return where a run of bytes begins and ends in a chunk, which begins itself at ``at``."""
    return max(begin - at, 0), min(end - at, len(chunk))


def note_content(of: TensorContent, test: ContentTest, context: CheckContext, path: str) -> None:
    """
    Record what was found in a tensor.

    :param of: says which one it is, and where it stands.
    :param test: what its bytes are.
    """
    if test.non_finite:
        _note_non_finite(of, test, context, path)
        return
    if test.layout is None or not test.all_zero or may_be_zero(of.name):
        return
    # One number alone may well be zero.
    if of.end - of.begin > test.layout.width:
        context.note("all-zero", path, f"every value of tensor {shown(of.name)} is zero")


def may_be_zero(name: str) -> bool:
    """Whether good checkpoints may hold zeros under that name, such as a bias at first."""
    keys = [key for key in name.split(".") if not key.isdigit()]
    last = keys[-1] if keys else ""
    return any(part in last for part in _MAY_BE_ZERO)


def _note_non_finite(
    of: TensorContent, test: ContentTest, context: CheckContext, path: str
) -> None:
    code = excuse(of.name, of.place, test)
    what = "values that are NaN" if test.nan else "values that are infinite"
    if code:
        context.note(code, path, f"{shown(of.name)} {_EXCUSES[code]}")
    elif of.place == "weight" and _was_non_finite(of, context, path):
        text = f"tensor {shown(of.name)} holds {what}, as in the last accepted checkpoint"
        context.note("non-finite-before", path, text)
    else:
        context.note("non-finite", path, f"tensor {shown(of.name)} holds {what}")


def _was_non_finite(of: TensorContent, context: CheckContext, path: str) -> bool:
    ledger = context.request.ledger
    return ledger is not None and ledger.was_non_finite(path, of.name)
