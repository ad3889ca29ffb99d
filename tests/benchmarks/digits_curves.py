"""
Learning curves of the example's network on its digits, for the comparison of halving with a grid.

``python -m tests.benchmarks.digits_curves`` trains 27 trials with ten seeds (less than a minute)
and writes ``digits_curves.json``: by seed and trial, the accuracy on the held-out part after each
epoch that is asked for. They are recorded, because a test must not depend on a machine's rounding.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".json")
SEEDS = 10
#: Nine learning rates and three sizes of a batch.
POINTS = [
    {"lr": float(f"{10 ** (-3 + 3 * at / 8):.3g}"), "batch-size": size}
    for at in range(9)
    for size in (32, 64, 128)
]
EPOCHS = 27
KEPT = (1, 3, 9, 27)


def curve(digits: Any, point: dict[str, Any], seed: int) -> dict[str, float]:
    """Train one trial; return the accuracy after each epoch that is kept."""
    import numpy as np  # the comparison reads what was recorded, and needs none

    train, test = digits.load()
    model, chance, kept = digits.NumpyModel(point["lr"], seed), np.random.default_rng([seed, 1]), {}
    for epoch in range(1, EPOCHS + 1):
        order = chance.permutation(len(train.y))
        for begin in range(0, len(order), point["batch-size"]):
            batch = order[begin : begin + point["batch-size"]]
            model.step(train.x[batch], train.y[batch])
        if epoch in KEPT:
            kept[str(epoch)] = round(model.score(test)["accuracy"], 4)
    return kept


def main() -> None:
    """Record all curves."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "dags" / "digits"))
    digits = import_module("digits")
    curves = [[curve(digits, point, seed) for point in POINTS] for seed in range(SEEDS)]
    lines = ",\n".join(json.dumps(one) for one in curves)
    FILE.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
