"""
Tests the numbers of one PyTorch storage for each tensor that is a view of it.

Between two slices of a buffer, or beside a column of it, lies memory that belongs to no tensor and
may hold anything. A storage is tested as a whole as long as everything in it is finite; otherwise
each view is tested by its own elements. Views whose elements cannot be told apart (overlapping
strides) own all bytes between their ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.float_layouts import (
    ByteOrder,
    ContentTest,
    FloatLayout,
    flags_of,
    locate_non_finite,
)
from airflow_runai.checkpoints.checking.tensor_content import TensorContent, note_content, overlap
from airflow_runai.checkpoints.pickles.tensors import Tensor

if TYPE_CHECKING:
    import numpy as np

# More overlapping views than this are not told apart.
_VIEW_LIMIT = 256


class StorageContent:
    """
    Tests one run of bytes that several tensors are views of.

    :param tensors: the views; each begins and ends inside the run.

    ``flags`` hold once all of the run was fed.
    """

    def __init__(self, tensors: Sequence[Tensor], byteorder: ByteOrder = "little") -> None:
        # Tied weights are one view under several names.
        views: dict[tuple[object, ...], _View] = {}
        self._by_tensor: dict[int, _View] = {}
        for tensor in tensors:
            key = (tensor.begin, tensor.end, tensor.kind, tensor.shape, tensor.stride)
            view = views.setdefault(key, _View(tensor, byteorder))
            self._by_tensor[id(tensor)] = view
        self._views = list(views.values())
        self._regions = _regions(self._views)
        self._at = 0

    def feed(self, chunk: memoryview) -> None:
        """Take the next chunk of the run."""
        for region in self._regions:
            region.feed(chunk, self._at)
        self._at += len(chunk)

    def flags(self, tensor: Tensor) -> tuple[bool, bool]:
        """Whether all of a tensor is zero, and whether any of it is not finite."""
        test = self._by_tensor[id(tensor)].test
        return test.all_zero, test.non_finite

    def note(self, context: CheckContext, path: str) -> None:
        """Record the result once the run is over; once for tensors that are the same view."""
        for view in self._views:
            note_content(view, view.test, context, path)


class _View(TensorContent):
    """One tensor, and its own elements of the storage."""

    def __init__(self, tensor: Tensor, byteorder: ByteOrder) -> None:
        super().__init__(tensor.name, tensor.kind, tensor.begin, tensor.end, byteorder)
        self.place = tensor.place
        self.itemsize = tensor.itemsize
        self.test = self._test
        self.steps = _steps(tensor)
        items = prod(size for _, size in self.steps)
        is_full = items * self.itemsize >= self.end - self.begin
        self.dense = is_full or not _is_separable(self.steps)

    def own(self, first: int, count: int, width: int) -> np.ndarray[Any, Any]:
        """
        Return which of some numbers are elements of the tensor.

        :param first: byte of the storage at which the numbers begin.
        :param width: of a number; an element may be two of them.
        """
        import numpy as np

        places = first - self.begin + width * np.arange(count)
        owned: np.ndarray[Any, Any] = (places >= 0) & (places < self.end - self.begin)
        if not self.dense:
            # What the strides, the widest first, do not lead to is no element.
            rest = places // self.itemsize
            for step, size in self.steps:
                rest = rest - np.minimum(rest // step, size - 1) * step
            owned = owned & (rest == 0)
        return owned


def _steps(tensor: Tensor) -> list[tuple[int, int]]:
    """Return stride and size of each dimension in which it moves on, the widest stride first."""
    pairs = zip(tensor.stride, tensor.shape, strict=True)
    return sorted(((step, size) for step, size in pairs if size > 1 and step), reverse=True)


def _is_separable(steps: Sequence[tuple[int, int]]) -> bool:
    """Whether each stride leads beyond all that the smaller ones reach."""
    reach = 0
    for step, size in reversed(steps):
        if step <= reach:
            return False
        reach += (size - 1) * step
    return True


class _Region:
    """A stretch of bytes with views of one kind that overlap."""

    def __init__(self, view: _View) -> None:
        self.begin = view.begin
        self.end = view.end
        self.kind = view.kind
        self.views = [view]
        self._test = ContentTest(view.kind, view.test.byteorder)

    def feed(self, chunk: memoryview, at: int) -> None:
        first, last = overlap(self.begin, self.end, at, chunk)
        if first >= last:
            return
        part = chunk[first:last]
        if len(self.views) == 1 and self.views[0].dense:
            self.views[0].test.feed(part)
        elif self._test.layout is None:
            self._feed_bytes(part)
        else:
            self._feed_numbers(part, at + first, self._test.layout)

    def _feed_bytes(self, part: memoryview) -> None:
        self._test.feed(part)
        for view in self.views:
            view.test.all_zero = self._test.all_zero

    def _feed_numbers(self, part: memoryview, first: int, layout: FloatLayout) -> None:
        width = layout.width
        part = part[: len(part) // width * width]
        flags = flags_of(part, layout, self._test.byteorder)
        if flags.all_zero:
            return
        for view in self.views:
            begin, end = overlap(view.begin, view.end, first, part)
            if begin >= end:
                continue
            if flags.non_finite:
                self._feed_own(view, part[begin:end], first + begin, layout)
            else:
                # Not told apart: a view of zeros beside other numbers counts as not zero.
                view.test.all_zero = view.test.mask_like = False

    def _feed_own(self, view: _View, part: memoryview, first: int, layout: FloatLayout) -> None:
        import numpy as np

        test = view.test
        numbers = np.frombuffer(part, f"u{layout.width}")
        own = numbers[view.own(first, len(numbers), layout.width)]
        if len(own):
            test.all_zero = test.all_zero and not own.any()
            content = memoryview(own.tobytes())
            test.take(locate_non_finite(content, layout, test.byteorder))


def _regions(views: Sequence[_View]) -> list[_Region]:
    regions: list[_Region] = []
    filled = [view for view in views if view.begin < view.end]
    for view in sorted(filled, key=lambda view: (view.kind, view.begin)):
        last = regions[-1] if regions else None
        if last is None or last.kind != view.kind or view.begin >= last.end:
            regions.append(_Region(view))
        else:
            last.end = max(last.end, view.end)
            last.views.append(view)
    for region in regions:
        if len(region.views) > _VIEW_LIMIT:
            for view in region.views:
                view.dense = True
    return regions
