"""
A directory with weights in it, of no known trainer: whatever the user's script or ``save_pretrained`` left there.

Every file is opened by its own format. What should be there, nobody can know without a manifest.
"""

from __future__ import annotations

import re

from airflow_runai.checkpoints.examination import Examination, Format
from airflow_runai.checkpoints.formats.parts import examine_parts, holds_weights
from airflow_runai.checkpoints.tree import Tree

__all__ = ["DIRECTORY"]

_PUBLISHED_NAME = re.compile(r"step-\d{8,}")


def _detect(tree: Tree, seen: Examination) -> bool:
    return not tree.single and any(holds_weights(name) for name in tree.files)


def _examine(tree: Tree, seen: Examination) -> None:
    if _PUBLISHED_NAME.fullmatch(tree.root.name) and not seen.apart:
        seen.note(
            "manifest-missing", tree.label, "manifest.json is missing; whether all files are there cannot be proven"
        )
    examine_parts(tree, seen)


DIRECTORY = Format("directory", _detect, _examine)
