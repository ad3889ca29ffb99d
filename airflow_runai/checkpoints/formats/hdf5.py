"""
HDF5: ``.h5`` and ``.hdf5``, of Keras or any other writer.

The file states its own length, so a cut is detected without any library. With h5py (extra ``hdf5``)
every dataset is read in a separate process. Only what has checksums is proven: HDF5 has them for
its own structure in files written with ``libver="latest"``, and for values of datasets made with
``fletcher32=True``. Neither is the default, and Keras does not request it, so the usual verdict is
"unverifiable".
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.float_layouts import ByteOrder
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.ledger import TensorEntry
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.checking.tensor_content import TensorContent
from airflow_runai.checkpoints.containers.hdf5_reader import read_hdf5
from airflow_runai.checkpoints.containers.keras_config import note_config
from airflow_runai.checkpoints.formats.heads import head, meant_by
from airflow_runai.checkpoints.formats.runs import NUMPY_KINDS, Feed
from airflow_runai.checkpoints.storage.crc import crc32
from airflow_runai.checkpoints.storage.listing import Listing

_MAGIC = b"\x89HDF\r\n\x1a\n"
# Flags of a superblock of version 3, which its writer removes when it closes the file.
_SWMR = 4
_WRITING = 1
# A user's own bytes may lie in front, in a power of two.
_PLACES = (0, 512, 1024, 2048)
# The addresses that are read lie in front of that, in every version.
_SUPERBLOCK_LIMIT = 96


_Read = Callable[[int, int], bytes]


def check_superblock(read: _Read, size: int) -> int:
    """
    Compare the length that the file states with the one it has.

    :param read: offset and size to bytes.
    :param size: of the file, in bytes.
    :return: version of the superblock; from 2 on the file's own structure has checksums.
    :raises FormatError: ``hdf5-superblock``, or ``hdf5-open`` when its writer has not closed it.
    """
    begin = _begin(read, size)
    data = read(begin, min(_SUPERBLOCK_LIMIT, size - begin))
    version = data[8] if len(data) > 12 else 255
    if version > 3:
        raise _damaged(f"superblock of version {version}, or cut; 0 to 3 are known")
    if version == 3 and data[11] & (_SWMR | _WRITING):
        raise FormatError("hdf5-open", "its writer has not closed it; look again later")
    base, end = _addresses(data, version)
    # The end counts from the beginning of the file, or from behind the user's own bytes.
    if base != begin or size not in (end, base + end):
        raise _damaged(f"is {size} bytes long and says {end}; it was cut, or not closed")
    return version


def _addresses(data: bytes, version: int) -> tuple[int, int]:
    """Return where the file begins and ends, as the superblock says."""
    # Since version 2 the width of addresses stands in front, and less between it and the first.
    width_at, at = (13, 24 + 4 * version) if version < 2 else (9, 12)
    if len(data) < at + 24 or data[width_at] != 8:
        raise _damaged("the superblock is cut, or its addresses are not 8 bytes long")
    # Between the two an address that is not used here.
    base, _, end = struct.unpack_from("<QQQ", data, at)
    return base, end


def _begin(read: _Read, size: int) -> int:
    for at in _PLACES:
        if at + len(_MAGIC) <= size and read(at, len(_MAGIC)) == _MAGIC:
            return at
    raise _damaged(f"{size} bytes without the mark of HDF5; it was cut or overwritten")


def _damaged(text: str) -> FormatError:
    return FormatError("hdf5-superblock", text)


class _Datasets:
    """
    Receives what is read from an HDF5 file: counts, sums and tests the values.

    :param label: file that the findings name.
    """

    def __init__(self, context: CheckContext, label: str) -> None:
        self.sealed = True
        self._context = context
        self._label = label
        self._last: tuple[TensorContent, TensorEntry] | None = None
        self._crc = 0

    def listen(self, line: dict[str, Any]) -> Feed | None:
        """Take the next group or dataset; the one before is complete."""
        self.finish()
        if "config" in line:
            config = line["config"].encode("utf-8", "replace")
            note_config(config, self._label, self._context)
            return None
        # One part without a checksum is enough to hide damage.
        self.sealed = self.sealed and bool(line["sealed"])
        return self._begin_dataset(line) if "dataset" in line else None

    def _begin_dataset(self, line: dict[str, Any]) -> Feed:
        self._context.account.tensors += 1
        dtype = line["dtype"]
        name = line["dataset"].lstrip("/").replace("/", ".")
        order: ByteOrder = "big" if dtype[0] == ">" else "little"
        kind = NUMPY_KINDS.get(dtype[1:], "bytes")
        content = TensorContent(name, kind, 0, line["size"], order)
        self._last = content, TensorEntry(dtype, tuple(line["shape"]))
        self._crc = 0
        return self._feed

    def _feed(self, chunk: memoryview) -> None:
        assert self._last is not None
        self._crc = crc32(chunk, self._crc)
        if self._context.level >= 3:
            self._last[0].feed(chunk)

    def finish(self) -> None:
        """Note what the values of the last dataset are."""
        if self._last is None:
            return
        content, entry = self._last
        content.crc = self._crc
        content.enter(self._context, self._label, entry.dtype, entry.shape)
        if self._context.level >= 3:
            content.note(self._context, self._label)
        self._last = None


def _detect(tree: Listing, context: CheckContext) -> bool:
    return head(tree, context).startswith(_MAGIC)


def _examine(tree: Listing, context: CheckContext) -> None:
    if context.level < 1:
        return
    with Source(tree, context) as source:
        version = check_superblock(source.at, source.size)
        unread = None
        sealed = version >= 2
        if context.level >= 2:
            source.scan([])
            unread, sealed = read_datasets(tree, 0, source.size, context)
    if source.name in context.account.manifest_verified:
        return
    if unread is not None:
        context.note(
            "hdf5-structure-only",
            tree.label,
            f"nothing but its length was checked: {shown(unread)}",
        )
    elif not sealed:
        context.note(
            "hdf5-no-checksum",
            tree.label,
            "parts of it hold no checksum and there is no manifest; damage to them cannot be seen",
        )


def read_datasets(
    tree: Listing, begin: int, size: int, context: CheckContext
) -> tuple[str | None, bool]:
    """Return why nothing was read, if so, and whether everything has a checksum."""
    datasets = _Datasets(context, tree.label)
    unread = read_hdf5(tree.root, begin, size, datasets.listen)
    datasets.finish()
    return unread, datasets.sealed


HDF5 = Format("hdf5", _detect, _examine, meant_by(".h5", ".hdf5"), weights=(".h5", ".hdf5"))
