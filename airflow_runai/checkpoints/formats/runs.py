"""Tensors that lie in a file as plain runs of bytes, and the one pass that reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.float_layouts import ByteOrder
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.ledger import TensorEntry
from airflow_runai.checkpoints.checking.reader import Source, Span
from airflow_runai.checkpoints.checking.tensor_content import TensorContent

#: NumPy's types without their byte order, to float layouts.
NUMPY_KINDS = {"f2": "f16", "f4": "f32", "f8": "f64", "c8": "f32", "c16": "f64"}


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
    sum: Callable[[memoryview], None] | None = None


def in_order(runs: Sequence[Run], size: int, code: str) -> list[Run]:
    """
    Sort by place.

    :param size: of the file, in bytes.
    :raises FormatError: when two overlap, or one reaches beyond the end.
    """
    ordered = sorted(runs, key=lambda run: (run.begin, run.end))
    at = 0
    for run in ordered:
        if run.begin < at:
            raise FormatError(
                code, f"tensor {shown(run.name)} begins at byte {run.begin}, inside the one before"
            )
        at = run.end
        if at > size:
            raise FormatError(
                code, f"tensor {shown(run.name)} ends at byte {at} of {size}; the file was cut"
            )
    return ordered


def enter_runs(runs: Sequence[Run], context: CheckContext, label: str) -> None:
    """Count the tensors and put them into the ledger, before a byte of them is read."""
    context.account.tensors += len(runs)
    context.account.tensor_names[label] = frozenset(run.name for run in runs)
    for run in runs:
        context.account.enter(label, run.name, TensorEntry(_dtype(run), run.shape))


def read_runs(
    source: Source, runs: Sequence[Run], context: CheckContext, label: str
) -> list[TensorContent]:
    """
    Read the file once, levels 2 and 3.

    :param runs: sorted, not overlapping.
    :return: the content of each; at level 3 the format calls its ``note``.
    """
    contents, spans = [], []
    for run in runs:
        content = _content(run)
        contents.append(content)
        spans.append(Span(run.begin, run.end, _feed(run, content, context.level), summed=True))
    source.scan(spans)
    for run, content, span in zip(runs, contents, spans, strict=True):
        content.crc = span.crc
        content.enter(context, label, _dtype(run), run.shape)
    return contents


def _dtype(run: Run) -> str:
    return run.dtype + (">" if run.byteorder == "big" else "")


def _content(run: Run) -> TensorContent:
    content = TensorContent(run.name, run.kind, 0, run.end - run.begin, run.byteorder)
    content.place = content.place if run.is_state else "other"
    return content


def _feed(run: Run, content: TensorContent, level: int) -> Callable[[memoryview], None] | None:
    if level < 3:
        return run.sum
    if run.sum is None:
        return content.feed
    sum_too = run.sum

    def both(chunk: memoryview) -> None:
        sum_too(chunk)
        content.feed(chunk)

    return both
