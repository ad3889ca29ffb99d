"""
Checkpoints of TensorFlow: ``PREFIX.index``, ``PREFIX.data-*`` and the text ``checkpoint``.

Proven to the last byte by CRC32Cs that TensorFlow writes and checks too. The index is written last,
so data without one was never finished. Several prefixes may lie in one directory;
:mod:`~airflow_runai.checkpoints.storage.checkpoint_files` makes one of them a checkpoint of its
own, under the name of its index.
"""

from __future__ import annotations

import re
from dataclasses import replace

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.float_layouts import ByteOrder
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.checking.tensor_content import TensorContent
from airflow_runai.checkpoints.containers.leveldb import FOOTER_SIZE, MAGIC
from airflow_runai.checkpoints.formats.bundle import BundleEntry, Sum, read_bundle
from airflow_runai.checkpoints.formats.parts import examine_parts
from airflow_runai.checkpoints.formats.runs import Run, by_place, enter_runs, in_order, read_runs
from airflow_runai.checkpoints.storage.listing import Listing

_CODE = "tensorflow-data"
_STATE = "checkpoint"
_STATE_LIMIT = 1024 * 1024
_SHARD = re.compile(r"(.+)\.data-(\d{5})-of-(\d{5})")
_NEWEST = re.compile(rb'^model_checkpoint_path:\s*"([^"\n]*)"', re.MULTILINE)
# Values may be aligned to a page (``BundleWriter::Options::data_alignment``).
_GAP = 4096


def _detect(tree: Listing, context: CheckContext) -> bool:
    return not tree.single and bool(_prefixes(tree, context))


def _prefixes(tree: Listing, context: CheckContext) -> list[str]:
    """All prefixes, in order: by their data, and by an index that ends as one does."""
    # A dictionary, because a set forgets the order.
    prefixes: dict[str, None] = {}
    for name in sorted(tree.files):
        shard = _SHARD.fullmatch(name)
        if shard is not None:
            prefixes[shard[1]] = None
        # Other programs call their files .index, too.
        elif name.endswith(".index") and _ends_as_table(tree.narrowed_to(name), context):
            prefixes[name.removesuffix(".index")] = None
    return list(prefixes)


def _ends_as_table(part: Listing, context: CheckContext) -> bool:
    with Source(part, context) as source:
        return source.size >= FOOTER_SIZE and source.at(source.size - 8, 8) == MAGIC


def _examine(tree: Listing, context: CheckContext) -> None:
    done: set[str] = set()
    for prefix in _prefixes(tree, context):
        done |= examine_bundle(tree, context, prefix)
    if context.level >= 1 and tree.has_top_level(_STATE):
        _check_state(tree, context)
    examine_parts(tree, context, done)


def _check_state(tree: Listing, context: CheckContext) -> None:
    # tf.train.latest_checkpoint follows this text, and finds nothing if the prefix is not there.
    with Source(tree.narrowed_to(_STATE), context) as source:
        match = _NEWEST.search(source.at(0, min(source.size, _STATE_LIMIT)))
    if match is None:
        context.note(
            "tensorflow-state", _STATE, "no model_checkpoint_path in it; it was cut or overwritten"
        )
        return
    path = match[1].decode("utf-8", "replace")
    # The path may be of the machine that wrote it; only its last part can be found here.
    index = f"{_last_part(path)}.index"
    if index not in map(_last_part, tree.files):
        context.note(
            "tensorflow-state",
            _STATE,
            f"names {shown(path)}, which is not there; name a prefix that is",
        )


def _last_part(path: str) -> str:
    return path.rpartition("/")[2]


def examine_bundle(tree: Listing, context: CheckContext, prefix: str) -> set[str]:
    """
    Check one prefix.

    :param prefix: relative to the directory.
    :return: the files that belong to it, all of which are checked.
    """
    index = f"{prefix}.index"
    matches = [match for match in map(_SHARD.fullmatch, tree.files) if match and match[1] == prefix]
    own = {match[0] for match in matches}
    with context.noting(index):
        if index not in tree.files:
            raise FormatError(
                "file-missing",
                f"{index} is missing; it is written last, so {prefix} was not finished",
            )
        own.add(index)
        counts = {int(match[3]) for match in matches}
        if len(counts) != 1:
            raise FormatError(
                "shard-missing",
                f"data in {sorted(counts)} shards; one number of shards is expected",
            )
        _check_shards(tree, prefix, *counts)
        if context.level >= 1:
            _examine_bundle(tree, context, prefix)
    return own


def _check_shards(tree: Listing, prefix: str, count: int) -> None:
    for name in _shards(prefix, count):
        if name not in tree.files:
            raise FormatError("shard-missing", f"{name} is missing")


def _shards(prefix: str, count: int) -> list[str]:
    return [f"{prefix}.data-{number:05d}-of-{count:05d}" for number in range(count)]


def _examine_bundle(tree: Listing, context: CheckContext, prefix: str) -> None:
    with Source(tree.narrowed_to(f"{prefix}.index"), context) as source:
        bundle = read_bundle(source)
        if context.level >= 2:
            source.scan([])
    # The index has the last word about the number that the names state.
    _check_shards(tree, prefix, bundle.shards)
    by_shard: dict[int, list[BundleEntry]] = {}
    for entry in bundle.entries:
        by_shard.setdefault(entry.shard, []).append(entry)
    for number, name in enumerate(_shards(prefix, bundle.shards)):
        entries = sorted(by_shard.get(number, []), key=by_place)
        with context.noting(name), Source(tree.narrowed_to(name), context) as source:
            _examine_shard(source, context, entries, bundle.byteorder)


def _examine_shard(
    source: Source, context: CheckContext, entries: list[BundleEntry], byteorder: ByteOrder
) -> None:
    runs = [_run(entry, byteorder) for entry in entries]
    runs = in_order(runs, source.size, _CODE)
    _check_gaps(runs, source.size)
    enter_runs(runs, context, source.name)
    if context.level < 2:
        return
    checksums = [Sum(entry, source, byteorder) for entry in entries]
    summed_runs = [
        replace(run, sum=checksum.feed) for run, checksum in zip(runs, checksums, strict=True)
    ]
    contents = read_runs(source, summed_runs, context)
    for checksum, content in zip(checksums, contents, strict=True):
        _judge(source.name, context, checksum, content)


def _run(entry: BundleEntry, byteorder: ByteOrder) -> Run:
    return Run(
        name=entry.name,
        dtype=entry.type_name,
        shape=entry.shape,
        kind=entry.kind,
        begin=entry.begin,
        end=entry.end,
        byteorder=byteorder,
    )


def _check_gaps(runs: list[Run], size: int) -> None:
    at = 0
    for run in runs:
        gap = run.begin - at
        if gap >= _GAP:
            raise FormatError(_CODE, f"{gap} bytes at {at} belong to no tensor")
        at = run.end
    if at != size:
        raise FormatError(
            _CODE, f"the tensors end at byte {at}, the file at {size}; something was appended"
        )


def _judge(label: str, context: CheckContext, checksum: Sum, content: TensorContent) -> None:
    """Levels 2 and 3: compare the sum; the numbers of damaged bytes mean nothing."""
    entry = checksum.entry
    name = f"tensor {shown(entry.name)}"
    if not checksum.proves and label not in context.account.manifest_verified:
        context.note(
            "tensorflow-unproven",
            label,
            f"{name} ({entry.type_name}) is summed in a way that is not known here",
        )
    elif checksum.proves and checksum.value != entry.crc:
        context.note("tensorflow-crc", label, f"{name} is damaged: its CRC32C does not match")
    elif context.level >= 3:
        content.note(context, label)


TENSORFLOW = Format("tensorflow", _detect, _examine)
