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
from airflow_runai.checkpoints.checking.step_claim import StepClaim
from airflow_runai.checkpoints.checking.steps import step_in_name
from airflow_runai.checkpoints.containers.json_documents import read_object
from airflow_runai.checkpoints.formats.dcp import examine_dcp, holds_dcp
from airflow_runai.checkpoints.formats.parts import examine_parts
from airflow_runai.checkpoints.formats.pointer import follow
from airflow_runai.checkpoints.formats.torch_file import examine_part
from airflow_runai.checkpoints.storage.listing import Listing

_POINTER = "latest_checkpointed_iteration.txt"
_METADATA = "metadata.json"
_COMMON = "common.pt"


def _iterations(tree: Listing) -> dict[str, str]:
    """Return what the pointer may say and the folder it means: 40 is ``iter_0000040``."""
    folders = {name.partition("/")[0] for name in tree.files if "/" in name}
    numbered = {
        str(step_in_name(name)): name
        for name in folders
        if name.startswith("iter_") and step_in_name(name)
    }
    if "release" in folders:
        numbered["release"] = "release"
    return numbered


def _detect(tree: Listing, context: CheckContext) -> bool:
    if tree.single:
        return False
    if tree.has_top_level(_POINTER) and _iterations(tree):
        return any(_is_distributed(tree, f"{folder}/") for folder in _iterations(tree).values())
    return _is_distributed(tree, "")


def _is_distributed(tree: Listing, folder: str) -> bool:
    names = [name for name in (_METADATA, _COMMON) if folder + name in tree.files]
    return len(names) == 2 or (len(names) == 1 and holds_dcp(tree, folder))


def _examine(tree: Listing, context: CheckContext) -> None:
    iterations = _iterations(tree) if tree.has_top_level(_POINTER) else {}
    folder = ""
    if iterations:
        chosen = follow(tree, context, _POINTER, iterations)
        folder, step = f"{chosen}/", step_in_name(chosen)
        if step is not None:
            context.account.steps.append(StepClaim(f"the name {chosen!r}", step))
    examine_parts(tree, context, known=_examine_iteration(tree, context, folder))


def _examine_iteration(tree: Listing, context: CheckContext, folder: str) -> list[str]:
    """Check one iteration; return the files that are checked completely."""
    missing = [name for name in (_METADATA, _COMMON) if folder + name not in tree.files]
    for name in missing:
        context.note("file-missing", folder + name, "is missing; the save was not finished")
    backend = (
        "torch_dist"
        if _METADATA in missing or context.level < 1
        else _backend(tree, context, folder + _METADATA)
    )
    if backend is None:
        return []
    if backend != "torch_dist":
        text = f"backend {shown(backend)}; only torch_dist is read"
        context.note("not-examined", folder + _METADATA, text)
        return []
    known = examine_dcp(tree, context, folder)
    if _COMMON not in missing:
        examine_part(
            tree, context, folder + _COMMON, lambda root: _claim(context, folder + _COMMON, root)
        )
    return [*known, folder + _COMMON]


def _backend(tree: Listing, context: CheckContext, name: str) -> str | None:
    try:
        backend = read_object(tree, context, name).get("sharded_backend")
    except FormatError as damage:
        context.note(damage.code, name, damage.message)
        return None
    return backend if isinstance(backend, str) else shown(backend)


def _claim(context: CheckContext, name: str, root: object) -> None:
    iteration = root.get("iteration") if isinstance(root, dict) else None
    if type(iteration) is int and iteration >= 0:
        context.account.steps.append(StepClaim(f"iteration in {name}", iteration))


MEGATRON = Format("megatron", _detect, _examine)
