"""
Make the golden checkpoints with our adapters under the real libraries; run by hand, in an environment of its own.

    python -m venv /tmp/adapters
    /tmp/adapters/bin/pip install torch==2.13.0 transformers==5.23.0 accelerate lightning numpy
    /tmp/adapters/bin/python -m tests.training.golden.make

Runs the same programs as test_adapters.py for a few steps, and writes beside itself, together with
VERSIONS.
"""

# mypy: ignore-errors
# (written against libraries that are not installed where the types are checked)
from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
WHERE = {
    "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29511",
}


def run(program: str, root: Path, world: int) -> None:
    command = [sys.executable, "-m", f"tests.training.{program}_program", str(root), "4", "0"]
    settings = [
        {**WHERE, "RANK": str(rank), "LOCAL_RANK": str(rank)} if world > 1 else {}
        for rank in range(world)
    ]
    children = [
        subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1", **more})
        for more in settings
    ]
    assert [child.wait() for child in children] == [0] * world


def main() -> None:
    made = {"huggingface": 1, "huggingface_ranks": 2, "lightning": 1, "torch_ranks": 2}
    for name, world in made.items():
        with tempfile.TemporaryDirectory() as folder:
            run(name.removesuffix("_ranks"), Path(folder), world)
            newest = max(Path(folder).glob("*[0-9]*"), key=lambda path: path.stat().st_mtime)
            shutil.rmtree(HERE / name, ignore_errors=True)
            shutil.copytree(newest, HERE / name / newest.name)
    names = ("torch", "safetensors", "numpy", "transformers", "accelerate", "lightning")
    lines = [f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)]
    (HERE / "VERSIONS").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
