"""
Checkpoints of Orbax (JAX, Flax): a step directory, one directory an item, values in OCDBT.

Orbax writes to ``*.orbax-checkpoint-tmp*`` and renames, or on object storage writes a commit file
last. Checked are the commit, that every manifest is there, the checksums that OCDBT puts on
manifests and tree nodes, and that every piece of every array is there and unpacks to its size
(:mod:`~airflow_runai.checkpoints.formats.orbax_values`). The values have no checksum (a flipped bit
may load without an error: orbax-checkpoint 0.12.8, default options), so the verdict is
"unverifiable" unless a manifest of ours proves them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.containers.json_documents import read_object
from airflow_runai.checkpoints.containers.zstd import is_there
from airflow_runai.checkpoints.formats.orbax_values import examine_values
from airflow_runai.checkpoints.formats.parts import examine_parts
from airflow_runai.checkpoints.storage.access import is_remote
from airflow_runai.checkpoints.storage.crc32c import crc32c
from airflow_runai.checkpoints.storage.listing import Listing

_CODE = "orbax-layout"
_STEP_METADATA = "_CHECKPOINT_METADATA"
_TREE_METADATA = "_METADATA"
_COMMITTED = "commit_success.txt"
_MANIFEST = "manifest.ocdbt"
_MANIFEST_MAGIC = b"\x0c\xdb\x3a\x2a"
_NODE_MAGIC = b"\x0c\xdb\x20\xde"
# Values without OCDBT: a file for each piece of an array, such as w/0.0 or w/c/0/0.
_CHUNK = re.compile(r"/(?:\d+(?:\.\d+)*|c(?:/\d+)*)$")
_RECORD_LIMIT = 64 * 1024 * 1024
# Magic, length and CRC32C.
_FRAME = 4 + 8 + 4


def _detect(tree: Listing, context: CheckContext) -> bool:
    names = (_STEP_METADATA, _TREE_METADATA, _MANIFEST)
    return not tree.single and any(
        name.rpartition("/")[2] in names for name in tree.files if name.count("/") <= 1
    )


def _examine(tree: Listing, context: CheckContext) -> None:
    _check_committed(tree, context)
    items = _items(tree)
    for item in items:
        _check_item(tree, context, item)
    if not items:
        context.note(_CODE, tree.label, f"no item with a {_MANIFEST}; it was not finished")
    if context.level >= 1:
        for name in sorted(tree.files):
            _check_records(tree, context, name)
        # Without zstandard nothing can be unpacked.
        if is_there() and not context.refused:
            for item in items:
                examine_values(tree, context, item)
    _note_unproven(tree, context)
    examine_parts(tree, context, list(filter(_is_values, tree.files)))


def _note_unproven(tree: Listing, context: CheckContext) -> None:
    values = set(filter(_belongs, tree.files))
    if values and values <= context.account.manifest_verified:
        return
    unread = "" if is_there() else "; zstandard is not installed, so that they were not unpacked"
    context.note(
        "orbax-no-checksum",
        tree.label,
        "the values of Orbax hold no checksum and there is no manifest; "
        f"damage to them cannot be seen{unread}",
    )


def _items(tree: Listing) -> list[str]:
    """Return the directories of items, each with ``/`` behind it (nothing for the top)."""
    items = set()
    for name in tree.files:
        for last in (_TREE_METADATA, _MANIFEST):
            if _is(name, last):
                items.add(name.removesuffix(last))
    # What each process wrote before all were merged is no item.
    return sorted(item for item in items if "/ocdbt.process_" not in f"/{item}")


def _is(name: str, last: str) -> bool:
    return name.rpartition("/")[2] == last


def _belongs(name: str) -> bool:
    return "/d/" in f"/{name}"


def _is_values(name: str) -> bool:
    """Whether a file holds values, in one of both layouts, or says where they are."""
    return _belongs(name) or _is(name, _MANIFEST) or _CHUNK.search(name) is not None


def _check_committed(tree: Listing, context: CheckContext) -> None:
    """Check that a local checkpoint was renamed, and its metadata has the time of the commit."""
    unfinished = sorted(name for name in tree.files if ".orbax-checkpoint-tmp" in name)
    if unfinished:
        context.note(
            "orbax-unfinished",
            unfinished[0],
            "the name says that it is still being written; look again later",
        )
    if context.level < 1 or not tree.has_top_level(_STEP_METADATA):
        return
    with context.noting(_STEP_METADATA):
        metadata = read_object(tree, context, _STEP_METADATA)
        # An object store has no rename; there the commit file decides, whatever the metadata says.
        timed = metadata.get("commit_timestamp_nsecs") is not None and not is_remote(tree.root)
        if not timed and not tree.has_top_level(_COMMITTED):
            raise FormatError(
                "orbax-unfinished",
                f"no {_COMMITTED} and no time of commit; "
                "the checkpoint was not finished, or is being written",
            )


def _check_item(tree: Listing, context: CheckContext, item: str) -> None:
    names = {name.removeprefix(item) for name in tree.files if name.startswith(item)}
    if _MANIFEST not in names and _uses_ocdbt(tree, context, item, names):
        context.note(_CODE, f"{item}{_MANIFEST}", "is missing; no value can be found without it")
    for process in _unfinished(names):
        context.note(
            _CODE, f"{item}{process}/{_MANIFEST}", "is missing; this process did not finish"
        )
    if _MANIFEST in names and not any(map(_belongs, names)):
        context.note(_CODE, f"{item}d", "no file of values is there")


def _unfinished(names: set[str]) -> list[str]:
    """Return the processes whose own manifest is missing."""
    processes = {name.partition("/")[0] for name in names if name.startswith("ocdbt.process_")}
    return sorted(process for process in processes if f"{process}/{_MANIFEST}" not in names)


def _uses_ocdbt(tree: Listing, context: CheckContext, item: str, names: set[str]) -> bool:
    if context.level < 1:
        return False
    if _TREE_METADATA not in names:
        # Descriptions of arrays are the layout without OCDBT.
        return not any(name.endswith(("/.zarray", "/zarr.json")) for name in names)
    path = item + _TREE_METADATA
    document: Mapping[str, object] = {}
    with context.noting(path):
        document = read_object(tree, context, path)
    return document.get("use_ocdbt") is not False


def _check_records(tree: Listing, context: CheckContext, name: str) -> None:
    """Compare the checksums of a manifest (one record), or of the nodes that begin a value file."""
    is_manifest = _is(name, _MANIFEST)
    if not is_manifest and not _belongs(name):
        return
    with context.noting(name), Source(tree.narrowed_to(name), context) as source:
        if not source.size:
            raise _damaged("0 bytes; its writer died before the content reached the disk")
        if is_manifest:
            if _check_record(source, 0, _MANIFEST_MAGIC) != source.size:
                raise _damaged(f"no manifest of {source.size} bytes; it was cut or overwritten")
            return
        end = _check_record(source, 0, _NODE_MAGIC)
        while end:
            end = _check_record(source, end, _NODE_MAGIC)


def _check_record(source: Source, at: int, magic: bytes) -> int:
    """Check magic, length (8 bytes), content and CRC32C; return the record's end, 0 if none."""
    left = source.size - at
    # Behind the nodes lie the values, which have no frame.
    if left < _FRAME or source.at(at, 4) != magic:
        return 0
    size = int.from_bytes(source.at(at + 4, 8), "little")
    if not _FRAME <= size <= left:
        raise _damaged(f"a record of {size} bytes at {at} in a file of {source.size}; it was cut")
    if size > _RECORD_LIMIT:
        raise FormatError(
            "too-large", f"a record of {shown(size)} bytes; at most {_RECORD_LIMIT} are read"
        )
    data = source.at(at, size)
    if crc32c(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise _damaged(f"the record at {at} is damaged: its CRC32C does not match")
    return at + size


def _damaged(text: str) -> FormatError:
    return FormatError(_CODE, text)


ORBAX = Format("orbax", _detect, _examine)
