"""
Distributed checkpoints of Megatron-core: a folder for each iteration with PyTorch's inside.

Beside that lie ``common.pt`` and ``metadata.json``, which is written when all ranks are done;
above, in ``latest_checkpointed_iteration.txt``, the number of the iteration.

Read are both a folder and the directory above. Not read: the ``zarr`` backend of old versions, and
checkpoints that are not distributed (``mp_rank_00/model_optim_rng.pt``), which pass as directories
of files.
"""

from __future__ import annotations

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.steps import step_in_name
from airflow_runai.checkpoints.containers.json_documents import read_object
from airflow_runai.checkpoints.formats.claims import claim, is_step
from airflow_runai.checkpoints.formats.dcp import examine_dcp, holds_dcp
from airflow_runai.checkpoints.formats.parts import examine_parts
from airflow_runai.checkpoints.formats.pointer import follow
from airflow_runai.checkpoints.formats.torch_file import examine_part
from airflow_runai.checkpoints.storage.listing import Listing

_POINTER = "latest_checkpointed_iteration.txt"
_METADATA = "metadata.json"
_COMMON = "common.pt"
_BACKEND = "torch_dist"


def _iterations(tree: Listing) -> dict[str, str]:
    """Return what the pointer may say and the folder it means: 40 is ``iter_0000040``."""
    folders = {name.partition("/")[0] for name in tree.files if "/" in name}
    numbered = {}
    for name in folders:
        step = step_in_name(name)
        if name.startswith("iter_") and step:
            numbered[str(step)] = name
    # A converted checkpoint, of no iteration.
    if "release" in folders:
        numbered["release"] = "release"
    return numbered


def _detect(tree: Listing, context: CheckContext) -> bool:
    if tree.single:
        return False
    folders = _iterations(tree) if tree.has_top_level(_POINTER) else {}
    if folders:
        return any(_is_distributed(tree, f"{folder}/") for folder in folders.values())
    return _is_distributed(tree, "")


def _is_distributed(tree: Listing, folder: str) -> bool:
    present = [folder + name in tree.files for name in (_METADATA, _COMMON)]
    # Either name alone is common; beside PyTorch's files it tells.
    return all(present) or (any(present) and holds_dcp(tree, folder))


def _examine(tree: Listing, context: CheckContext) -> None:
    iterations = _iterations(tree) if tree.has_top_level(_POINTER) else {}
    folder = follow(tree, context, _POINTER, iterations) + "/" if iterations else ""
    examine_parts(tree, context, known=_examine_iteration(tree, context, folder))


def _examine_iteration(tree: Listing, context: CheckContext, folder: str) -> list[str]:
    """Check one iteration; return the files that are checked completely."""
    metadata = folder + _METADATA
    common = folder + _COMMON
    missing = [name for name in (metadata, common) if name not in tree.files]
    for name in missing:
        context.note("file-missing", name, "is missing; the save was not finished")
    if metadata not in missing and context.level >= 1 and not _is_read(tree, context, metadata):
        return []
    known = examine_dcp(tree, context, folder)
    if common not in missing:
        examine_part(tree, context, common, lambda root: _claim(context, common, root))
    return [*known, common]


def _is_read(tree: Listing, context: CheckContext, metadata: str) -> bool:
    """Whether the values are written as PyTorch writes them; notes it if not."""
    is_read = False
    with context.noting(metadata):
        backend = read_object(tree, context, metadata).get("sharded_backend")
        is_read = backend == _BACKEND
        if not is_read:
            # A text is quoted, another value is rendered as text before.
            value = backend if isinstance(backend, str) else shown(backend)
            raise FormatError("not-examined", f"backend {shown(value)}; only {_BACKEND} is read")
    return is_read


def _claim(context: CheckContext, name: str, root: object) -> None:
    iteration = root.get("iteration") if isinstance(root, dict) else None
    if is_step(iteration):
        claim(context, f"iteration in {name}", iteration)


MEGATRON = Format("megatron", _detect, _examine)
