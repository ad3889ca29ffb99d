"""
A training by Lightning, as a researcher writes it: resumes, publishes, leaves when preempted.

    python -m tests.training.lightning_program FOLDER STEPS SECONDS_PER_STEP [plain]

With ``plain`` it is left to Lightning itself, to see what that does.
"""

# mypy: ignore-errors
# (written against libraries that are not installed where the types are checked)
from __future__ import annotations

import hashlib
import os
import sys
import time

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from airflow_runai.training.lightning_trainer import (
    LeaveWhenPreempted,
    PublishingCheckpointIO,
    newest_checkpoint,
)
from airflow_runai.training.preemptible import PreemptionGuard

BATCHES = 4


class Loader:
    """Shuffled batches that a checkpoint can rewind, which Lightning asks of a loader for exact resuming."""

    def __init__(self) -> None:
        self.epoch, self.at = 0, 0

    def __len__(self) -> int:
        return BATCHES

    def __iter__(self):
        if self.at == BATCHES:
            self.epoch, self.at = self.epoch + 1, 0
        order = torch.randperm(
            BATCHES, generator=torch.Generator().manual_seed(self.epoch)
        ).tolist()
        while self.at < BATCHES:
            self.at += 1
            yield torch.linspace(0, 1 + order[self.at - 1], 12).view(4, 3)

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.at = state["epoch"], state["at"]


class Model(lightning.LightningModule):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(3, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 2)
        )

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        print(f"step {self.global_step}", flush=True)
        time.sleep(self.seconds)
        return (self.layers(batch) - 1).square().mean()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


def main(folder: str, steps: int, seconds: float, plain: bool = False) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = Model(seconds)
    saves = ModelCheckpoint(folder, every_n_train_steps=3, save_top_k=-1)
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
    }
    quiet["devices"] = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if plain:
        lightning.Trainer(max_steps=steps, callbacks=[saves], **quiet).fit(model, Loader())
        return
    with PreemptionGuard() as guard:
        trainer = lightning.Trainer(
            max_steps=steps,
            callbacks=[LeaveWhenPreempted(guard, folder), saves],
            plugins=[PublishingCheckpointIO()],
            **quiet,
        )
        found = newest_checkpoint(folder)
        print(f"resumed {found}", flush=True)
        trainer.fit(model, Loader(), ckpt_path=found)
    data = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
    print(f"weights {hashlib.sha256(data).hexdigest()}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), plain=sys.argv[4:] == ["plain"])
