"""
The data (scikit-learn's digits, part of the package: no download) and a small network in NumPy.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

Array = NDArray[np.float32]
HELD_OUT = 360


class Split(NamedTuple):
    x: Array
    y: NDArray[np.int64]


def load() -> tuple[Split, Split]:
    """Training and held-out part; the same split for every run, whatever its seed."""
    from sklearn.datasets import load_digits  # takes a second; wrong settings are told before

    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    x, y = (bunch.data / 16).astype(np.float32)[order], bunch.target.astype(np.int64)[order]
    return Split(x[HELD_OUT:], y[HELD_OUT:]), Split(x[:HELD_OUT], y[:HELD_OUT])


class NumpyModel:
    """64 inputs, 64 hidden units, 10 classes; SGD with momentum 0.9."""

    framework = "numpy"

    def __init__(self, learning_rate: float, seed: int) -> None:
        random = np.random.default_rng(seed)
        sizes = {"w1": (64, 64), "b1": (64,), "w2": (64, 10), "b2": (10,)}
        self.learning_rate = np.float32(learning_rate)
        self.weights = {
            name: (random.standard_normal(size) * (0.15 if name[0] == "w" else 0)).astype(
                np.float32
            )
            for name, size in sizes.items()
        }
        self.momentum = {name: np.zeros_like(weight) for name, weight in self.weights.items()}

    def step(self, x: Array, y: NDArray[np.int64]) -> None:
        hidden, chances = self._forward(x)
        error = chances
        error[np.arange(len(y)), y] -= 1
        error /= len(y)
        back = (error @ self.weights["w2"].T) * (hidden > 0)
        gradients = {
            "w1": x.T @ back,
            "b1": back.sum(0),
            "w2": hidden.T @ error,
            "b2": error.sum(0),
        }
        for name, gradient in gradients.items():
            self.momentum[name] = np.float32(0.9) * self.momentum[name] + gradient
            self.weights[name] -= self.learning_rate * self.momentum[name]

    def score(self, part: Split) -> dict[str, float]:
        chances = self._forward(part.x)[1]
        of_truth = chances[np.arange(len(part.y)), part.y]
        accuracy = (chances.argmax(1) == part.y).mean()
        # Not max(of_truth, tiny): that would make a number of NaN and hide a diverged model.
        return {"loss": float(-np.log(of_truth + 1e-12).mean()), "accuracy": float(accuracy)}

    def save(self, folder: Path) -> None:
        momentum = {f"momentum.{name}": value for name, value in self.momentum.items()}
        save_file({**self.weights, **momentum}, folder / "model.safetensors")

    def load(self, folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        self.weights = {name: tensors[name] for name in self.weights}
        self.momentum = {name: tensors[f"momentum.{name}"] for name in self.momentum}

    def _forward(self, x: Array) -> tuple[Array, Array]:
        hidden = np.maximum(x @ self.weights["w1"] + self.weights["b1"], 0)
        logits = hidden @ self.weights["w2"] + self.weights["b2"]
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return hidden, powers / powers.sum(1, keepdims=True)
