"""
Verifiable checkpoints of Lightning, and a Trainer that leaves in time with the right exit code.

Lightning's own save is atomic only if /tmp and the checkpoints are on one device, which no pod with
a mounted volume has (lightning 2.6); on SIGTERM it exits with code 0, which means "finished" to
Run:ai. The plugin here writes beside the target, makes it durable, adds a manifest and renames. A
checkpoint ``epoch=1-step=40.ckpt`` becomes a directory of that name with ``state.ckpt`` in it; load
that file in other programs. The callback saves on SIGTERM, and leaves.

For strategies in which rank 0 writes everything (single device, DDP). FSDP and DeepSpeed write
their shards themselves and do not use this plugin. Lightning neither rewinds the data within an
epoch (give it a loader with ``state_dict``) nor restores random generators; the latter is done
here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    from airflow_runai.training import preemptible

    Callback = object
    CheckpointIO = object
    StrPath = str | os.PathLike[str]
else:
    try:
        import preemptible  # copied beside this file into the image
    except ModuleNotFoundError:
        from airflow_runai.training import preemptible
    try:
        from lightning.pytorch import Callback
        from lightning.pytorch.plugins import CheckpointIO
    except ModuleNotFoundError:
        Callback = CheckpointIO = object

__all__ = ["LeaveWhenPreempted", "PublishingCheckpointIO", "newest_checkpoint"]

_STATE = "state.ckpt"


def newest_checkpoint(folder: StrPath) -> str | None:
    """
    Find the newest valid checkpoint, or ``None``, for ``trainer.fit(…, ckpt_path=…)``.

    :param folder: the ``dirpath`` of ``ModelCheckpoint``. Names without ``step=N`` are ignored.
    :raises OSError: if the directory cannot be listed, which is no reason to start from scratch.
    """
    checkpoint = preemptible.newest_valid(folder)
    return None if checkpoint is None else str(checkpoint.path)


class PublishingCheckpointIO(CheckpointIO):
    """
    Save all or nothing: ``Trainer(plugins=[PublishingCheckpointIO()])``.

    On mounted storage only; a URL such as ``s3://…`` is refused.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: StrPath, storage_options: Any = None
    ) -> None:
        """
        Write the state into a directory of this name.

        :raises ValueError: for storage options, and for a URL instead of a path.
        """
        if storage_options is not None:
            raise ValueError(
                f"storage_options={storage_options!r}: not supported; mount the storage"
            )
        target = _local(path)
        with preemptible.save_checkpoint(
            target.parent,
            checkpoint.get("global_step", 0),
            epoch=checkpoint.get("epoch"),
            framework="lightning",
            name=target.name,
        ) as folder:
            self._dump(checkpoint, folder / _STATE)

    def load_checkpoint(
        self,
        path: StrPath,
        map_location: Any = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """
        Verify and read a state; a file that Lightning itself wrote is read without verification.

        :raises CheckpointVerificationError: if anything is missing, additional or different.
        """
        source = _local(path)
        if source.is_dir():
            preemptible.verify(source)
            source = source / _STATE
        return self._load(source, map_location, weights_only)

    def remove_checkpoint(self, path: StrPath) -> None:
        """Rename, then delete: a deletion that dies half-way must not look like a checkpoint."""
        preemptible.discard(_local(path))

    def _dump(self, checkpoint: dict[str, Any], path: Path) -> None:
        import torch  # here, so that the rest can be tested without it

        torch.save(checkpoint, path)

    def _load(self, path: Path, map_location: Any, weights_only: bool | None) -> dict[str, Any]:
        import torch

        state: dict[str, Any] = torch.load(
            path, map_location or "cpu", weights_only=bool(weights_only)
        )
        return state


class LeaveWhenPreempted(Callback):
    """
    On SIGTERM save ``preempted-step=N.ckpt`` and leave with the guard's code.

    It saves when the optimizer step ends. All ranks leave together. With a single rank each
    checkpoint contains PyTorch's random generators. The signal is not noticed within a validation.

    :param guard: created before the Trainer; Lightning's own handler is replaced while it trains.
    :param folder: where to save: the ``dirpath`` of ``ModelCheckpoint``.
    """

    def __init__(self, guard: preemptible.PreemptionGuard, folder: StrPath) -> None:
        self.guard, self.folder = guard, Path(folder)
        self._random: dict[str, Any] | None = None
        self._step = 0

    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        """Take the signal from Lightning, whose handler ends the process with code 0."""
        self.guard.listen()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Take the signal from Lightning, and let ranks agree when to stop."""
        self.guard.listen()
        self._step = trainer.global_step
        if trainer.world_size > 1 and self.guard.agree is None:
            self.guard.agree = lambda mine: bool(
                trainer.strategy.reduce_boolean_decision(mine, all=False)
            )

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Restore the random generators; any earlier, loaders would advance them."""
        if self._random is not None and trainer.world_size == 1:  # the saved ones are rank 0's
            _set_random(self._random)
        self._random = None

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check for the signal between optimizer steps, to keep accumulated gradients."""
        stop, stepped = self.guard.should_stop, trainer.global_step != self._step
        self._step = trainer.global_step
        if stop and stepped:
            self._leave(trainer)

    def _leave(self, trainer: Any) -> None:
        name = f"preempted-step={trainer.global_step}.ckpt"
        trainer.save_checkpoint(self.folder / name)  # on all ranks; it ends with a barrier
        if trainer.is_global_zero:
            self._discard_earlier(name)
        self.guard.exit()

    def _discard_earlier(self, newest: str) -> None:
        # Lightning rotates only the checkpoints that it names itself.
        for path in self.folder.glob("preempted-step=*.ckpt"):
            if path.name != newest:
                preemptible.discard(path)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Leave with the guard's code if Lightning noticed the signal first."""
        exited = isinstance(exception, SystemExit) and exception.code is None
        if exited and self.guard.deadline is not None:
            self.guard.exit()

    def state_dict(self) -> dict[str, Any]:
        """Return PyTorch's random generators; called by Lightning with each save."""
        import torch

        return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep them until training continues; called by Lightning when it resumes."""
        self._random = state_dict


def _set_random(state: dict[str, Any]) -> None:
    import torch

    torch.set_rng_state(state["cpu"])
    if len(state["cuda"]) == torch.cuda.device_count():  # resumed on another node, maybe
        torch.cuda.set_rng_state_all(state["cuda"])


def _local(path: StrPath) -> Path:
    if "://" in str(path):
        expected = "a path on mounted storage is expected; a rename must be atomic"
        raise ValueError(f"checkpoint path {path}: {expected}")
    return Path(path)
