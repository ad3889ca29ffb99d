"""Tensors that lie in a file as plain runs of bytes, and the one pass that reads them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TypeGuard

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.float_layouts import ByteOrder
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.ledger import TensorEntry
from airflow_runai.checkpoints.checking.reader import Source, Span
from airflow_runai.checkpoints.checking.tensor_content import TensorContent

#: NumPy's types without their byte order, to float layouts.
NUMPY_KINDS = {
    "f2": "f16",
    "f4": "f32",
    "f8": "f64",
    # A complex number is two floats.
    "c8": "f32",
    "c16": "f64",
}

#: Receives the bytes of a run, chunk by chunk.
Feed = Callable[[memoryview], None]

#: Sorts what has a first byte and an end.
by_place = attrgetter("begin", "end")


@dataclass(frozen=True)
class Run:
    """
    Where one tensor lies.

    :param dtype: as the format calls it.
    :param kind: its float layout, a key of ``FLOAT_LAYOUTS``, or another name for everything else.
    :param begin: first byte in the file.
    :param end: one after the last byte.
    :param is_state: whether a NaN in it poisons the checkpoint; not so for constants.
    :param sum: called with every chunk, to compute the format's own checksum.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    kind: str
    begin: int
    end: int
    byteorder: ByteOrder = "little"
    is_state: bool = True
    sum: Feed | None = None

    @property
    def ledger_dtype(self) -> str:
        """Its type in the ledger, with a mark where the bytes are in the less usual order."""
        return f"{self.dtype}>" if self.byteorder == "big" else self.dtype

    def moved(self, distance: int) -> Run:
        """Return the same run so many bytes further on."""
        return replace(self, begin=self.begin + distance, end=self.end + distance)


class RunReading:
    """
    One run while its file is read once, at levels 2 and 3.

    ``span`` goes into the pass; ``close`` follows it, and then, at level 3, ``content.note``.
    """

    def __init__(self, run: Run, level: int) -> None:
        self.run = run
        self.content = TensorContent(run.name, run.kind, 0, run.end - run.begin, run.byteorder)
        if not run.is_state:
            self.content.place = "other"
        feed = run.sum if level < 3 else self._feed
        self.span = Span(run.begin, run.end, feed, summed=True)

    def _feed(self, chunk: memoryview) -> None:
        if self.run.sum is not None:
            self.run.sum(chunk)
        self.content.feed(chunk)

    def close(self, context: CheckContext, label: str) -> None:
        """Enter the tensor with its CRC32 into the ledger."""
        self.content.crc = self.span.crc
        self.content.enter(context, label, self.run.ledger_dtype, self.run.shape)


def is_size(value: object) -> TypeGuard[int]:
    """Whether a value may be a size or offset; libraries keep them as signed 64-bit numbers."""
    return type(value) is int and 0 <= value < 1 << 63


def in_order(runs: Sequence[Run], size: int, code: str) -> list[Run]:
    """
    Sort by place.

    :param size: of the file, in bytes.
    :raises FormatError: when two overlap, or one reaches beyond the end.
    """
    ordered = sorted(runs, key=by_place)
    at = 0
    for run in ordered:
        name = shown(run.name)
        if run.begin < at:
            raise FormatError(
                code, f"tensor {name} begins at byte {run.begin}, inside the one before"
            )
        at = run.end
        if at > size:
            raise FormatError(code, f"tensor {name} ends at byte {at} of {size}; the file was cut")
    return ordered


def count_tensors(context: CheckContext, label: str, names: Collection[str]) -> None:
    """Record which tensors a file holds."""
    context.account.tensors += len(names)
    context.account.tensor_names[label] = frozenset(names)


def enter_runs(runs: Sequence[Run], context: CheckContext, label: str) -> None:
    """Count the tensors and put them into the ledger, before a byte of them is read."""
    count_tensors(context, label, [run.name for run in runs])
    for run in runs:
        entry = TensorEntry(run.ledger_dtype, run.shape)
        context.account.enter(label, run.name, entry)


def read_runs(source: Source, runs: Sequence[Run], context: CheckContext) -> list[TensorContent]:
    """
    Read the file once, at levels 2 and 3.

    :param runs: sorted, not overlapping.
    :return: the content of each; at level 3 the format calls its ``note``.
    """
    if context.level < 2:
        return []
    readings = [RunReading(run, context.level) for run in runs]
    source.scan([reading.span for reading in readings])
    for reading in readings:
        reading.close(context, source.name)
    return [reading.content for reading in readings]
