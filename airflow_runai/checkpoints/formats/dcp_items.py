"""
The pieces inside one ``.distcp`` file: each is a complete small file of ``torch.save``.

They are opened one after the other while the file is read once, so that memory does not grow with
their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source, Span
from airflow_runai.checkpoints.formats.claims import claim, is_step, scalar
from airflow_runai.checkpoints.formats.dcp_metadata import Index, Item, Numbers
from airflow_runai.checkpoints.formats.torch_zip import TorchArchive, TorchMemberPass
from airflow_runai.checkpoints.pickles.tensors import Tensor

# Holds the directory of a zip file with few members, and the headers in front.
_EDGE = 4096
# Up to this size a piece is read whole, together with what follows.
_SMALL = 64 * 1024
_BLOCK = 256 * 1024
_DTYPES = {
    "Float": "float32",
    "Double": "float64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Bool": "bool",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}


class DcpPiece(Source):
    """
    A run of bytes of an open file, read as a file.

    Head and tail, where the structure lies, are read once; of a small part all.
    """

    def __init__(self, whole: Source, begin: int, end: int, ahead: Ahead | None = None) -> None:
        self.name = whole.name
        self.size = end - begin
        self._whole = whole
        self._begin = begin
        if self.size <= _SMALL:
            self._head = self._tail = (ahead or whole).at(begin, self.size)
        else:
            self._head = whole.at(begin, _EDGE)
            self._tail = whole.at(end - _EDGE, _EDGE)

    def at(self, offset: int, size: int) -> bytes:
        """
        As :meth:`Source.at`, counted from the beginning of the part.

        :raises FormatError: ``zip-structure`` for a place outside of it, or as there.
        """
        end = offset + size
        if offset < 0 or end > self.size:
            raise FormatError(
                "zip-structure", f"{size} bytes at {offset} of a piece of {self.size}; it was cut"
            )
        if end <= len(self._head):
            return self._head[offset:end]
        behind = offset - (self.size - len(self._tail))
        if behind >= 0:
            return self._tail[behind : behind + size]
        return self._whole.at(self._begin + offset, size)


class Ahead:
    """Fetches neighbouring small runs of bytes together, because reads of objects are slow."""

    def __init__(self, whole: Source) -> None:
        self._whole = whole
        self._begin = 0
        self._block = b""

    def at(self, offset: int, size: int) -> bytes:
        """As :meth:`Source.at`."""
        begin = offset - self._begin
        if not 0 <= begin <= begin + size <= len(self._block):
            length = max(size, min(_BLOCK, self._whole.size - offset))
            self._block = self._whole.at(offset, length)
            self._begin = offset
            begin = 0
        return self._block[begin : begin + size]


@dataclass
class _Opened:
    item: Item
    archive: TorchArchive
    passes: list[TorchMemberPass]


@dataclass
class ItemReader:
    """
    All pieces of one file.

    :param index: what ``.metadata`` says.
    :param steps: optimizer steps, once everything was read.
    """

    source: Source
    context: CheckContext
    index: Index
    steps: set[int] = field(default_factory=set)
    _opened: _Opened | None = None

    def __post_init__(self) -> None:
        self._ahead = Ahead(self.source)

    def spans(self, items: list[Item]) -> Iterator[Span]:
        """Return what the pass over the file sums at levels 2 and 3; :meth:`close` follows it."""
        for item in items:
            archive = self.open(item)
            if archive is None:
                continue
            opened = _Opened(item, archive, archive.passes())
            # The header in front of the first member: when it is read, the item before it is over.
            first = item.begin + opened.passes[0].span.begin
            yield Span(item.begin, first, partial(self._turn_to, opened))
            for member in opened.passes:
                member.span.begin += item.begin
                member.span.end += item.begin
                yield member.span

    def open(self, item: Item) -> TorchArchive | None:
        """Read the structure of a piece and compare it with ``.metadata``; ``None`` if damaged."""
        before = len(self.context.account.findings)
        # An object may be the step itself.
        inspect = partial(self._claim_object, item) if item.offsets is None else None
        label = self.source.name
        try:
            piece = DcpPiece(self.source, item.begin, item.end, self._ahead)
            archive = TorchArchive(piece, self.context, label, item.place, inspect)
            archive.read_structure()
            if item.offsets is not None:
                self._compare(item, item.offsets, archive.contents.tensors)
        except FormatError as damage:
            self.context.note(damage.code, label, f"{shown(item.place)}: {damage.message}")
            return None
        return None if self.context.account.found_error_since(before) else archive

    def close(self) -> None:
        """Record what was read of the last piece."""
        if self._opened is not None:
            self._opened.archive.close(self._opened.passes)
            self._claim_tensor(self._opened)
            self._opened = None

    def _turn_to(self, opened: _Opened, _: memoryview) -> None:
        if self._opened is not opened:
            self.close()
            self._opened = opened

    def _compare(self, item: Item, offsets: Numbers, tensors: list[Tensor]) -> None:
        if not tensors:
            raise FormatError("dcp-item", "holds no tensor; it belongs to another save")
        stored = self.index.tensors[item.name]
        shape = stored.chunks[offsets]
        tensor = tensors[0]
        dtype = _DTYPES.get(tensor.dtype, tensor.dtype)
        if tensor.name == item.place and (dtype, tensor.shape) != (stored.dtype, shape):
            raise FormatError(
                "dcp-item",
                f"holds {dtype} {list(tensor.shape)}, .metadata says {stored.dtype} {list(shape)}; "
                "they belong to different saves",
            )

    def _claim_object(self, item: Item, root: object) -> None:
        if is_step(root):
            self._claim(item.name, root)

    def _claim_tensor(self, opened: _Opened) -> None:
        tensors = opened.archive.contents.tensors
        if self.context.level < 3 or len(tensors) != 1 or not opened.item.name.endswith("step"):
            return
        kept = {member.name: member.kept for member in opened.passes}
        data = kept.get(f"data/{tensors[0].storage.key}", b"")
        if data:
            step = scalar(tensors[0], data, opened.archive.byteorder)
            self._claim(opened.item.name, step)

    def _claim(self, name: str, step: int) -> None:
        last = name.rpartition(".")[2]
        place = f"{name} in {self.source.name}"
        # Each parameter has a step of its own in the optimizer.
        if last == "step" and "optim" in name.lower():
            self.steps.add(step)
        elif last == "global_step":
            claim(self.context, place, step)
        elif last == "step":
            claim(self.context, place, step, "advisory")
