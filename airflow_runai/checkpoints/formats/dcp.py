"""
PyTorch's distributed checkpoints (DCP): ``.metadata`` and ``__RANK_N.distcp`` files of each rank.

PyTorch writes ``.metadata`` last, but a save into a directory that already holds one leaves the old
``.metadata`` over new data, and ``dcp.load`` verifies no checksum. Here every piece must be whole
and be what ``.metadata`` says. A complete file of another step, with pieces of the same shapes, is
detected by the optimizer's steps, or by a ledger.

Not read: pieces that went through a transform such as compression. The other serialization of
PyTorch (safetensors inside ``.distcp``, which PyTorch itself cannot load in 2.13) has no checksums.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import chain

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.formats.claims import claim
from airflow_runai.checkpoints.formats.dcp_items import ItemReader
from airflow_runai.checkpoints.formats.dcp_metadata import Index, Item, read_index
from airflow_runai.checkpoints.formats.dcp_safetensors import find_blob
from airflow_runai.checkpoints.formats.dcp_tiles import check_tiles
from airflow_runai.checkpoints.formats.parts import examine_parts, side_by_side
from airflow_runai.checkpoints.formats.runs import by_place
from airflow_runai.checkpoints.pickles.interpreter import PICKLE_SIZE_LIMIT
from airflow_runai.checkpoints.storage.listing import Listing

# One for each rank when it was written without collectives.
_METADATA = re.compile(r"(?:__\d+)?\.metadata")


def dcp_files(tree: Listing, folder: str = "") -> list[str]:
    """
    Return the files of a distributed checkpoint.

    :param folder: where it lies in the tree: ``""`` or a path that ends with ``/``.
    """
    return list(filter(_belongs, _directly_inside(tree, folder)))


def _directly_inside(tree: Listing, folder: str) -> list[str]:
    parent = folder.removesuffix("/")
    return sorted(name for name in tree.files if name.rpartition("/")[0] == parent)


def _belongs(name: str) -> bool:
    return _is_data(name) or _METADATA.fullmatch(name.rpartition("/")[2]) is not None


def _is_data(name: str) -> bool:
    return name.endswith(".distcp")


def holds_dcp(tree: Listing, folder: str = "") -> bool:
    """Whether there is a distributed checkpoint, or what is left of one."""
    return not tree.single and bool(dcp_files(tree, folder))


def examine_dcp(tree: Listing, context: CheckContext, folder: str = "") -> list[str]:
    """
    Check a distributed checkpoint and note what is wrong with it.

    :param folder: as for :func:`dcp_files`.
    :return: the files that belong to it.
    """
    files = dcp_files(tree, folder)
    metadata = [name for name in files if not _is_data(name)]
    for name in _directly_inside(tree, folder):
        if name.endswith(".metadata.tmp"):
            context.note(
                "incomplete-marker",
                name,
                "present while the save is being finished; look again later",
            )
    if not metadata:
        context.note(
            "file-missing",
            f"{folder}.metadata",
            "is missing; PyTorch writes it last, so the save was not finished",
        )
    elif context.level >= 1:
        _examine_index(tree, context, folder, metadata)
    return files


def _examine_index(tree: Listing, context: CheckContext, folder: str, metadata: list[str]) -> None:
    index = Index()
    name = ""
    try:
        for name in metadata:
            read_index(_metadata(tree, context, name), index, context, name)
        check_tiles(index)
    except FormatError as damage:
        context.note(damage.code, name, damage.message)
        return
    context.account.tensors += len(index.tensors)
    by_file: dict[str, list[Item]] = {}
    for item in index.items.values():
        by_file.setdefault(folder + item.file, []).append(item)
    _note_left_over(tree, context, dcp_files(tree, folder), by_file)
    _examine_files(tree, context, by_file, index)


def _note_left_over(
    tree: Listing, context: CheckContext, names: list[str], by_file: Collection[str]
) -> None:
    for name in names:
        # A rank that had nothing to save leaves an empty file.
        if _is_data(name) and name not in by_file and tree.files[name].size:
            context.note(
                "shard-left-over", name, ".metadata does not name it; left over from another save"
            )


def _examine_files(
    tree: Listing, context: CheckContext, by_file: dict[str, list[Item]], index: Index
) -> None:
    steps: dict[str, set[int]] = {}

    def examine(part: CheckContext, name: str) -> None:
        items = by_file[name]
        if name in tree.files:
            with part.noting(name), Source(tree.narrowed_to(name), part) as source:
                steps[name] = _read_file(source, part, items, index)
        else:
            part.note(
                "shard-missing",
                name,
                f".metadata puts {len(items)} pieces there, but the file is missing",
            )

    side_by_side(tree, context, sorted(by_file), examine)
    _compare_steps(steps, context)


def _metadata(tree: Listing, context: CheckContext, name: str) -> bytes:
    with Source(tree.narrowed_to(name), context) as source:
        if source.size > PICKLE_SIZE_LIMIT:
            raise FormatError(
                "too-large", f"{source.size} bytes; at most {PICKLE_SIZE_LIMIT} are read"
            )
        if context.level >= 2:
            source.scan([])
        return source.at(0, source.size)


def _read_file(source: Source, context: CheckContext, items: list[Item], index: Index) -> set[int]:
    """
    Check one ``.distcp`` file.

    :return: the optimizer steps in it.
    """
    items = sorted(items, key=by_place)
    blob = find_blob(source, context, items)
    # Objects stand in front of the run of safetensors, as small zip files.
    plain = [item for item in items if blob is None or item.offsets is None]
    _check_places(plain, source.size if blob is None else blob.begin)
    readable = _without_packed(plain, source.name, context)
    if blob is not None:
        blob.compare(index)
    reader = ItemReader(source, context, index)
    if context.level < 2:
        for item in readable:
            reader.open(item)
        return reader.steps
    spans = reader.spans(readable)
    if blob is None:
        source.scan(spans)
        reader.close()
    else:
        source.scan(chain(spans, blob.spans()))
        reader.close()
        blob.close()
    return reader.steps


def _without_packed(items: list[Item], label: str, context: CheckContext) -> list[Item]:
    packed = [item for item in items if item.packed]
    if packed:
        context.note(
            "not-examined",
            label,
            f"{len(packed)} pieces are compressed ({shown(packed[0].place)} first); "
            "they were not read",
        )
    return [item for item in items if not item.packed]


def _check_places(items: list[Item], size: int) -> None:
    at = 0
    for item in items:
        if item.begin < at:
            raise FormatError(
                "dcp-extent",
                f"{shown(item.place)} begins at byte {item.begin}, inside the piece before it",
            )
        at = item.end
    if at != size:
        raise FormatError(
            "dcp-extent",
            f"the pieces end at byte {at}, the file has {size}; "
            "it was cut, or written anew by a save that was not finished",
        )


def _compare_steps(steps: dict[str, set[int]], context: CheckContext) -> None:
    """
    Compare the optimizer steps of all ranks.

    Parameters that were trained later count fewer steps; a file then shows several numbers.
    """
    highest = {name: max(numbers) for name, numbers in steps.items() if numbers}
    if not highest:
        return
    newest = max(highest, key=lambda name: highest[name])
    claim(context, f"optimizer in {newest}", highest[newest], "advisory")
    if any(len(numbers) > 1 for numbers in steps.values()):
        return
    for name, step in highest.items():
        if step != highest[newest]:
            context.note(
                "ranks-disagree",
                name,
                f"its optimizer is at step {step}, that of {newest} at {highest[newest]}; "
                "one of them belongs to another save",
            )


def _detect(tree: Listing, context: CheckContext) -> bool:
    # With meta.pt it is one of Lightning.
    return holds_dcp(tree) and not tree.has_top_level("meta.pt")


def _examine(tree: Listing, context: CheckContext) -> None:
    examine_parts(tree, context, known=examine_dcp(tree, context))


DCP = Format("torch-dcp", _detect, _examine)
