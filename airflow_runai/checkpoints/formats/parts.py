"""Files inside a checkpoint directory: each is opened by its own format, every other one is only summed."""

from __future__ import annotations

from collections.abc import Collection

from airflow_runai.checkpoints.examination import Damage, Examination
from airflow_runai.checkpoints.reader import Source
from airflow_runai.checkpoints.tree import Tree

__all__ = ["WEIGHTS", "examine_parts", "holds_weights"]

#: Endings of files that hold weights or training state.
WEIGHTS = (
    *(".pt", ".pth", ".ckpt", ".bin", ".safetensors"),
    *(".keras", ".h5", ".hdf5", ".npz", ".gguf", ".onnx"),
)


def examine_parts(tree: Tree, seen: Examination, known: Collection[str] = ()) -> None:
    """
    Look at every file of a directory; one that cannot be read does not hide the others.

    :param known: files that were looked at already; what has not been read of them is only summed.
    """
    if seen.level == 0:
        return
    for name in sorted(tree.files):
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
