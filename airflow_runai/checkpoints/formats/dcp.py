"""
PyTorch's distributed checkpoints (DCP): ``.metadata`` and one ``__RANK_N.distcp`` file or more for each rank.

PyTorch writes ``.metadata`` last, but a save into a directory that holds one already leaves the old
``.metadata`` over new data, and ``dcp.load`` looks at no checksum; here every piece must be whole
and be what ``.metadata`` says. A complete file of another step, with pieces of the same shapes, is
told by the optimizer's steps, or by a ledger.

Not read: pieces that went through a transform such as compression. The other serialization of
PyTorch (safetensors inside ``.distcp``, which PyTorch itself cannot load in 2.13) has no checksums.
"""

from __future__ import annotations

import re
from itertools import chain

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.format import Format
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.checking.step_claim import StepClaim
from airflow_runai.checkpoints.formats.dcp_items import ItemReader
from airflow_runai.checkpoints.formats.dcp_metadata import Index, Item, read_index
from airflow_runai.checkpoints.formats.dcp_safetensors import find_blob
from airflow_runai.checkpoints.formats.dcp_tiles import check_tiles
from airflow_runai.checkpoints.formats.parts import examine_parts, side_by_side
from airflow_runai.checkpoints.pickles.interpreter import PICKLE_SIZE_LIMIT
from airflow_runai.checkpoints.storage.listing import Listing

# One for each rank when it was written without collectives.
_METADATA = re.compile(r"(?:__\d+)?\.metadata")


def dcp_files(tree: Listing, folder: str = "") -> list[str]:
    """
    Files of a distributed checkpoint.

    :param folder: where it lies in the tree: ``""`` or a path that ends with ``/``.
    """
    inside = (
        name
        for name in sorted(tree.files)
        if name.startswith(folder) and "/" not in name[len(folder) :]
    )
    return [
        name
        for name in inside
        if name.endswith(".distcp") or _METADATA.fullmatch(name[len(folder) :])
    ]


def holds_dcp(tree: Listing, folder: str = "") -> bool:
    """Whether there is one, or what is left of one."""
    return not tree.single and bool(dcp_files(tree, folder))


def examine_dcp(tree: Listing, context: CheckContext, folder: str = "") -> list[str]:
    """
    Look at a distributed checkpoint; what is wrong with it is noted.

    :param folder: as for :func:`dcp_files`.
    :return: the files that belong to it.
    """
    files = dcp_files(tree, folder)
    metadata = [name for name in files if not name.endswith(".distcp")]
    for name in tree.files:
        if (
            name.startswith(folder)
            and name.endswith(".metadata.tmp")
            and "/" not in name[len(folder) :]
        ):
            context.note(
                "incomplete-marker",
                name,
                "present while the save is being finished; look again later",
            )
    if not metadata:
        text = "is missing; PyTorch writes it last, so the save was not finished"
        context.note("file-missing", f"{folder}.metadata", text)
    elif context.level >= 1:
        _examine_index(tree, context, folder, metadata)
    return files


def _examine_index(tree: Listing, context: CheckContext, folder: str, metadata: list[str]) -> None:
    index, name = Index(), ""
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
    for name in dcp_files(tree, folder):
        # A rank that had nothing to save leaves an empty file.
        if name.endswith(".distcp") and name not in by_file and tree.files[name].size:
            context.note(
                "shard-left-over", name, ".metadata does not name it; left over from another save"
            )
    steps: dict[str, set[int]] = {}

    def look(part: CheckContext, name: str) -> None:
        steps[name] = _examine_file(tree, part, name, by_file[name], index)

    side_by_side(tree, context, sorted(by_file), look)
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


def _examine_file(
    tree: Listing, context: CheckContext, name: str, items: list[Item], index: Index
) -> set[int]:
    """
    Look at one ``.distcp`` file.

    :return: the optimizer steps in it.
    """
    if name not in tree.files:
        context.note(
            "shard-missing",
            name,
            f".metadata puts {len(items)} pieces there, but the file is missing",
        )
        return set()
    try:
        with Source(tree.narrowed_to(name), context) as source:
            return _read_file(source, context, name, items, index)
    except FormatError as damage:
        context.note(damage.code, name, damage.message)
    return set()


def _read_file(
    source: Source, context: CheckContext, name: str, items: list[Item], index: Index
) -> set[int]:
    items = sorted(items, key=lambda item: (item.begin, item.end))
    blob = find_blob(source, context, name, items)
    plain = [item for item in items if blob is None or item.offsets is None]
    _check_places(plain, source.size if blob is None else blob.begin)
    packed = [item for item in plain if item.packed]
    if packed:
        text = f"{len(packed)} pieces are compressed ({shown(packed[0].place)} first); they were not read"
        context.note("not-examined", name, text)
    readable = [item for item in plain if not item.packed]
    reader = ItemReader(source, context, name, index)
    if blob is not None:
        blob.compare(index)
    if context.level >= 2:
        source.scan(chain(reader.spans(readable), [] if blob is None else blob.spans()))
        reader.close()
    else:
        for item in readable:
            reader.open(item)
    if context.level >= 2 and blob is not None:
        blob.close()
    return reader.steps


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
        text = f"the pieces end at byte {at}, the file has {size}"
        raise FormatError(
            "dcp-extent", f"{text}; it was cut, or written anew by a save that was not finished"
        )


def _compare_steps(steps: dict[str, set[int]], context: CheckContext) -> None:
    """
    Hold the ranks' optimizer steps against each other.

    Parameters that were trained later count fewer steps, and then one file alone shows more than
    one number.
    """
    counted = {name: max(found) for name, found in steps.items() if found}
    if not counted:
        return
    newest = max(counted, key=lambda name: counted[name])
    context.account.steps.append(StepClaim(f"optimizer in {newest}", counted[newest], "advisory"))
    if all(len(found) <= 1 for found in steps.values()):
        for name, step in counted.items():
            if step != counted[newest]:
                text = f"its optimizer is at step {step}, that of {newest} at {counted[newest]}"
                context.note("ranks-disagree", name, f"{text}; one of them belongs to another save")


def _detect(tree: Listing, context: CheckContext) -> bool:
    return holds_dcp(tree) and not tree.has_top_level("meta.pt")


def _examine(tree: Listing, context: CheckContext) -> None:
    examine_parts(tree, context, known=examine_dcp(tree, context))


DCP = Format("torch-dcp", _detect, _examine)
