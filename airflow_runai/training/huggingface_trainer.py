"""
Checkpoints of the Hugging Face Trainer that can be proven, and a Trainer that leaves in time.

The Trainer writes ``checkpoint-N`` in place, and resumes from one that lacks its optimizer without
a word (transformers 5.23). The callback here marks each as incomplete while it is written, and
publishes it after its last file: durable, with a manifest over every byte. The Trainer's own
rotation deletes older checkpoints before that moment, so ``save_total_limit`` is taken over.

It starts no training and knows nothing of models. Copy it beside preemptible.py (and ranks.py for
several ranks). The Trainer is only met through its callback interface, so this file can be read
and tried without it. A hyper-parameter search, which saves elsewhere, is not covered.
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

_INCOMPLETE = "checkpoint-is-incomplete.txt"  # the Trainer's own name for it, known to readers
_MANIFEST = "manifest.json"
_STATE = "trainer_state.json"
_RANDOM = re.compile(r"rng_state_(\d+)\.pth")


def newest_checkpoint(output_dir: str | os.PathLike[str]) -> str | None:
    """
    Find what to give to ``trainer.train(resume_from_checkpoint=…)``: the newest that proves itself, or ``None``.

    :raises OSError: if the directory cannot be listed, which is no reason to start from scratch.
    """
    found = preemptible.newest_valid(output_dir)
    return None if found is None else str(found.path)


class PublishCheckpoints(TrainerCallback):
    """
    Publish each checkpoint of the Trainer; on SIGTERM ask for one, and for the end of the training.

    After ``trainer.train()`` leave with ``if guard.should_stop: guard.exit()``. What is due in the
    step of the signal, save and stop apart, is left out: an evaluation could outlast the grace. The
    signal is seen when an optimizer step ends, not within an evaluation.

    :param guard: with several ranks it gets ``ranks.any_rank`` to agree by, if it has nothing yet.
    """

    def __init__(self, guard: preemptible.PreemptionGuard) -> None:
        self.guard = guard
        self._keep: int | None = None
        self._published: int | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """
        Take over the rotation, and let ranks agree when to stop.

        :raises ValueError: if the Trainer is to save on SIGTERM, too: it would, without telling us.
        """
        if getattr(args, "enable_jit_checkpoint", False):
            raise ValueError(
                "TrainingArguments: enable_jit_checkpoint=True: switch it off, PublishCheckpoints does it"
            )
        self._keep, args.save_total_limit = args.save_total_limit or self._keep, None
        self._published = state.global_step  # what was resumed from is not written over
        if args.world_size > 1 and self.guard.agree is None:
            self.guard.agree = _any_rank

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After every optimizer step: look for the signal, prepare a save that is due."""
        if self.guard.should_stop:
            control.should_save = control.should_training_stop = True
            control.should_evaluate = False
        if control.should_save and self._published == state.global_step:
            control.should_save = False  # an epoch that ends with a saved step
        elif control.should_save:
            self._prepare(_folder(args, state), args, state)

    on_epoch_end = on_step_end

    def _prepare(self, folder: Path, args: Any, state: Any) -> None:
        """
        Remove what a dead training left under this name, and mark what is about to be written.
        """
        if state.is_world_process_zero:
            preemptible.discard(folder)
            folder.mkdir(parents=True)
            (folder / _INCOMPLETE).write_text(
                "The Trainer is writing; manifest.json comes last.\n", encoding="utf-8"
            )
        _wait_for_all(args)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Publish what the Trainer has written, and only then delete older ones."""
        _wait_for_all(args)
        if state.is_world_process_zero:
            folder = _folder(args, state)
            write_trainer_manifest(folder, state, 1 if args.save_only_model else args.world_size)
            if self._keep is not None:
                rotate(folder, self._keep, state.best_model_checkpoint)
        self._published = state.global_step
        _wait_for_all(
            args
        )  # who leaves first takes the launcher, and with it the publishing rank, along


def write_trainer_manifest(folder: Path, state: Any, world_size: int) -> None:
    """
    Write the manifest of a directory that the Trainer has filled.

    :raises RuntimeError: if the Trainer's last file, or the random state of a rank, is not there.
    """
    names = [
        name for name in preemptible.files_below(folder) if name not in (_INCOMPLETE, _MANIFEST)
    ]
    ranks = {_rank(name) for name in names}
    if _STATE not in names or (world_size > 1 and ranks != set(range(world_size))):
        raise RuntimeError(
            f"{folder}: {names}: expected {_STATE}, and rng_state_K.pth of all {world_size} ranks"
        )
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
    Delete the checkpoints older than one just published, but the last ``keep`` (with it) and the best.

    What is newer by number, left by a training that was resumed further back, is written over in
    time.
    """
    step = int(newest.name.rsplit("-", 1)[1])
    found = {
        int(path.name.rsplit("-", 1)[1]): path for path in newest.parent.glob("checkpoint-*[0-9]")
    }
    older = [found[number] for number in sorted(found, reverse=True) if number < step]
    for path in older[max(keep, 1) - 1 :]:
        if best is None or path.resolve() != Path(best).resolve():
            preemptible.discard(path)


def metrics_of(history: list[dict[str, Any]]) -> dict[str, float]:
    """The last finite value of each number that the Trainer has logged."""
    flat = {name: value for entry in history for name, value in entry.items()}
    numbers = {
        name: float(value) for name, value in flat.items() if isinstance(value, (int, float))
    }
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def _folder(args: Any, state: Any) -> Path:
    return Path(args.output_dir, f"checkpoint-{state.global_step}")


def _rank(name: str) -> int:
    """Who wrote a file: random states tell, the rest counts as the first rank's."""
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
