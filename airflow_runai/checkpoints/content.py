"""
What the numbers of one tensor say about a checkpoint: poisoned, suspicious, or as it should be.

The rules avoid false alarms that real checkpoints cause: attention masks full of -inf, best scores that begin as
infinity, biases that start at zero, the second LoRA matrix. A non-finite weight or optimizer moment is never
forgiven.
"""

from __future__ import annotations

from airflow_runai.checkpoints.examination import Examination, shown
from airflow_runai.checkpoints.lanes import KINDS, ByteOrder, ContentTest

__all__ = ["TensorContent"]

_MOMENTS = ("exp_avg", "momentum_buffer", "square_avg", "max_exp_avg_sq")
_SCORES = ("best", "score", "loss", "metric", "kth_value", "grad_norm", "perplexity")
# Of observers (quantization) and torchmetrics, which begin as infinity.
_EXTREMES = ("min_val", "max_val", "min_value", "max_value")
_MAY_BE_ZERO = ("bias", "running_mean", "lora_B", "lora_b", "mask", *_MOMENTS)


class TensorContent:
    """
    Looks at one run of bytes that holds one tensor (or several that share it).

    :param name: for the findings.
    :param kind: float layout, a key of ``lanes.KINDS``, or another name for whole numbers and bytes.
    :param begin: first byte inside the run that belongs to the tensor; what lies before and after is left alone,
        because uninitialised memory is allowed there.
    :param end: one after its last byte.

    ``crc`` is the CRC32 of the run once a format has set it after the pass; ``all_zero`` and ``non_finite`` hold once
    all of the run was fed.
    """

    def __init__(self, name: str, kind: str, begin: int, end: int, byteorder: ByteOrder = "little") -> None:
        self.name = name
        self.kind = kind
        self.begin = begin
        self.end = end
        self.is_state = True
        self.crc: int | None = None
        self._at = 0
        self._test = ContentTest(kind, byteorder)

    def feed(self, chunk: memoryview) -> None:
        """Take the next chunk of the run."""
        first, last = max(self.begin - self._at, 0), min(self.end - self._at, len(chunk))
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

    def note(self, seen: Examination, path: str) -> None:
        """Record what was found, once the run is over."""
        last_part = next((part for part in reversed(self.name.split(".")) if not part.isdigit()), "")
        is_moment = any(moment in last_part for moment in _MOMENTS)
        if self._test.non_finite and (not self.is_state or any(part in last_part for part in (*_SCORES, *_EXTREMES))):
            seen.note("score-non-finite", path, f"{shown(self.name)} is NaN or infinite; it is not a weight")
        elif self._test.non_finite:
            code, text = self._non_finite_as(is_moment, last_part, seen.was_non_finite(path, self.name))
            seen.note(code, path, f"tensor {shown(self.name)} holds {text}")
        elif self.kind in KINDS and self.end - self.begin > KINDS[self.kind].width and self._test.all_zero:
            if any(part in last_part for part in _MAY_BE_ZERO):
                return
            seen.note("all-zero", path, f"every value of tensor {shown(self.name)} is zero")

    def _non_finite_as(self, is_moment: bool, last_part: str, before: bool) -> tuple[str, str]:
        if not is_moment and (self._test.mask_like or "mask" in last_part):
            return "mask-infinite", "only zeros and -inf, like an attention mask"
        if before and not is_moment:
            return "non-finite-before", "values that are NaN or infinite, as in the last accepted checkpoint"
        return "non-finite", "values that are NaN or infinite"
