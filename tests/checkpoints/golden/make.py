"""
Make the golden checkpoints with the real libraries; run by hand, in an environment of its own.

    python -m venv /tmp/golden
    /tmp/golden/bin/pip install torch==2.13.0 numpy safetensors transformers accelerate lightning
    /tmp/golden/bin/python tests/checkpoints/golden/make.py

Writes beside itself, together with VERSIONS. All data is random with a fixed seed.
"""

# mypy: ignore-errors
# (written against libraries that are not installed where the types are checked)
from __future__ import annotations

import platform
import shutil
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import lightning
import torch
import torch.utils.serialization
from safetensors.torch import save_file
from torch.utils.data import DataLoader, Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

HERE = Path(__file__).parent
STEP = 4


class Tokens(Dataset):
    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        ids = (torch.arange(8) + index) % 16
        return {"input_ids": ids, "labels": ids}


class Pairs(Dataset):
    def __len__(self) -> int:
        return STEP

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((3,), float(index))


class Model(lightning.LightningModule):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(width, 2)

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return self.layer(batch).square().mean()

    def configure_optimizers(self) -> dict[str, object]:
        optimizer = torch.optim.Adam(self.parameters())
        return {
            "optimizer": optimizer,
            "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 2),
        }


def training_state() -> dict[str, object]:
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)
    )
    optimizer = torch.optim.AdamW(model.parameters())
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    for _ in range(STEP):
        optimizer.zero_grad()
        model(torch.randn(5, 3)).square().mean().backward()
        optimizer.step()
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": plateau.state_dict(),
    }
    return {**state, "global_step": STEP, "rng": torch.get_rng_state()[:64].clone()}


def every_type() -> dict[str, object]:
    floats = (
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.float8_e4m3fn,
        torch.float8_e5m2,
    )
    others = (
        torch.int64,
        torch.int32,
        torch.int16,
        torch.uint16,
        torch.int8,
        torch.uint8,
        torch.bool,
        torch.complex64,
    )
    state: dict[str, object] = {
        str(dtype): torch.arange(1, 7).to(dtype) for dtype in (*floats, *others)
    }
    base = torch.arange(1.0, 25.0)
    state |= {
        "view": base[3:15].view(3, 4).t(),
        "tied": base,
        "empty": torch.empty(0),
        "scalar": torch.tensor(1.5),
    }
    state |= {
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "sparse": torch.eye(3).to_sparse(),
        "size": torch.Size([2]),
    }
    return state | {
        "meta": torch.ones(2, device="meta"),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
    }


def torch_files() -> None:
    state = training_state()
    torch.save(state, HERE / "state.pt")
    torch.save(every_type(), HERE / "types.pt")
    torch.save(state, HERE / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.utils.serialization.config.save.compute_crc32 = False
    torch.save(state, HERE / "unsummed.pt")
    torch.utils.serialization.config.save.compute_crc32 = True
    weights = {key: value.clone() for key, value in training_state()["model"].items()}
    torch.save({**weights, "0.weight": torch.full((4, 3), float("nan"))}, HERE / "nan.pt")
    mask = torch.full((4, 4), float("-inf")).triu(1)
    torch.save({**weights, "attention.causal": mask}, HERE / "mask.pt")
    save_file(
        {**weights, "half": torch.ones(3, dtype=torch.bfloat16)},
        HERE / "model.safetensors",
        {"step": str(STEP)},
    )
    with (
        zipfile.ZipFile(HERE / "state.pt") as old,
        zipfile.ZipFile(HERE / "deflated.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for item in old.infolist():
            new.writestr(item.filename, old.read(item), zipfile.ZIP_DEFLATED)


def lightning_file() -> None:
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = lightning.Trainer(
            max_steps=STEP, default_root_dir=folder, accelerator="cpu", **quiet
        )
        trainer.fit(Model(), DataLoader(Pairs()))
        (found,) = Path(folder).rglob("*.ckpt")
        shutil.copy(found, HERE / found.name)


def trainer_directory() -> None:
    model = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=16, n_positions=8))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, max_steps=STEP, save_steps=STEP, report_to=[], use_cpu=True, logging_steps=1
        )
        Trainer(model, arguments, train_dataset=Tokens()).train()
        shutil.copytree(
            Path(folder) / f"checkpoint-{STEP}", HERE / f"checkpoint-{STEP}", dirs_exist_ok=True
        )
    model.save_pretrained(HERE / "sharded", max_shard_size="2KB")


if __name__ == "__main__":
    torch.manual_seed(0)
    torch_files()
    lightning_file()
    trainer_directory()
    names = ("torch", "safetensors", "numpy", "transformers", "accelerate", "lightning")
    lines = [f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)]
    (HERE / "VERSIONS").write_text("\n".join(lines) + "\n")
