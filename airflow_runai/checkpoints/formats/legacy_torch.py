"""
Files of ``torch.save`` before PyTorch 1.6, and of ``_use_new_zipfile_serialization=False`` today.

Four pickles (a magic number, a protocol number, facts about the machine, the object), a fifth with
the list of storage keys, then for each key the number of its elements and their bytes
(torch/serialization.py 2.13, ``_legacy_save``). It has no checksum: sizes are checked to the byte,
the numbers can only be tested.

The tar files of PyTorch before 0.1.10 are recognised and refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.ledger import TensorEntry
from airflow_runai.checkpoints.checking.reader import Source, Span
from airflow_runai.checkpoints.formats.claims import Inspect, claim_optimizer_steps, claim_steps
from airflow_runai.checkpoints.formats.heads import head
from airflow_runai.checkpoints.formats.runs import count_tensors
from airflow_runai.checkpoints.pickles.globals import noting_globals
from airflow_runai.checkpoints.pickles.interpreter import PICKLE_SIZE_LIMIT, load_first
from airflow_runai.checkpoints.pickles.mentions import Mentions
from airflow_runai.checkpoints.pickles.storage_views import StorageContent
from airflow_runai.checkpoints.pickles.tensors import Contents, TorchStorage, read_contents
from airflow_runai.checkpoints.storage.listing import Listing

_MAGIC = 0x1950A86A20F9469CFC6C
_MAGIC_OPCODE = b"\x8a\x0a" + _MAGIC.to_bytes(10, "little")
# Of pickle protocols 0 and 1, which write numbers as text.
_MAGIC_LINE = b"L%dL\n." % _MAGIC
_PROTOCOL = 1001
_TAR_MEMBERS = (b"sys_info", b"pickle", b"storages", b"tensors")
# How much is read in search of the pickles' end.
_READS = (256 * 1024, 8 * 1024 * 1024, PICKLE_SIZE_LIMIT)
# In front of each storage.
_COUNT_SIZE = 8
# A step is a tensor of one number; its bytes are kept to read it.
_SMALL_LIMIT = 4096


def is_legacy(first: bytes) -> bool:
    """
    Whether a file begins like one.

    :param first: its first bytes.
    """
    return (first[:1] == b"\x80" and _MAGIC_OPCODE in first[:32]) or first.startswith(_MAGIC_LINE)


def _is_tar(first: bytes) -> bool:
    return first.startswith(b"ustar", 257) and first[:100].lstrip(b"./").startswith(_TAR_MEMBERS)


def _detect(tree: Listing, context: CheckContext) -> bool:
    first = head(tree, context)
    return is_legacy(first) or _is_tar(first)


def examine_legacy(tree: Listing, context: CheckContext, inspect: Inspect | None = None) -> None:
    """
    Check a whole file.

    :param inspect: called with the inert root of the object.
    """
    if context.level < 1:
        return
    with Source(tree, context) as source:
        if _is_tar(head(tree, context)):
            raise FormatError(
                "format-too-old",
                "a tar file of PyTorch before 0.1.10; load it and save it again with a newer "
                "PyTorch",
            )
        contents, runs = _read_structure(source, context, inspect)
        count_tensors(context, tree.label, [tensor.name for tensor in contents.tensors])
        claim_steps(contents, context, tree.label)
        context.note_unproven(
            "legacy-no-checksum",
            tree.label,
            "saved in the format of PyTorch before 1.6, which holds no checksum",
        )
        if context.level >= 2:
            source.scan([run.span for run in runs])
    for run in runs:
        run.close()
    if context.level >= 3:
        kept = {run.storage.key: run.kept for run in runs}
        claim_optimizer_steps(contents, kept, context, tree.label)


def _read_structure(
    source: Source, context: CheckContext, inspect: Inspect | None
) -> tuple[Contents, list[_Run]]:
    with noting_globals(source.name, context) as mentions:
        root, keys, at = _pickles(source, mentions)
        contents = read_contents(root)
        if inspect is not None:
            inspect(root)
    return contents, _runs(source, context, contents, keys, at)


def _runs(
    source: Source, context: CheckContext, contents: Contents, keys: list[str], at: int
) -> list[_Run]:
    """Find the storages, which follow the pickles in the order of their keys."""
    runs = []
    for key in keys:
        run = _Run(context, source.name, _placed(source, contents, key, at), at)
        runs.append(run)
        at = run.span.end
    if at != source.size:
        raise _damaged(
            f"the storages end at byte {at}, the file has {source.size}; it was extended"
        )
    if len(keys) != len(contents.storages):
        raise _damaged(f"{len(contents.storages)} storages are used, {len(keys)} are there")
    return runs


def _damaged(text: str) -> FormatError:
    return FormatError("legacy-layout", text)


def _pickles(source: Source, mentions: Mentions) -> tuple[object, list[str], int]:
    """The object, the storage keys, and where the storages begin."""
    # Nothing says where the pickles end, and storages may be many times as long.
    for limit in _READS:
        data = source.at(0, min(limit, source.size))
        try:
            return _parsed(data, mentions)
        except FormatError as damage:
            if len(data) == source.size or damage.code != "pickle-malformed":
                raise
    raise FormatError(
        "too-large", f"pickles of more than {PICKLE_SIZE_LIMIT} bytes; no more are read"
    )


def _parsed(data: bytes, mentions: Mentions) -> tuple[object, list[str], int]:
    values = []
    at = 0
    for _ in range(5):
        value, at = load_first(data, at, mentions)
        values.append(value)
    magic, protocol, machine, root, keys = values
    if magic != _MAGIC or protocol != _PROTOCOL or not isinstance(machine, dict):
        raise _damaged("does not begin as torch.save did before PyTorch 1.6; it was overwritten")
    if not _are_keys(keys):
        raise _damaged("the list of storage keys is no list of different texts; it was overwritten")
    return root, keys, at


def _are_keys(keys: object) -> TypeGuard[list[str]]:
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        return False
    return len(set(keys)) == len(keys)


def _placed(source: Source, contents: Contents, key: str, at: int) -> TorchStorage:
    """The storage that begins at a place, after its count has been compared."""
    label = f"storage {shown(key)}"
    storage = contents.storages.get(key)
    if storage is None:
        raise _damaged(f"{label} belongs to no tensor")
    if at + _COUNT_SIZE + storage.nbytes > source.size:
        raise _damaged(f"{label} reaches out of a file of {source.size} bytes; it was cut")
    # PyTorch counts elements here, not bytes.
    count = int.from_bytes(source.at(at, _COUNT_SIZE), "little", signed=True)
    if count != storage.numel:
        raise _damaged(
            f"{label} at byte {at} has {count} elements, its tensors need {storage.numel}; "
            "it was overwritten"
        )
    return storage


@dataclass
class _Run:
    """One storage: its bytes in the file, and the test of their content."""

    context: CheckContext
    label: str
    storage: TorchStorage
    at: int

    def __post_init__(self) -> None:
        self.kept = b""
        begin = self.at + _COUNT_SIZE
        self.span = Span(begin, begin + self.storage.nbytes, self._feed, summed=True)
        self._content: StorageContent | None = None
        if self.context.level >= 3:
            self._content = StorageContent(self.storage.tensors)

    def _feed(self, chunk: memoryview) -> None:
        if self.storage.nbytes <= _SMALL_LIMIT:
            self.kept += bytes(chunk)
        if self._content is not None:
            self._content.feed(chunk)

    def close(self) -> None:
        """Record what was read."""
        crc = self.span.crc if self.context.level >= 2 else None
        for tensor in self.storage.tensors:
            flags = self._content.flags(tensor) if self._content is not None else ()
            if tensor.is_state:
                entry = TensorEntry(tensor.dtype, tensor.shape, crc, *flags)
                self.context.account.enter(self.label, tensor.name, entry)
        if self._content is not None:
            self._content.note(self.context, self.label)


LEGACY_TORCH = Format("torch-legacy", _detect, examine_legacy)
