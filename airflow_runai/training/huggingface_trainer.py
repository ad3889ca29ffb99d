"""
Verifiable checkpoints of the Hugging Face Trainer, and a Trainer that leaves in time.

The Trainer writes ``checkpoint-N`` in place, and resumes without a warning from one that lacks its
optimizer (transformers 5.23). The callback here marks each checkpoint as incomplete while it is
written, and publishes it after its last file: durable, with a manifest over every byte. The
Trainer's own rotation deletes older checkpoints before that, so the callback takes over
``save_total_limit``.

It starts no training and knows nothing of models. Copy it beside preemptible.py (and ranks.py for
several ranks). It uses only the Trainer's callback interface, so it can be imported without
transformers. A hyper-parameter search, which saves elsewhere, is not covered.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    from airflow_runai.training import preemptible

    TrainerCallback = object
else:
    try:
        import preemptible  # copied beside this file into the image
    except ModuleNotFoundError:
        from airflow_runai.training import preemptible
    try:
        from transformers import TrainerCallback
    except ModuleNotFoundError:
        TrainerCallback = object

__all__ = ["PublishCheckpoints", "newest_checkpoint"]

_INCOMPLETE = "checkpoint-is-incomplete.txt"  # the Trainer's own name, which readers know
_MANIFEST = "manifest.json"
_STATE = "trainer_state.json"
_RANDOM = re.compile(r"rng_state_(\d+)\.pth")


def newest_checkpoint(output_dir: str | os.PathLike[str]) -> str | None:
    """
    Find the newest valid checkpoint, or ``None``, for ``trainer.train(resume_from_checkpoint=…)``.

    :raises OSError: if the directory cannot be listed, which is no reason to start from scratch.
    """
    checkpoint = preemptible.newest_valid(output_dir)
    return None if checkpoint is None else str(checkpoint.path)


class PublishCheckpoints(TrainerCallback):
    """
    Publish each checkpoint of the Trainer; on SIGTERM save one more and end the training.

    After ``trainer.train()`` leave with ``if guard.should_stop: guard.exit()``. An evaluation due
    in the step of the signal is skipped: it could outlast the grace period. The signal is seen when
    an optimizer step ends, not within an evaluation.

    :param guard: with several ranks, ``guard.agree`` is set to ``ranks.any_rank`` if it is not set.
    """

    def __init__(self, guard: preemptible.PreemptionGuard) -> None:
        self.guard = guard
        self._keep: int | None = None
        self._published: int | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """
        Take over the rotation, and let ranks agree when to stop.

        :raises ValueError: if the Trainer is to save on SIGTERM, too: its save calls no callback.
        """
        if getattr(args, "enable_jit_checkpoint", False):
            raise ValueError(
                "TrainingArguments: enable_jit_checkpoint=True: "
                "switch it off, PublishCheckpoints does it"
            )
        self._keep, args.save_total_limit = args.save_total_limit or self._keep, None
        self._published = state.global_step  # the checkpoint resumed from is not overwritten
        if args.world_size > 1 and self.guard.agree is None:
            self.guard.agree = _any_rank

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Check for the signal after each optimizer step, and prepare a save that is due."""
        if self.guard.should_stop:
            control.should_save = control.should_training_stop = True
            control.should_evaluate = False
        if control.should_save and self._published == state.global_step:
            control.should_save = False  # an epoch that ends with a saved step
        elif control.should_save:
            self._prepare(_folder(args, state), args, state)

    on_epoch_end = on_step_end

    def _prepare(self, folder: Path, args: Any, state: Any) -> None:
        """Remove the left-over of a dead training under this name, and mark the new directory."""
        if state.is_world_process_zero:
            preemptible.discard(folder)
            folder.mkdir(parents=True)
            (folder / _INCOMPLETE).write_text(
                "The Trainer is writing; manifest.json comes last.\n", encoding="utf-8"
            )
        _wait_for_all(args)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Publish the checkpoint that the Trainer has written, then delete older ones."""
        _wait_for_all(args)
        if state.is_world_process_zero:
            folder = _folder(args, state)
            write_trainer_manifest(folder, state, 1 if args.save_only_model else args.world_size)
            if self._keep is not None:
                rotate(folder, self._keep, state.best_model_checkpoint)
        self._published = state.global_step
        # The first rank to leave ends the launcher, and with it the rank that publishes.
        _wait_for_all(args)


def write_trainer_manifest(folder: Path, state: Any, world_size: int) -> None:
    """
    Write the manifest of a directory that the Trainer has filled.

    :raises RuntimeError: if the Trainer's last file, or the random state of a rank, is missing.
    """
    names = _files_of_trainer(folder, world_size)
    about = preemptible.describe(
        state.global_step,
        epoch=int(state.epoch or 0),
        framework="transformers",
        metrics=metrics_of(state.log_history),
        world_size=world_size,
    )
    entries = [dict(preemptible.fsync_and_sum(folder, name), rank=_rank(name)) for name in names]
    for old in (_MANIFEST, _INCOMPLETE):
        (folder / old).unlink(missing_ok=True)
    preemptible.write_manifest(folder, about, entries)


def rotate(newest: Path, keep: int, best: str | None) -> None:
    """
    Delete checkpoints older than ``newest``, except the last ``keep`` (with it) and the best.

    Those with a higher step were left by a training that was resumed further back; it overwrites
    them in time.
    """
    by_step = {_step(path): path for path in newest.parent.glob("checkpoint-*[0-9]")}
    older = [by_step[step] for step in sorted(by_step, reverse=True) if step < _step(newest)]
    # The newest is one of those that are kept.
    for path in older[max(keep, 1) - 1 :]:
        if best is None or path.resolve() != Path(best).resolve():
            preemptible.discard(path)


def metrics_of(history: list[dict[str, Any]]) -> dict[str, float]:
    """Return the last value of each number that the Trainer has logged, if it is finite."""
    last: dict[str, Any] = {}
    for entry in history:
        last.update(entry)
    numbers = {name: value for name, value in last.items() if isinstance(value, (int, float))}
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}


def _folder(args: Any, state: Any) -> Path:
    return Path(args.output_dir, f"checkpoint-{state.global_step}")


def _files_of_trainer(folder: Path, world_size: int) -> list[str]:
    own = (_INCOMPLETE, _MANIFEST)
    names = [name for name in preemptible.files_below(folder) if name not in own]
    ranks = {_rank(name) for name in names}
    if _STATE not in names or (world_size > 1 and ranks != set(range(world_size))):
        raise RuntimeError(
            f"{folder}: {names}: expected {_STATE}, and rng_state_K.pth of all {world_size} ranks"
        )
    return names


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[1])


def _rank(name: str) -> int:
    """Return the writer of a file: random states name it, other files count as the first rank's."""
    match = _RANDOM.fullmatch(name)
    return int(match[1]) if match else 0


def _wait_for_all(args: Any) -> None:
    if args.world_size > 1:
        import torch.distributed  # here, because a single rank does not need it

        torch.distributed.barrier()


def _any_rank(mine: bool) -> bool:
    try:
        from ranks import any_rank  # type: ignore[import-not-found]  # copied beside this file into the image
    except ModuleNotFoundError:
        from airflow_runai.training.ranks import any_rank
    return bool(any_rank(mine))
