"""
Score one checkpoint on the held-out digits and write the metrics for the gate in Airflow.

Environment: ``CHECKPOINT`` is the checkpoint's directory, ``METRICS`` the JSON file to write.
Exit code: 0 written, 1 the checkpoint is no good, 2 the settings are wrong.
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import digits

try:
    import preemptible  # copied beside this file into the image
except ModuleNotFoundError:
    from airflow_runai.training import preemptible


def fail(code: int, message: str) -> NoReturn:
    print(f"evaluate.py: {message}", file=sys.stderr)
    raise SystemExit(code)


def setting(name: str, meaning: str) -> Path:
    if not os.environ.get(name):
        fail(2, f"environment {name} is not set: give {meaning}")
    return Path(os.environ[name])


def model_of(folder: Path) -> Any:
    if (folder / "model.pt").exists():
        from train_torch import TorchModel  # only here: NumPy's evaluation must not need torch

        return TorchModel(0.0, 0)
    return digits.NumpyModel(0.0, 0)


def evaluate(folder: Path) -> dict[str, Any]:
    found = preemptible.verify(folder)  # before any framework opens a byte of it
    model = model_of(folder)
    model.load(folder)
    _, held_out = digits.load()
    metrics = model.score(held_out)
    if not math.isfinite(metrics["loss"]):
        raise preemptible.CheckpointVerificationError(
            f"{folder}: loss is {metrics['loss']} on the held-out digits"
        )
    return {**metrics, "step": found.step, "samples": len(held_out.y)}


def main() -> None:
    folder = setting("CHECKPOINT", "the directory of a published checkpoint")
    target = setting("METRICS", "the path of the JSON file to write")
    try:
        metrics = evaluate(folder)
    except (preemptible.CheckpointVerificationError, OSError, KeyError) as error:
        fail(1, f"checkpoint not evaluated: {error}")
    target.parent.mkdir(parents=True, exist_ok=True)
    temp = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temp.write_text(json.dumps(metrics, indent=1) + "\n")
    os.replace(temp, target)  # a reader finds all of it or nothing
    print(f"accuracy {metrics['accuracy']:.4f} at step {metrics['step']}, written to {target}")


if __name__ == "__main__":
    main()
