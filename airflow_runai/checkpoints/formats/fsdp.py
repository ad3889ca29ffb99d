"""
FSDP checkpoints that are more than one distributed checkpoint or one full file.

Read are the directories of Lightning (a distributed checkpoint and ``meta.pt``), of accelerate and
the Hugging Face Trainer (distributed checkpoints in folders ``pytorch_model_fsdp_0`` and
``optimizer_0``, or full files of these names), and one file for each rank, as accelerate's local
state and ``…_world_size_8_rank_0.pt`` are.
"""

from __future__ import annotations

import re
from dataclasses import replace

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.steps import step_in_name
from airflow_runai.checkpoints.formats.dcp import dcp_files, examine_dcp, holds_dcp
from airflow_runai.checkpoints.formats.parts import examine_parts
from airflow_runai.checkpoints.formats.torch_file import examine_part
from airflow_runai.checkpoints.storage.listing import Listing

_META = "meta.pt"
_FULL = re.compile(r"pytorch_model_fsdp(?:_\d+)?\.bin")
_FOLDER = re.compile(r"(pytorch_model_fsdp_\d+)/[^/]+")
_RANK = re.compile(
    r"(pytorch_model_fsdp(?:_\d+)?|optimizer(?:_\d+)?|.*_world_size_(\d+))_rank_?(\d+)\.(?:bin|pt)"
)


def _folders(tree: Listing) -> list[str]:
    """Return the folders that hold, or should hold, a distributed checkpoint as a part."""
    inside = {name.rpartition("/")[0] + "/" for name in tree.files if "/" in name}
    parts = {
        folder for folder in inside if step_in_name(folder.rstrip("/").rpartition("/")[2]) is None
    }
    return sorted(
        folder for folder in parts if dcp_files(tree, folder) or _FOLDER.fullmatch(f"{folder}x")
    )


def holds_fsdp(tree: Listing) -> bool:
    """Whether there are files of FSDP training."""
    if tree.single:
        return False
    names = [name for name in tree.files if "/" not in name]
    return bool(_folders(tree)) or any(
        _FULL.fullmatch(name) or _RANK.fullmatch(name) for name in names
    )


def examine_fsdp(tree: Listing, context: CheckContext) -> list[str]:
    """
    Check the distributed checkpoints inside, and that the ranks are complete.

    :return: files that are checked completely.
    """
    known = [name for folder in _folders(tree) for name in examine_dcp(tree, context, folder)]
    ranks: dict[tuple[str, str], set[int]] = {}
    for match in filter(None, map(_RANK.fullmatch, tree.files)):
        ranks.setdefault((match[1], match[2]), set()).add(int(match[3][:9]))
    for (stem, size), found in ranks.items():
        count = min(int(size[:9]), 1_000_000) if size else len(found)
        if found != set(range(count)):
            text = f"ranks {sorted(found)[:20]} of {size or len(found)}; all from 0 are expected"
            context.note("rank-missing", stem, text)
    return known


def _detect(tree: Listing, context: CheckContext) -> bool:
    return holds_fsdp(tree) or (holds_dcp(tree) and tree.has_top_level(_META))


def _examine(tree: Listing, context: CheckContext) -> None:
    known = examine_dcp(tree, context) if holds_dcp(tree) else []
    if tree.has_top_level(_META):
        # Lightning's keys without weights and optimizers, which lie in the other files.
        examine_part(tree, context, _META, lambda root: None)
        context.account.steps[:] = [
            replace(claim, weight="binding") if claim.place == f"global_step in {_META}" else claim
            for claim in context.account.steps
        ]
        known.append(_META)
    examine_parts(tree, context, known=[*known, *examine_fsdp(tree, context)])


FSDP = Format("fsdp", _detect, _examine)
