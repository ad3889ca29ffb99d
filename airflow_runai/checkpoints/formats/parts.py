"""Files inside a checkpoint directory: each is opened by its own format, every other one is only summed."""

from __future__ import annotations

from airflow_runai.checkpoints.examination import Damage, Examination
from airflow_runai.checkpoints.reader import Source
from airflow_runai.checkpoints.tree import Tree

__all__ = ["examine_parts", "holds_weights"]


def examine_parts(tree: Tree, seen: Examination) -> None:
    """Look at every file of a directory; one that cannot be read does not hide the others."""
    if seen.level == 0:
        return
    for name in sorted(tree.files):
        part = tree.only(name)
        if tree.files[name].size:
            seen.examine(part)
        if seen.level >= 2 and name not in seen.crcs:
            _sum(part, seen)


def holds_weights(name: str) -> bool:
    """Whether a file name is one of weights or training state."""
    return name.endswith((".pt", ".pth", ".ckpt", ".bin", ".safetensors"))


def _sum(part: Tree, seen: Examination) -> None:
    try:
        with Source(part, seen) as source:
            source.scan([])
    except Damage as damage:
        seen.note(damage.code, part.label, damage.message)
