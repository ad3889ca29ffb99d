"""
Make small Orbax checkpoints without OCDBT and with Zarr 3; run by hand.

    python -m venv /tmp/golden
    /tmp/golden/bin/pip install orbax-checkpoint==0.12.8
    /tmp/golden/bin/python tests/checkpoints/everyday/make_orbax.py
"""

# mypy: ignore-errors
# (written against libraries that are not installed where the types are checked)
from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

HERE = Path(__file__).parent
rng = np.random.default_rng(0)
TREE = {
    "layer": {
        "kernel": rng.normal(size=(12, 9)).astype("f4"),
        "bias": rng.normal(size=9).astype("f4"),
    },
    "half": jnp.asarray(rng.normal(size=(5, 3)), jnp.bfloat16),
    "step": np.int32(7),
    "name": "text",
}

if __name__ == "__main__":
    for name, ocdbt, zarr3 in (
        ("orbax-files", False, False),
        ("orbax-zarr3", False, True),
        ("orbax-shards", True, True),
    ):
        shutil.rmtree(HERE / name, ignore_errors=True)
        handler = ocp.PyTreeCheckpointHandler(use_ocdbt=ocdbt, use_zarr3=zarr3)
        ocp.Checkpointer(handler).save(HERE / name, TREE)
    lines = [
        f"{name} {version(name)}"
        for name in ("orbax-checkpoint", "jax", "tensorstore", "zstandard")
    ]
    (HERE / "VERSIONS-orbax").write_text("\n".join(lines) + "\n")
