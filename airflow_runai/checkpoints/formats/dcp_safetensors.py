"""
The other serialization of distributed checkpoints: the tensors of a file as one safetensors run.

``.metadata`` gives every tensor the same place, where the run begins (torch 2.13, ``_write_item``),
so each must be found by its name. The run has no checksum.
"""

from __future__ import annotations

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source, Span
from airflow_runai.checkpoints.formats.dcp_items import DcpPiece
from airflow_runai.checkpoints.formats.dcp_metadata import Index, Item
from airflow_runai.checkpoints.formats.runs import RunReading
from airflow_runai.checkpoints.formats.safetensors import runs_of


def find_blob(source: Source, context: CheckContext, items: list[Item]) -> Blob | None:
    """Return the run of safetensors, if the tensors of this file were written as one."""
    begins = {item.begin for item in items if item.offsets is not None}
    if len(begins) != 1:
        return None
    (begin,) = begins
    if begin + 9 > source.size:
        return None
    head = source.at(begin, 9)
    # A single tensor may begin there as a small zip file instead.
    if head[8:] != b"{" or head.startswith(b"PK"):
        return None
    return Blob(source, context, begin)


class Blob:
    """
    One run of safetensors, from ``begin`` to the end of the file.

    :raises FormatError: ``safetensors-header``.
    """

    def __init__(self, source: Source, context: CheckContext, begin: int) -> None:
        self.begin = begin
        self._context = context
        self._label = source.name
        runs = runs_of(DcpPiece(source, begin, source.size))
        self._readings = [RunReading(run.moved(begin), context.level) for run in runs]
        context.note_unproven(
            "safetensors-no-checksum", source.name, "tensors as safetensors, which hold no checksum"
        )

    def compare(self, index: Index) -> None:
        """
        Compare names and shapes with ``.metadata``.

        :raises FormatError: ``dcp-item``.
        """
        for reading in self._readings:
            run = reading.run
            stored = index.tensors.get(run.name)
            # The run names no offsets, so any piece of that shape may be meant.
            if stored is None or run.shape not in stored.chunks.values():
                raise FormatError(
                    "dcp-item",
                    f"tensor {shown(run.name)} of shape {list(run.shape)} is not the one in "
                    ".metadata; they belong to different saves",
                )

    def spans(self) -> list[Span]:
        """Return what the pass over the file sums, and at level 3 tests."""
        return [reading.span for reading in self._readings]

    def close(self) -> None:
        """Record what was read."""
        for reading in self._readings:
            reading.close(self._context, self._label)
            if self._context.level >= 3:
                reading.content.note(self._context, self._label)
