"""A bare pickle. It is walked to say whether loading it would run something; nothing in it proves its bytes."""

from __future__ import annotations

from airflow_runai.checkpoints.examination import Examination, Format
from airflow_runai.checkpoints.pickle_globals import note_globals
from airflow_runai.checkpoints.pickle_machine import PICKLE_SIZE_LIMIT, load_inert
from airflow_runai.checkpoints.pickle_values import walk
from airflow_runai.checkpoints.reader import Source
from airflow_runai.checkpoints.tree import Tree

__all__ = ["PICKLE_FILE"]


def _detect(tree: Tree, seen: Examination) -> bool:
    if not tree.single:
        return False
    with Source(tree, seen) as source:
        head = source.at(0, min(2, source.size))
    if tree.label.endswith((".pkl", ".pickle")):
        return head != b"PK"  # accelerate's random_states_0.pkl is a file of torch.save
    return len(head) == 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def _examine(tree: Tree, seen: Examination) -> None:
    if seen.level < 1:
        return
    with Source(tree, seen) as source:
        data = source.at(0, min(source.size, PICKLE_SIZE_LIMIT + 1))
    met: dict[tuple[str, str], None] = {}
    try:
        root = load_inert(data, lambda module, name: met.setdefault((module, name)))
        del data
        for _ in walk(root):
            pass
    finally:
        note_globals(met, tree.label, seen)
    if source.name not in seen.proven_elsewhere:
        seen.note("pickle-no-checksum", tree.label, "a pickle holds no checksum; damage to the bytes cannot be seen")


PICKLE_FILE = Format("pickle", _detect, _examine)
