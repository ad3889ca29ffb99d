"""
The other serialization of distributed checkpoints: the tensors of a file as one safetensors run.

``.metadata`` gives every tensor the same place, where the run begins (torch 2.13, ``_write_item``),
so each must be found by its name. The run has no checksum.
"""

from __future__ import annotations

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source, Span
from airflow_runai.checkpoints.checking.tensor_content import TensorContent
from airflow_runai.checkpoints.formats.dcp_items import DcpPiece
from airflow_runai.checkpoints.formats.dcp_metadata import Index, Item
from airflow_runai.checkpoints.formats.safetensors import tensors_of


def find_blob(source: Source, context: CheckContext, label: str, items: list[Item]) -> Blob | None:
    """Return the run of safetensors, if the tensors of this file were written as one."""
    begins = {item.begin for item in items if item.offsets is not None}
    if len(begins) != 1 or (begin := begins.pop()) + 9 > source.size:
        return None
    head = source.at(begin, 9)
    if head[8:] != b"{" or head.startswith(b"PK"):
        return None
    return Blob(source, context, label, begin)


class Blob:
    """
    One run of safetensors, from ``begin`` to the end of the file.

    :raises FormatError: ``safetensors-header``.
    """

    def __init__(self, source: Source, context: CheckContext, label: str, begin: int) -> None:
        self.begin = begin
        self._context = context
        self._label = label
        start, self._tensors = tensors_of(DcpPiece(source, begin, source.size))
        self._contents = [
            TensorContent(tensor.name, tensor.kind, 0, tensor.end - tensor.begin)
            for tensor in self._tensors
        ]
        self._spans = [
            Span(begin + start + tensor.begin, begin + start + tensor.end, summed=True)
            for tensor in self._tensors
        ]
        text = "tensors as safetensors, which hold no checksum"
        context.note_unproven("safetensors-no-checksum", label, text)

    def compare(self, index: Index) -> None:
        """
        Compare names and shapes with ``.metadata``.

        :raises FormatError: ``dcp-item``.
        """
        for tensor in self._tensors:
            stored = index.tensors.get(tensor.name)
            if stored is None or tensor.shape not in stored.chunks.values():
                text = f"tensor {shown(tensor.name)} of shape {list(tensor.shape)}"
                problem = "is not the one in .metadata; they belong to different saves"
                raise FormatError("dcp-item", f"{text} {problem}")

    def spans(self) -> list[Span]:
        """Return what the pass over the file sums, and at level 3 tests."""
        if self._context.level >= 3:
            for span, content in zip(self._spans, self._contents, strict=True):
                span.feed = content.feed
        return self._spans

    def close(self) -> None:
        """Record what was read."""
        for tensor, span, content in zip(self._tensors, self._spans, self._contents, strict=True):
            content.crc = span.crc
            content.enter(self._context, self._label, tensor.dtype, tensor.shape)
            if self._context.level >= 3:
                content.note(self._context, self._label)
