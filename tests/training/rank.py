"""One rank of a training made to be killed: resumes, then publishes its part of one step after the other."""

from __future__ import annotations

import sys
from pathlib import Path

from airflow_runai.training.preemptible import newest_valid, prune
from airflow_runai.training.ranks import Ranks, save_shards


def content(step: int, rank: int) -> bytes:
    return f"part {rank} of step {step}\n".encode() * (300 + 200 * rank)


def publish(root: Path, step: int, ranks: Ranks) -> None:
    with save_shards(root, step, ranks, epoch=step // 2) as folder:
        (folder / f"part-{ranks.rank}.dat").write_bytes(content(step, ranks.rank))
        if ranks.rank == 0:
            (folder / "deep").mkdir()
            (folder / "deep" / "common.json").write_text("{}")


def run(root: Path, last: int) -> None:
    ranks = Ranks.from_environment(timeout=240.0)
    found = newest_valid(root)
    step = found.step if found else 0
    print(f"resumed {step}", flush=True)
    while step < last:
        step += 1
        publish(root, step, ranks)
        print(f"published {step}", flush=True)
        if ranks.rank == 0:
            prune(root, keep_last=3)


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]))
