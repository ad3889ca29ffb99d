"""
A training by the Hugging Face Trainer, as a researcher writes it: resumes, publishes, leaves when preempted.

    python -m tests.training.huggingface_program FOLDER STEPS SECONDS_PER_STEP
"""

# mypy: ignore-errors
# (written against libraries that are not installed where the types are checked)
from __future__ import annotations

import hashlib
import sys
import time

import torch
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

from airflow_runai.training.huggingface_trainer import PublishCheckpoints, newest_checkpoint
from airflow_runai.training.preemptible import PreemptionGuard


class Tokens(Dataset):
    def __len__(self) -> int:
        return 48

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        ids = (torch.arange(8) * (1 + index % 5) + index) % 16
        return {"input_ids": ids, "labels": ids}


class Pace(TrainerCallback):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_step_begin(self, args, state, control, **kwargs):
        print(f"step {state.global_step}", flush=True)
        time.sleep(self.seconds)


def main(folder: str, steps: int, seconds: float) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=16, n_positions=8))
    arguments = TrainingArguments(
        folder,
        max_steps=steps,
        save_steps=3,
        save_total_limit=2,
        per_device_train_batch_size=8,
        report_to=[],
        use_cpu=True,
        logging_steps=1,
        disable_tqdm=True,
    )
    with PreemptionGuard() as guard:
        callbacks = [Pace(seconds), PublishCheckpoints(guard)]
        trainer = Trainer(model, arguments, train_dataset=Tokens(), callbacks=callbacks)
        found = newest_checkpoint(folder)
        print(f"resumed {found}", flush=True)
        trainer.train(resume_from_checkpoint=found)
        if guard.should_stop:
            guard.exit()
    data = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
    print(f"weights {hashlib.sha256(data).hexdigest()}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
