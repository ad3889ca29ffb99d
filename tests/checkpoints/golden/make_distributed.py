"""
Make the golden checkpoints of distributed training; run by hand, in the environment that ``make.py`` describes.

    /tmp/golden/bin/python tests/checkpoints/golden/make_distributed.py

``dcp-step-4`` is written by two real ranks (FSDP2 over gloo on the CPU), ``dcp-safetensors`` by the
same library with its other serialization. DeepSpeed and Megatron are not installed: ``deepspeed``
and ``megatron`` have their layout (files, keys and types as DeepSpeed 0.19.8 and Megatron-core 0.16
write them), saved by torch itself. All data is random with a fixed seed.
"""

# mypy: ignore-errors
# (written against libraries that are not installed where the types are checked)
from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp
from torch.distributed.checkpoint.filesystem import FileSystemWriter, SerializationFormat
from torch.distributed.checkpoint.state_dict import get_state_dict
from torch.distributed.fsdp import fully_shard

# Relative, because .metadata remembers where it was saved.
HERE = Path()
STEP = 4
RANKS = 2


def trained() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 5)
    if dist.is_initialized():
        fully_shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(STEP):
        optimizer.zero_grad()
        model(torch.randn(5, 3)).square().mean().backward()
        optimizer.step()
    return model, optimizer


def rank_main(rank: int, folder: Path) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=RANKS
    )
    model, optimizer = trained()
    weights, moments = get_state_dict(model, optimizer)
    for group in moments["param_groups"]:
        for key in set(group) - {"lr", "params"}:
            del group[key]
    state = {"model": weights, "optim": moments, "global_step": STEP}
    dcp.save(state, checkpoint_id=HERE / f"dcp-step-{STEP}")
    dist.destroy_process_group()


def sharded() -> None:
    meeting = Path(".meeting").absolute()
    meeting.mkdir()
    try:
        mp.spawn(rank_main, (meeting,), nprocs=RANKS)
    finally:
        shutil.rmtree(meeting)


def in_safetensors() -> None:
    writer = FileSystemWriter(
        HERE / "dcp-safetensors", serialization_format=SerializationFormat.SAFETENSORS
    )
    dcp.save(
        {"weight": torch.randn(2, 3), "bias": torch.randn(2), "epoch": 1}, storage_writer=writer
    )


def foreign(module: str, name: str, **fields: type) -> type:
    """A class that pickles under the name that DeepSpeed's has."""
    made = dataclass(type(name, (), {"__module__": module, "__annotations__": fields}))
    sys.modules.setdefault(module, types.ModuleType(module)).__dict__[name] = made
    return made


def deepspeed() -> None:
    address = foreign("deepspeed.utils.tensor_fragment", "fragment_address", numel=int, start=int)
    scaler = foreign("deepspeed.runtime.fp16.loss_scaler", "LossScaler", cur_scale=float)
    model, optimizer = trained()
    tag = HERE / "deepspeed" / f"global_step{STEP}"
    tag.mkdir(parents=True)
    common = {
        "ds_config": {"zero_optimization": {"stage": 1}, "train_batch_size": 2},
        "ds_version": "0.19.8",
    }
    shapes = [{name: value.shape for name, value in model.named_parameters()}]
    state = {
        "module": {name: value.half() for name, value in model.state_dict().items()},
        "param_shapes": shapes,
    }
    state |= {
        "buffer_names": [],
        "optimizer": None,
        "lr_scheduler": {"last_batch_iteration": STEP - 1},
    }
    state |= {
        "skipped_steps": 0,
        "global_steps": STEP,
        "global_samples": 2 * STEP,
        "dp_world_size": RANKS,
    }
    torch.save({**state, "mp_world_size": 1, **common}, tag / "mp_rank_00_model_states.pt")
    flat = torch.cat([value.detach().reshape(-1) for value in model.parameters()]).chunk(RANKS)
    moments = [optimizer.state[value] for value in model.parameters()]
    parts = {
        key: torch.cat([m[key].reshape(-1) for m in moments]).chunk(RANKS)
        for key in ("exp_avg", "exp_avg_sq")
    }
    for rank in range(RANKS):
        inner = {
            "step": torch.tensor(float(STEP)),
            **{key: value[rank].clone() for key, value in parts.items()},
        }
        base = {"state": {0: inner}, "param_groups": [{"lr": 0.01, "params": [0]}]}
        zero = {
            "loss_scaler": scaler(1.0),
            "dynamic_loss_scale": False,
            "overflow": False,
            "zero_stage": 1,
        }
        zero |= {
            "base_optimizer_state": base,
            "partition_count": [RANKS],
            "clip_grad": 0.0,
            "ds_version": "0.19.8",
        }
        zero |= {"single_partition_of_fp32_groups": [flat[rank].clone()], "group_paddings": [0]}
        zero |= {"param_slice_mappings": [{"weight": address(9, 0)}]}
        path = tag / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"
        torch.save({"optimizer_state_dict": zero, **common}, path)
    (HERE / "deepspeed" / "latest").write_text(tag.name)


def megatron() -> None:
    folder = HERE / "megatron" / f"iter_{STEP:07d}"
    model, optimizer = trained()
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, value in zip(("weight", "bias"), model.parameters(), strict=True):
        state[f"optimizer.state.exp_avg.{name}"] = optimizer.state[value]["exp_avg"]
    dcp.save(state, checkpoint_id=folder)
    arguments = argparse.Namespace(
        train_iters=100, tensor_model_parallel_size=1, params_dtype=torch.bfloat16
    )
    common = {"args": arguments, "iteration": STEP, "checkpoint_version": 3.0}
    torch.save(common, folder / "common.pt")
    backend = {"sharded_backend": "torch_dist", "sharded_backend_version": 1}
    (folder / "metadata.json").write_text(
        json.dumps({**backend, "common_backend": "torch", "common_backend_version": 1})
    )
    (folder.parent / "latest_checkpointed_iteration.txt").write_text(str(STEP))


if __name__ == "__main__":
    os.chdir(Path(__file__).parent)
    for name in (f"dcp-step-{STEP}", "dcp-safetensors", "deepspeed", "megatron"):
        shutil.rmtree(HERE / name, ignore_errors=True)
    sharded()
    in_safetensors()
    deepspeed()
    megatron()
    state = torch.load(HERE / f"epoch=0-step={STEP}.ckpt", weights_only=False)
    torch.save(state, HERE / "lightning-legacy.ckpt", _use_new_zipfile_serialization=False)
