"""
A ``checkpoint-N`` directory of the Hugging Face Trainer.

Many scripts use that name, so without ``trainer_state.json`` it takes a second sign that the
Trainer was at work. The Trainer writes files straight to their final names, ``trainer_state.json``
last, and resumes without a word when a part is missing (transformers 5.23, ``_save_checkpoint``).
So here completeness and agreement of steps are checked.
"""

from __future__ import annotations

import math
import re

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.containers.json_documents import read_object
from airflow_runai.checkpoints.formats.claims import claim, is_step
from airflow_runai.checkpoints.formats.deepspeed import examine_deepspeed, holds_deepspeed
from airflow_runai.checkpoints.formats.fsdp import examine_fsdp, holds_fsdp
from airflow_runai.checkpoints.formats.parts import examine_parts
from airflow_runai.checkpoints.formats.sharded import check_indices, indices
from airflow_runai.checkpoints.formats.trainer_steps import Log, bind_steps
from airflow_runai.checkpoints.storage.listing import Listing

_STATE = "trainer_state.json"
_NAME = re.compile(r"checkpoint-\d+")
# accelerate writes it last; who saves with accelerate (diffusers' scripts do) likes the names of
# the Trainer, too.
_ACCELERATE = re.compile(r"random_states_\d+\.pkl")
_ACCELERATES = ("optimizer.bin", "scheduler.bin")
_ARGUMENTS = "training_args.bin"
_OPTIMIZER = "optimizer.pt"
_SCHEDULER = "scheduler.pt"
_RANDOM = re.compile(r"rng_state(?:_(\d+))?\.pth")
_MODELS = (
    "model.safetensors",
    "pytorch_model.bin",
    "adapter_model.safetensors",
    "adapter_model.bin",
)
# What FSDP writes in place of optimizer.pt.
_FSDP_OPTIMIZER = re.compile(r"optimizer(?:_\d+)?(?:_rank\d+)?\.bin|optimizer_\d+/.*")


def _detect(tree: Listing, context: CheckContext) -> bool:
    if tree.single:
        return False
    if tree.has_top_level(_STATE):
        return True
    return _NAME.fullmatch(tree.root.name) is not None and _has_second_sign(tree)


def _has_second_sign(tree: Listing) -> bool:
    if any(map(_ACCELERATE.fullmatch, tree.files)):
        return False
    if tree.has_top_level(_ARGUMENTS) or any(map(_RANDOM.fullmatch, tree.files)):
        return True
    # accelerate before it is done.
    if all(map(tree.has_top_level, _ACCELERATES)):
        return True
    # A user's own script may write a scheduler.pt, too.
    return tree.has_top_level(_SCHEDULER) and _holds_model(tree)


def _holds_model(tree: Listing) -> bool:
    if any(map(tree.has_top_level, _MODELS)) or indices(tree):
        return True
    return holds_deepspeed(tree) or holds_fsdp(tree)


def _examine(tree: Listing, context: CheckContext) -> None:
    _check_completeness(tree, context)
    log = _check_state(tree, context)
    known = examine_deepspeed(tree, context) if holds_deepspeed(tree) else []
    examine_parts(tree, context, known=[*known, *examine_fsdp(tree, context)])
    check_indices(tree, context)
    # The Trainer names the directory after its own step.
    context.account.name_binds = True
    bind_steps(tree, context, log)


def _check_completeness(tree: Listing, context: CheckContext) -> None:
    """Level 0."""
    if not tree.has_top_level(_STATE):
        context.note(
            "file-missing",
            _STATE,
            "is missing; the Trainer writes it last, so the checkpoint was not finished",
        )
    if not _holds_model(tree):
        context.note(
            "file-missing",
            tree.label,
            f"no model; one of {', '.join(_MODELS)} or a sharded one is expected",
        )
    missing = _missing_states(tree)
    ranks = [match[1] for match in map(_RANDOM.fullmatch, tree.files) if match]
    if len(missing) == 2 and not ranks:
        context.note(
            "model-only",
            tree.label,
            "no optimizer, scheduler and random state (save_only_model); resuming starts anew",
        )
        return
    for name in missing:
        context.note(
            "file-missing", name, "is missing; the Trainer would silently resume with a fresh one"
        )
    _check_ranks(ranks, tree, context)


def _missing_states(tree: Listing) -> list[str]:
    # DeepSpeed keeps both in its own files.
    if holds_deepspeed(tree):
        return []
    missing = [name for name in (_OPTIMIZER, _SCHEDULER) if not tree.has_top_level(name)]
    if any(map(_FSDP_OPTIMIZER.fullmatch, tree.files)):
        return [name for name in missing if name != _OPTIMIZER]
    return missing


def _check_ranks(ranks: list[str | None], tree: Listing, context: CheckContext) -> None:
    """
    Check that each process left its random state.

    :param ranks: of the files; ``None`` of the one that a single process writes.
    """
    numbers = sorted(int(rank) for rank in ranks if rank)
    if not ranks:
        context.note(
            "random-state-missing",
            tree.label,
            "no rng_state; data order and dropout will differ after resuming",
        )
    elif numbers == list(range(len(numbers))):
        context.account.world_size = len(numbers) or 1
    else:
        context.note(
            "file-missing",
            tree.label,
            f"rng_state of ranks {numbers}; all ranks from 0 are expected",
        )


def _check_state(tree: Listing, context: CheckContext) -> Log | None:
    if context.level < 1 or not tree.has_top_level(_STATE):
        return None
    log = None
    with context.noting(_STATE):
        state = read_object(tree, context, _STATE)
        step = state.get("global_step")
        if not is_step(step):
            raise FormatError("json-malformed", "global_step is missing or not a number from 0")
        claim(context, _STATE, step)
        history = state.get("log_history")
        if isinstance(history, list) and any(map(_has_lost_loss, history)):
            context.note(
                "loss-non-finite", _STATE, "the loss became NaN or infinite during training"
            )
        log = Log.of(state)
    return log


def _has_lost_loss(entry: object) -> bool:
    # Not every entry has a loss: evaluations are logged, too.
    loss = entry.get("loss") if isinstance(entry, dict) else None
    return isinstance(loss, float) and not math.isfinite(loss)


TRAINER = Format("huggingface-trainer", _detect, _examine)
