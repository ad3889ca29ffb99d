"""
A model in several files with an index, such as ``model.safetensors.index.json``.

The index says which tensor lies in which file. It is written last, but not atomically, and files of
an earlier sharding may lie beside it, so index and files must name exactly the same tensors.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TypeGuard

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.containers.json_documents import read_object
from airflow_runai.checkpoints.formats.parts import examine_parts
from airflow_runai.checkpoints.storage.listing import Listing

_ENDINGS = (".safetensors.index.json", ".bin.index.json")
_SHARD = re.compile(r"([^/]+)-(\d{5})-of-(\d{5})(\.safetensors|\.bin)")


def indices(tree: Listing) -> list[str]:
    """Return the index files at the top of the directory."""
    if tree.single:
        return []
    return sorted(name for name in tree.files if "/" not in name and name.endswith(_ENDINGS))


def _without_index(tree: Listing) -> list[str]:
    """Return the indices that are missing although their shards are there."""
    if tree.single:
        return []
    indexed = tuple(name.removesuffix(".index.json") for name in indices(tree))
    missing = set()
    for match in filter(None, map(_SHARD.fullmatch, tree.files)):
        stem, _, count, ending = match.groups()
        # An index says itself which shards it means; here any of that ending will do.
        if int(count) > 1 and not any(name.endswith(ending) for name in indexed):
            missing.add(f"{stem}{ending}.index.json")
    return sorted(missing)


def check_indices(tree: Listing, context: CheckContext) -> None:
    """Compare every index with the tensors of its files, which are checked before."""
    for name in _without_index(tree):
        context.note(
            "file-missing",
            name,
            "is missing, but its shards are there; it is written last, so that was not done",
        )
    for name in indices(tree):
        with context.noting(name):
            _check_index(tree, context, name)


def _check_index(tree: Listing, context: CheckContext, name: str) -> None:
    if context.level < 1:
        return
    promised = _promised(read_object(tree, context, name).get("weight_map"))
    for shard, tensors in promised.items():
        text = f"{name} puts {len(tensors)} tensors there"
        present = context.account.tensor_names.get(shard)
        if shard not in tree.files:
            context.note("shard-missing", shard, f"{text}, but the file is missing")
        elif present is not None:
            _compare(context, name, shard, present, tensors)
        # A shard that is refused has no names, and a finding of its own.
        elif not context.refused:
            context.note("index-mismatch", shard, f"{text}; it is of no known format")
    _note_left_over(tree, context, name, promised)


def _note_left_over(
    tree: Listing, context: CheckContext, index: str, promised: Collection[str]
) -> None:
    stem = index.partition(".")[0] + "-"
    for name in tree.files.keys() - set(promised):
        if name.startswith(stem) and not name.endswith(".json"):
            context.note(
                "shard-left-over", name, f"{index} does not name it; left over from another save"
            )


def _promised(weight_map: object) -> dict[str, set[str]]:
    """Return the tensors of each shard."""
    if not isinstance(weight_map, dict) or not weight_map:
        raise FormatError(
            "index-mismatch", "weight_map is missing or empty; it maps tensor names to file names"
        )
    promised: dict[str, set[str]] = {}
    for tensor, shard in weight_map.items():
        if not _is_plain_name(shard):
            raise FormatError(
                "index-mismatch",
                f"tensor {shown(tensor)} is put into {shown(shard)}; plain file names are allowed",
            )
        promised.setdefault(shard, set()).add(tensor)
    return promised


def _is_plain_name(name: object) -> TypeGuard[str]:
    if not isinstance(name, str) or name in ("", ".", ".."):
        return False
    return "/" not in name and "\\" not in name


def _compare(
    context: CheckContext, index: str, shard: str, present: frozenset[str], promised: set[str]
) -> None:
    lost = sorted(promised - present)[:3]
    extra = sorted(present - promised)[:3]
    if lost or extra:
        context.note(
            "index-mismatch",
            shard,
            f"{index} and {shard} name different tensors "
            f"(only in the index: {lost}; only in the file: {extra}); "
            "they belong to different saves",
        )


def _detect(tree: Listing, context: CheckContext) -> bool:
    return bool(indices(tree) or _without_index(tree))


def _examine(tree: Listing, context: CheckContext) -> None:
    examine_parts(tree, context)
    check_indices(tree, context)


SHARDED = Format("sharded", _detect, _examine)
