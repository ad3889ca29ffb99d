"""
A training in small, made to be killed: resumes, then publishes as fast as it can until the end.
"""

from __future__ import annotations

import sys
from pathlib import Path

from airflow_runai.training.preemptible import newest_valid, prune, save_checkpoint

NAMES = ("model.bin", "optimizer.bin", "deep/rng.bin")


def content(step: int, version: int, name: str) -> bytes:
    return f"{name} of step {step} version {version}\n".encode() * 700


def publish(root: Path, step: int, version: int) -> None:
    with save_checkpoint(root, step, epoch=version) as folder:
        (folder / "deep").mkdir()
        for name in NAMES:
            (folder / name).write_bytes(content(step, version, name))


def run(root: Path, advance: bool) -> None:
    """Each step twice with other content, so that kills also meet the replacement of a step."""
    found = newest_valid(root)
    step, version = (found.step, found.epoch or 0) if found else (0, 0)
    print(f"resumed {step}", flush=True)
    while True:
        version += 1
        publish(root, step, version)
        print(f"published {step}", flush=True)
        if advance and version % 2 == 0:
            step += 1
            prune(root, keep_last=3)


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2] == "advance")
