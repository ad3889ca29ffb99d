"""The PyTorch twin of train.py: same settings, same loop, same publication; another network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import digits
import torch
import train


class TorchModel:
    """64 inputs, 64 hidden units, 10 classes; drop-out makes the generator's state matter."""

    framework = "torch"

    def __init__(self, learning_rate: float, seed: int) -> None:
        torch.manual_seed(seed)
        torch.set_num_threads(1)  # a network of this size is slower with more
        self.network = torch.nn.Sequential(
            torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(64, 10)
        )
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=learning_rate, momentum=0.9)

    def step(self, x: Any, y: Any) -> None:
        self.network.train()
        self.optimizer.zero_grad()
        self._loss(torch.from_numpy(x), torch.from_numpy(y)).backward()
        self.optimizer.step()

    def score(self, part: digits.Split) -> dict[str, float]:
        self.network.eval()
        x, y = torch.from_numpy(part.x), torch.from_numpy(part.y)
        with torch.no_grad():
            right = (self.network(x).argmax(1) == y).float().mean()
            return {"loss": self._loss(x, y).item(), "accuracy": right.item()}

    def save(self, folder: Path) -> None:
        state = {"model": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save({**state, "rng": torch.get_rng_state()}, folder / "model.pt")

    def load(self, folder: Path) -> None:
        # Never unpickle what may be a program.
        state = torch.load(folder / "model.pt", weights_only=True)
        self.network.load_state_dict(state["model"])
        # A copy of the state dict's learning rate would silently overrule a changed setting.
        learning_rate = self.optimizer.param_groups[0]["lr"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.optimizer.param_groups[0]["lr"] = learning_rate
        torch.set_rng_state(state["rng"])

    def _loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self.network(x), y)


if __name__ == "__main__":
    train.main(TorchModel)
