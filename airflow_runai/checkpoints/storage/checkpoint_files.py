"""
The files of one checkpoint, also if it is neither one file nor one directory.

A TensorFlow prefix is an index and its data files. It is named after its index, ``ckpt-12.index``,
or by the prefix itself. Its listing is that of a directory with only these files, so that no other
module needs to know.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_runai.checkpoints.storage.listing import (
    Listing,
    Location,
    OnError,
    list_tree,
    stat_entry,
)

INDEX = ".index"
ENTRY_LIMIT = 10_000


def list_checkpoint(
    path: Location, limit: int = ENTRY_LIMIT, on_error: OnError = lambda name, error: None
) -> Listing:
    """
    List a checkpoint as :func:`list_tree` does, with the files that belong to an index.

    :param limit: maximum number of entries, those beside the checkpoint included.
    :raises OSError: if the checkpoint itself cannot be read.
    """
    try:
        tree = list_tree(path, limit, on_error)
    except FileNotFoundError:
        path = _index_of(path)
        tree = list_tree(path, limit, on_error)
    if not tree.single or not path.name.endswith(INDEX):
        return tree
    files = dict(_files_of_index(path, limit + 1))
    bundle = Listing(path, path.name, truncated=len(files) > limit)
    for name, child in sorted(files.items()):
        try:
            bundle.add(name, stat_entry(child))
        except Exception as error:
            on_error(name, error)
    return bundle


def files_of(checkpoint: Path) -> list[Path]:
    """
    Return what must be moved to move a checkpoint: itself, or an index and then its data files.

    :raises OSError: if it cannot be read.
    """
    if checkpoint.is_dir() or checkpoint.is_symlink():
        return [checkpoint]
    tree = list_checkpoint(checkpoint)
    files = [checkpoint.with_name(name) for name in (*tree.files, *tree.others)]
    return sorted(files, key=lambda file: (not file.name.endswith(INDEX), file.name))


def _index_of(prefix: Any) -> Any:
    """Return the index of a prefix; without one the prefix, whose listing fails again."""
    index = prefix.parent / (prefix.name + INDEX)
    try:
        stat_entry(index)
    except OSError:
        return prefix
    return index


def _files_of_index(index: Any, limit: int) -> Iterator[tuple[str, Any]]:
    prefix = index.name.removesuffix(INDEX)
    for child in index.parent.iterdir():
        if child.name == index.name or child.name.startswith(f"{prefix}.data-"):
            limit -= 1
            if limit < 0:
                return
            yield child.name, child
