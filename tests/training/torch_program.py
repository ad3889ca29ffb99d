"""
A data-parallel training in plain PyTorch: each rank saves its part, all leave together when one is preempted.

    torchrun --nproc-per-node=2 -m tests.training.torch_program FOLDER STEPS SECONDS_PER_STEP
"""

# mypy: ignore-errors
# (written against libraries that are not installed where the types are checked)
from __future__ import annotations

import hashlib
import sys
import time

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from airflow_runai.training.preemptible import PreemptionGuard, newest_valid
from airflow_runai.training.ranks import Ranks, any_rank, save_shards


def main(root: str, steps: int, seconds: float) -> None:
    dist.init_process_group("gloo")
    ranks = Ranks.from_environment(barrier=dist.barrier)
    # Each rank draws other drop-outs, so its generator is part of the state.
    torch.manual_seed(ranks.rank)
    torch.set_num_threads(1)
    model = DistributedDataParallel(
        torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 2))
    )
    optimizer = torch.optim.Adam(model.parameters())
    step = 0
    found = newest_valid(root)
    if found:
        step = found.step
        common = torch.load(found.path / "model.pt", weights_only=True)
        model.module.load_state_dict(common["model"])
        optimizer.load_state_dict(common["optimizer"])
        torch.set_rng_state(torch.load(found.path / f"random-{ranks.rank}.pt", weights_only=True))
    dist.barrier()  # nobody saves, and so deletes, while another still reads

    def save() -> None:
        with save_shards(root, step, ranks, framework="torch") as folder:
            torch.save(torch.get_rng_state(), folder / f"random-{ranks.rank}.pt")
            if ranks.rank == 0:
                state = {
                    "model": model.module.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "global_step": step,
                }
                torch.save(state, folder / "model.pt")

    with PreemptionGuard(agree=any_rank) as guard:
        while step < steps:
            print(f"step {step}", flush=True)
            time.sleep(seconds)
            optimizer.zero_grad()
            (model(torch.full((4, 3), 1.0 + step + ranks.rank)) - 1).square().mean().backward()
            optimizer.step()
            step += 1
            if guard.should_stop:
                save()
                print(f"left at {step}", flush=True)
                guard.exit()
    save()
    data = b"".join(value.numpy().tobytes() for value in model.module.state_dict().values())
    print(f"weights {hashlib.sha256(data).hexdigest()}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
