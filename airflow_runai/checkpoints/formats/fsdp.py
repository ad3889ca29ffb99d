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
_WORLD_LIMIT = 1_000_000
_FULL = re.compile(r"pytorch_model_fsdp(?:_\d+)?\.bin")
_FOLDER = re.compile(r"pytorch_model_fsdp_\d+")
_RANK = re.compile(
    r"(pytorch_model_fsdp(?:_\d+)?|optimizer(?:_\d+)?|.*_world_size_(\d+))_rank_?(\d+)\.(?:bin|pt)"
)


def _folders(tree: Listing) -> list[str]:
    """Return the folders that hold, or should hold, a distributed checkpoint as a part."""
    folders = {name.rpartition("/")[0] for name in tree.files if "/" in name}
    return sorted(f"{folder}/" for folder in folders if _is_part(tree, folder))


def _is_part(tree: Listing, folder: str) -> bool:
    # A folder with a step in its name is a checkpoint of its own.
    if step_in_name(folder.rpartition("/")[2]) is not None:
        return False
    return bool(dcp_files(tree, f"{folder}/")) or _FOLDER.fullmatch(folder) is not None


def holds_fsdp(tree: Listing) -> bool:
    """Whether there are files of FSDP training."""
    if tree.single:
        return False
    top = [name for name in tree.files if "/" not in name]
    return bool(_folders(tree)) or any(map(_FULL.fullmatch, top)) or any(map(_RANK.fullmatch, top))


def examine_fsdp(tree: Listing, context: CheckContext) -> list[str]:
    """
    Check the distributed checkpoints inside, and that the ranks are complete.

    :return: files that are checked completely.
    """
    known = []
    for folder in _folders(tree):
        known += examine_dcp(tree, context, folder)
    _check_ranks(tree, context)
    return known


def _check_ranks(tree: Listing, context: CheckContext) -> None:
    by_stem: dict[tuple[str, str], set[int]] = {}
    for match in filter(None, map(_RANK.fullmatch, tree.files)):
        stem, size, rank = match.groups()
        # Digits without end would make a number too large to count up to.
        by_stem.setdefault((stem, size), set()).add(int(rank[:9]))
    for (stem, size), ranks in by_stem.items():
        count = min(int(size[:9]), _WORLD_LIMIT) if size else len(ranks)
        if ranks != set(range(count)):
            context.note(
                "rank-missing",
                stem,
                f"ranks {sorted(ranks)[:20]} of {size or len(ranks)}; all from 0 are expected",
            )


def _detect(tree: Listing, context: CheckContext) -> bool:
    return holds_fsdp(tree) or (holds_dcp(tree) and tree.has_top_level(_META))


def _examine(tree: Listing, context: CheckContext) -> None:
    known = examine_dcp(tree, context) if holds_dcp(tree) else []
    if tree.has_top_level(_META):
        # Lightning's keys without weights and optimizers, which lie in the other files.
        examine_part(tree, context, _META, lambda root: None)
        # Lightning writes both at once, so that its step binds.
        steps = context.account.steps
        for at, claim in enumerate(steps):
            if claim.place == f"global_step in {_META}":
                steps[at] = replace(claim, weight="binding")
        known.append(_META)
    examine_parts(tree, context, known=[*known, *examine_fsdp(tree, context)])


FSDP = Format("fsdp", _detect, _examine)
