"""
Checkpoints of TensorFlow: ``PREFIX.index``, ``PREFIX.data-*`` and the text ``checkpoint``.

Proven to the last byte by CRC32Cs that TensorFlow writes and checks too. The index is written last,
so data without one was never finished. Several prefixes may lie in one directory;
:mod:`~airflow_runai.checkpoints.storage.checkpoint_files` makes one of them a checkpoint of its
own, under the name of its index.
"""

from __future__ import annotations

import re

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.containers.leveldb import FOOTER_SIZE, MAGIC
from airflow_runai.checkpoints.formats.bundle import Bundle, BundleEntry, Sum, read_bundle
from airflow_runai.checkpoints.formats.parts import examine_parts
from airflow_runai.checkpoints.formats.runs import Run, enter_runs, in_order, read_runs
from airflow_runai.checkpoints.storage.listing import Listing

_STATE = "checkpoint"
_STATE_LIMIT = 1024 * 1024
_SHARD = re.compile(r"(.+)\.data-(\d{5})-of-(\d{5})")
_NEWEST = re.compile(rb'^model_checkpoint_path:\s*"([^"\n]*)"', re.MULTILINE)
# Values may be aligned to a page (``BundleWriter::Options::data_alignment``).
_GAP = 4096


def _detect(tree: Listing, context: CheckContext) -> bool:
    return not tree.single and any(True for _ in _prefixes(tree, context))


def _prefixes(tree: Listing, context: CheckContext) -> dict[str, None]:
    """All prefixes, in order: by their data, and by an index that ends as one does."""
    found: dict[str, None] = {}
    for name in sorted(tree.files):
        shard = _SHARD.fullmatch(name)
        if shard is not None:
            found[shard[1]] = None
        elif name.endswith(".index") and _ends_as_table(tree.narrowed_to(name), context):
            found[name.removesuffix(".index")] = None
    return found


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
        text = "no model_checkpoint_path in it; it was cut or overwritten"
        context.note("tensorflow-state", _STATE, text)
    elif f"{_last_part(match[1])}.index" not in {name.rpartition("/")[2] for name in tree.files}:
        text = f"names {shown(match[1].decode('utf-8', 'replace'))}, which is not there"
        context.note("tensorflow-state", _STATE, f"{text}; name a prefix that is")


def _last_part(path: bytes) -> str:
    return path.decode("utf-8", "replace").rpartition("/")[2]


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
        _check_shards(prefix, {int(match[3]) for match in matches}, tree)
        if context.level >= 1:
            _examine_bundle(tree, context, prefix)
    return own


def _check_shards(prefix: str, counts: set[int], tree: Listing) -> None:
    """Level 0; names alone."""
    if len(counts) != 1:
        raise FormatError(
            "shard-missing", f"data in {sorted(counts)} shards; one number of shards is expected"
        )
    for name in _shards(prefix, *counts):
        if name not in tree.files:
            raise FormatError("shard-missing", f"{name} is missing")


def _shards(prefix: str, count: int) -> list[str]:
    return [f"{prefix}.data-{number:05d}-of-{count:05d}" for number in range(count)]


def _examine_bundle(tree: Listing, context: CheckContext, prefix: str) -> None:
    with Source(tree.narrowed_to(f"{prefix}.index"), context) as source:
        bundle = read_bundle(source)
        if context.level >= 2:
            source.scan([])
    by_shard: dict[int, list[BundleEntry]] = {}
    for entry in bundle.entries:
        by_shard.setdefault(entry.shard, []).append(entry)
    for number, name in enumerate(_shards(prefix, bundle.shards)):
        if name not in tree.files:
            raise FormatError("shard-missing", f"{name} is missing")
        with context.noting(name):
            _examine_shard(tree.narrowed_to(name), context, bundle, by_shard.get(number, []))


def _examine_shard(
    part: Listing, context: CheckContext, bundle: Bundle, entries: list[BundleEntry]
) -> None:
    entries = sorted(entries, key=lambda entry: (entry.begin, entry.end))
    with Source(part, context) as source:
        runs = in_order([_run(entry, bundle) for entry in entries], source.size, "tensorflow-data")
        _check_gaps(runs, source.size)
        enter_runs(runs, context, part.label)
        if context.level >= 2:
            _read_shard(source, context, part.label, bundle, entries)


def _run(entry: BundleEntry, bundle: Bundle, summed: Sum | None = None) -> Run:
    return Run(
        name=entry.name,
        dtype=entry.type_name,
        shape=entry.shape,
        kind=entry.kind,
        begin=entry.begin,
        end=entry.end,
        byteorder=bundle.byteorder,
        sum=summed.feed if summed else None,
    )


def _check_gaps(runs: list[Run], size: int) -> None:
    at = 0
    for run in runs:
        if run.begin - at >= _GAP:
            raise FormatError(
                "tensorflow-data", f"{run.begin - at} bytes at {at} belong to no tensor"
            )
        at = run.end
    if at != size:
        raise FormatError(
            "tensorflow-data",
            f"the tensors end at byte {at}, the file at {size}; something was appended",
        )


def _read_shard(
    source: Source, context: CheckContext, label: str, bundle: Bundle, entries: list[BundleEntry]
) -> None:
    """Levels 2 and 3."""
    sums = [Sum(entry, source, bundle.byteorder) for entry in entries]
    runs = [_run(entry, bundle, summed) for entry, summed in zip(entries, sums, strict=True)]
    contents = read_runs(source, runs, context)
    for content, entry, summed in zip(contents, entries, sums, strict=True):
        name = f"tensor {shown(entry.name)}"
        if not summed.proves and source.name not in context.account.manifest_verified:
            text = f"{name} ({entry.type_name}) is summed in a way that is not known here"
            context.note("tensorflow-unproven", label, text)
        elif summed.proves and summed.value != entry.crc:
            text = f"{name} is damaged: its CRC32C does not match"
            context.note("tensorflow-crc", label, text)
        elif context.level >= 3:
            content.note(context, label)


TENSORFLOW = Format("tensorflow", _detect, _examine)
