"""
Checkpoints that are neither one file nor one directory: a TensorFlow prefix, which is an index and its data files.

Such a one goes by the name of its index, ``ckpt-12.index``, or by the prefix itself; its listing is
that of a directory that holds nothing but its own files, so that everything else (changes while it
is read, digest, formats) need not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from airflow_runai.checkpoints.storage.listing import Listing, Location, list_tree, stat_entry

INDEX = ".index"
MAX_COMPANIONS = 10_000


def list_checkpoint(
    path: Location, limit: int, on_error: Callable[[str, Exception], None]
) -> Listing:
    """
    List a checkpoint as :func:`list_tree` does, companions included.

    :param limit: number of entries to list at most, those beside the checkpoint included.
    :param on_error: told the relative path and the error of everything that could not be looked at.
    :raises OSError: when the checkpoint itself cannot be looked at.
    """
    try:
        tree = list_tree(path, limit, on_error)
    except FileNotFoundError:
        path = _index_of(path)
        tree = list_tree(path, limit, on_error)
    if not tree.single or not path.name.endswith(INDEX):
        return tree
    found = dict(_companions(path, limit + 1))
    bundle = Listing(path, path.name, truncated=len(found) > limit)
    for name, child in sorted(found.items()):
        try:
            entry = stat_entry(child)
        except Exception as error:
            on_error(name, error)
            continue
        (bundle.files if entry.kind == "file" else bundle.others)[name] = entry
    return bundle


def files_of(checkpoint: Path) -> list[Path]:
    """
    What must be moved to move a checkpoint: itself, or an index and then its data files.

    :raises OSError: when it cannot be looked at.
    """
    if checkpoint.is_dir() or checkpoint.is_symlink():
        return [checkpoint]
    tree = list_checkpoint(checkpoint, MAX_COMPANIONS, lambda name, error: None)
    found = [checkpoint.with_name(name) for name in (*tree.files, *tree.others)]
    return sorted(found, key=lambda piece: (not piece.name.endswith(INDEX), piece.name))


def _index_of(prefix: Any) -> Any:
    """Return the index of a prefix that is no file itself; if there is none, looking at the prefix says so again."""
    index = prefix.parent / (prefix.name + INDEX)
    try:
        stat_entry(index)
    except OSError:
        return prefix
    return index


def _companions(index: Any, limit: int) -> Iterator[tuple[str, Any]]:
    prefix = index.name.removesuffix(INDEX)
    for child in index.parent.iterdir():
        if child.name == index.name or child.name.startswith(f"{prefix}.data-"):
            limit -= 1
            if limit < 0:
                return
            yield child.name, child
