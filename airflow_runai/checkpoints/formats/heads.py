"""The first bytes of a file, by which formats recognise it: read once, whoever asks."""

from __future__ import annotations

from airflow_runai.checkpoints.examination import Examination
from airflow_runai.checkpoints.reader import Source
from airflow_runai.checkpoints.tree import Tree

__all__ = ["first_member", "head"]

_SIZE = 512


def head(tree: Tree, seen: Examination) -> bytes:
    """
    Return the first 512 bytes of a file, fewer if it is shorter; nothing of a directory.

    :raises Damage: when it cannot be read.
    """
    if not tree.single or not tree.files:
        return b""
    if tree.label not in seen.heads:
        with Source(tree, seen) as source:
            seen.heads[tree.label] = source.at(0, min(source.size, _SIZE))
    return seen.heads[tree.label]


def first_member(tree: Tree, seen: Examination) -> str:
    """Name of the first member of a zip file; empty when it is none."""
    data = head(tree, seen)
    if not data.startswith(b"PK\3\4") or len(data) < 30:
        return ""
    return data[30 : 30 + int.from_bytes(data[26:28], "little")].decode("utf-8", "replace")
