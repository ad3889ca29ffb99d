"""
Make everyday checkpoints that were once refused for their names, with the real libraries; run by hand.

    python -m venv /tmp/golden /tmp/golden/bin/pip install torch==2.13.0 numpy safetensors
    transformers accelerate lightning msgpack joblib scipy /tmp/golden/bin/python
    tests/checkpoints/everyday/make.py

Writes beside itself, together with VERSIONS. Seeds are fixed.
"""

# mypy: ignore-errors
# (written against libraries that are not installed where the types are checked)
from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import joblib
import lightning
import msgpack
import numpy as np
import scipy.sparse
import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))
from make import Model, Pairs, Tokens

HERE = Path(__file__).parent


def header_of_640_bytes() -> None:
    """An ordinary network whose header begins as a pickle does."""
    layers = [torch.nn.Linear(3, 2) for _ in range(5)]
    state = {
        f"layers.{i}.{kind}": value
        for i, layer in enumerate(layers)
        for kind, value in layer.state_dict().items()
    }
    for room in range(800):
        save_file(state, HERE / "adapter.safetensors", {"format": "pt", "note": "x" * room})
        if int.from_bytes((HERE / "adapter.safetensors").read_bytes()[:8], "little") & 0xFF == 0x80:
            return
    raise SystemExit("no header of such a length")


def own_loops() -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    folder = HERE / "checkpoint-500"
    folder.mkdir(exist_ok=True)
    torch.save(model.state_dict(), folder / "model.pt")
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    config = GPT2Config(n_embd=4, n_layer=1, n_head=1, vocab_size=8, n_positions=4)
    GPT2LMHeadModel(config).save_pretrained(HERE / "pretrained" / "checkpoint-500")


def numbers_that_are_no_weights() -> None:
    buffer = torch.full((8, 4), float("nan"))
    buffer[:2], buffer[6:], buffer[:, 1] = 1.0, 2.0, 3.0
    model = {
        **torch.nn.Linear(3, 2).state_dict(),
        "normalizer.std": torch.tensor([1.0, float("nan")]),
        "policy.low": torch.full((2,), float("-inf")),
        "policy.high": torch.full((2,), float("inf")),
        "attn.alibi_bias": torch.tensor([0.5, 1.0, float("-inf")]),
    }
    state = {
        "model": model,
        "history": torch.tensor([0.5, float("nan")]),
        "val_min": torch.tensor(float("inf")),
    }
    torch.save({**state, "parts": [buffer[:2], buffer[6:], buffer[:, 1]]}, HERE / "numbers.pt")
    torch.save(
        {"model": {"embeddings.mask_token": torch.full((2,), float("nan"))}}, HERE / "mask_token.pt"
    )


def pickles() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    torch.save(model, HERE / "whole.pt", _use_new_zipfile_serialization=False)
    torch.save(
        {"w": torch.ones(2)},
        HERE / "protocol1.pt",
        pickle_protocol=1,
        _use_new_zipfile_serialization=False,
    )
    sparse, masked = scipy.sparse.eye(3).tocsr(), np.ma.masked_array([1.0, 2.0], [False, True])
    torch.save({"sparse": sparse, "masked": masked}, HERE / "scientific.pt")


def formats_that_are_not_read() -> None:
    weights = {"kernel": np.ones((2, 2), np.float32).tobytes(), "step": 7}
    (HERE / "state.msgpack").write_bytes(msgpack.packb(weights))
    np.save(HERE / "array.npy", np.arange(8.0))
    joblib.dump({"w": np.ones(3)}, HERE / "model.joblib")
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),))
    torch.export.save(program, HERE / "program.pt2")


class CountsEpochs(Model):
    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        self.log("step", float(self.current_epoch))
        return super().training_step(batch)


def lightning_file() -> None:
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
        trainer = lightning.Trainer(
            max_epochs=2, default_root_dir=folder, accelerator="cpu", **quiet
        )
        trainer.fit(CountsEpochs(), DataLoader(Pairs()))
        (found,) = Path(folder).rglob("*.ckpt")
        shutil.copy(found, HERE / found.name)


def resumed_trainer() -> None:
    """Resumed from ``save_only_model``: optimizer and scheduler began anew at step 3."""
    config = GPT2Config(n_embd=4, n_layer=1, n_head=1, vocab_size=16, n_positions=8)
    common = {"report_to": [], "use_cpu": True, "logging_steps": 1}
    with tempfile.TemporaryDirectory() as folder:
        first = TrainingArguments(folder, max_steps=3, save_steps=3, save_only_model=True, **common)
        Trainer(GPT2LMHeadModel(config), first, train_dataset=Tokens()).train()
        second = TrainingArguments(folder, max_steps=7, save_steps=7, **common)
        Trainer(GPT2LMHeadModel(config), second, train_dataset=Tokens()).train(
            resume_from_checkpoint=f"{folder}/checkpoint-3"
        )
        shutil.copytree(Path(folder) / "checkpoint-7", HERE / "checkpoint-7", dirs_exist_ok=True)


if __name__ == "__main__":
    torch.manual_seed(0)
    np.random.seed(0)
    header_of_640_bytes()
    own_loops()
    numbers_that_are_no_weights()
    pickles()
    formats_that_are_not_read()
    lightning_file()
    resumed_trainer()
    names = (
        "torch",
        "safetensors",
        "numpy",
        "scipy",
        "transformers",
        "lightning",
        "msgpack",
        "joblib",
    )
    lines = [f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)]
    (HERE / "VERSIONS").write_text("\n".join(lines) + "\n")
