"""Files inside a checkpoint directory: each is opened by its own format, every other one is only summed."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from airflow_runai.checkpoints.access import is_remote
from airflow_runai.checkpoints.examination import Damage, Examination
from airflow_runai.checkpoints.reader import Source
from airflow_runai.checkpoints.tree import Tree

__all__ = ["WEIGHTS", "examine_parts", "holds_weights"]

#: Endings of files that hold weights or training state.
WEIGHTS = (
    *(".pt", ".pth", ".ckpt", ".bin", ".safetensors"),
    *(".keras", ".h5", ".hdf5", ".npz", ".gguf", ".onnx"),
)

#: Files of one checkpoint on an object store that are looked at at the same time.
SIDE_BY_SIDE = 4


def examine_parts(tree: Tree, seen: Examination, known: Collection[str] = ()) -> None:
    """
    Look at every file of a directory; one that cannot be read does not hide the others.

    On an object store several are looked at side by side, because there waiting for the network is what takes time.

    :param known: files that were looked at already; what has not been read of them is only summed.
    """
    if seen.level == 0:
        return
    names = sorted(tree.files)
    if not is_remote(tree.root) or len(names) < 2:
        for name in names:
            _examine_part(tree, seen, name, known)
        return
    with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="checkpoint-part") as workers:
        for part in workers.map(lambda name: _examine_apart(tree, seen, name, known), names):
            seen.join(part)


def _examine_apart(tree: Tree, seen: Examination, name: str, known: Collection[str]) -> Examination:
    part = seen.fork()
    if name in seen.crcs:
        part.crcs[name] = seen.crcs[name]
    _examine_part(tree, part, name, known)
    return part


def _examine_part(tree: Tree, seen: Examination, name: str, known: Collection[str]) -> None:
    part = tree.only(name)
    if tree.files[name].size and name not in known:
        seen.examine(part)
    if seen.level >= 2 and name not in seen.crcs:
        _sum(part, seen)


def holds_weights(name: str) -> bool:
    """Whether a file name is one of weights or training state."""
    return name.endswith(WEIGHTS)


def _sum(part: Tree, seen: Examination) -> None:
    try:
        with Source(part, seen) as source:
            source.scan([])
    except Damage as damage:
        seen.note(damage.code, part.label, damage.message)
