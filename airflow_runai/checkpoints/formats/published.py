"""
A directory published by this project's training side, with a ``manifest.json`` written last.

The manifest lists every file with size and CRC32, so that the bytes of formats without checksums
are proven too. The files are checked by their own formats as well: a manifest proves that bytes are
as written, not that they are good.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, TypeGuard

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.checking.recognition import examine
from airflow_runai.checkpoints.containers.json_documents import read_object
from airflow_runai.checkpoints.formats.claims import claim, is_step
from airflow_runai.checkpoints.formats.parts import examine_parts
from airflow_runai.checkpoints.storage.listing import Listing
from airflow_runai.checkpoints.storage.object_checksums import files_with_matching_checksum

MANIFEST = "manifest.json"
SCHEMA = "runai-checkpoint/1"
_NAME = re.compile(r"step-\d{8,}")
_Document = dict[str, Any]
# Size and CRC32 by relative path.
_Promised = dict[str, tuple[int, int]]
_CRC = re.compile(r"[0-9a-f]{8}")


def manifest_crc(manifest: _Document) -> str:
    """Return the CRC32 of a manifest's canonical JSON without ``crc32``, as eight hex digits."""
    rest = {key: value for key, value in manifest.items() if key != "crc32"}
    # Any reader can repeat it: keys sorted, no white space, ASCII alone.
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"{zlib.crc32(text.encode('utf-8')):08x}"


def _detect(tree: Listing, context: CheckContext) -> bool:
    if not tree.has_top_level(MANIFEST):
        return False
    if _NAME.fullmatch(tree.root.name):
        return True
    with Source(tree.narrowed_to(MANIFEST), context) as source:
        return b'"runai-checkpoint/' in source.at(0, min(source.size, 1024 * 1024))


def _examine(tree: Listing, context: CheckContext) -> None:
    account = context.account
    account.excluded.add(MANIFEST)
    manifest = _manifest(tree, context)
    promised = _promised(manifest)
    _check_ranks(manifest, context)
    _check_listing(tree, promised, context)
    account.manifest_verified.update(promised)
    if context.level == 2:
        matched = files_with_matching_checksum(tree.files, _sums(manifest))
        account.checksum_matched |= matched
        # What the object store has summed need not be read.
        account.crcs.update((name, promised[name]) for name in account.checksum_matched)
    _examine_content(tree, context)
    _note_damaged(promised, context)


def _note_damaged(promised: _Promised, context: CheckContext) -> None:
    crcs = context.account.crcs
    for name, (_, crc) in promised.items():
        if name in crcs and crcs[name][1] != crc:
            context.note(
                "manifest-mismatch",
                name,
                "its CRC32 is not the one in the manifest; the file is damaged",
            )


def _examine_content(tree: Listing, context: CheckContext) -> None:
    """Check the directory as if there were no manifest, by its own format."""
    files = {name: entry for name, entry in tree.files.items() if name != MANIFEST}
    content = Listing(tree.root, tree.label, files)
    others = tuple(form for form in context.formats if form is not PUBLISHED)
    if examine(content, replace(context, formats=others)) is None:
        examine_parts(content, context)


def _manifest(tree: Listing, context: CheckContext) -> _Document:
    manifest = read_object(tree, context, MANIFEST)
    if manifest.get("schema") != SCHEMA:
        raise _malformed(f"schema is {shown(manifest.get('schema'))}; {SCHEMA!r} is read")
    if manifest.get("crc32") != manifest_crc(manifest):
        raise _malformed("its own crc32 does not match; it was damaged or edited")
    if manifest.get("complete") is not True:
        raise _malformed("complete is not true; the checkpoint was not finished")
    step = manifest.get("step")
    if not is_step(step):
        raise _malformed(f"step is {shown(step)}; a number from 0 is expected")
    claim(context, MANIFEST, step)
    size = manifest.get("world_size")
    context.account.world_size = size if is_step(size) and size else None
    metrics = manifest.get("metrics")
    context.account.metrics = metrics if isinstance(metrics, dict) else {}
    return manifest


def _malformed(what: str) -> FormatError:
    return FormatError("manifest-malformed", f"{MANIFEST}: {what}")


def _promised(manifest: _Document) -> _Promised:
    """Return what the manifest says of each file."""
    files = manifest.get("files")
    if not isinstance(files, list):
        raise _malformed("files is not a list")
    promised: _Promised = {}
    for number, item in enumerate(files):
        place = f"files[{number}]"
        fields = item if isinstance(item, dict) else {}
        path = fields.get("path")
        if not _is_inside(path) or path in promised or path == MANIFEST:
            allowed = "relative paths without '..', each once, are allowed"
            raise _malformed(f"{place}.path is {shown(path)}; {allowed}")
        promised[path] = _size_and_crc(fields, place)
    return promised


def _size_and_crc(fields: _Document, place: str) -> tuple[int, int]:
    size = fields.get("size")
    crc = fields.get("crc32")
    if not is_step(size) or not isinstance(crc, str) or not _CRC.fullmatch(crc):
        raise _malformed(
            f"{place} has size {shown(size)} and crc32 {shown(crc)}; "
            f"a number and 8 hex digits are expected"
        )
    return size, int(crc, 16)


def _check_ranks(manifest: _Document, context: CheckContext) -> None:
    """Check that each of several processes left a file; one process names no ranks."""
    world = manifest.get("world_size", 1)
    if type(world) is not int or world < 1:
        raise _malformed(f"world_size is {shown(world)}; a number from 1 is expected")
    ranks = {item.get("rank") for item in manifest["files"] if isinstance(item.get("rank"), int)}
    # Sizes before members: a manifest may claim any number of ranks, too many to count up to.
    if world > 1 and (len(ranks) != world or ranks != set(range(len(ranks)))):
        context.note(
            "manifest-mismatch",
            MANIFEST,
            f"{world} ranks wrote it, files of {len(ranks)} are listed, or of others; "
            f"the part of a rank is missing",
        )


def _sums(manifest: _Document) -> dict[str, dict[str, str]]:
    """Return all checksums of each file; a foreign writer may add those of its object store."""
    sums = {}
    for item in manifest["files"]:
        kinds = [kind for kind in ("crc32", "crc32c", "md5") if kind in item]
        sums[item["path"]] = {kind: str(item[kind]) for kind in kinds}
    return sums


def _is_inside(path: object) -> TypeGuard[str]:
    # Nothing outside of the directory may be read, and no file under two names.
    if not isinstance(path, str) or not path or "\\" in path or "\0" in path:
        return False
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts and str(pure) == path


def _check_listing(tree: Listing, promised: _Promised, context: CheckContext) -> None:
    for name in promised.keys() - tree.files.keys():
        context.note("file-missing", name, "the manifest names it, but it is not there")
    for name, entry in tree.files.items():
        if entry.linked:
            context.note("link", name, "a link; a published checkpoint holds its own bytes")
        if name == MANIFEST:
            continue
        if name not in promised:
            context.note(
                "manifest-mismatch", name, "the manifest does not name it; it was added later"
            )
        elif entry.size != promised[name][0]:
            context.note(
                "manifest-mismatch",
                name,
                f"{entry.size} bytes, the manifest says {promised[name][0]}",
            )


PUBLISHED = Format("published", _detect, _examine)
