"""
Train on digits, through any number of preemptions: the same end, bit for bit, as without them.

What makes it so: a checkpoint holds all that the next step depends on (weights, momentum, the
random generator, the position in the epoch), it is published whole or not at all, the newest
valid one is looked for at every start, and SIGTERM is polled after every step.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import digits
import numpy as np
import settings

try:
    import preemptible  # copied beside this file into the image
except ModuleNotFoundError:
    from airflow_runai.training import preemptible


class Model(Protocol):
    """What the loop asks of a network; NumPy's is in digits.py, PyTorch's in train_torch.py."""

    framework: str

    def step(self, x: Any, y: Any) -> None: ...
    def score(self, part: digits.Split) -> dict[str, float]: ...
    def save(self, folder: Path) -> None: ...
    def load(self, folder: Path) -> None: ...


@dataclass
class Position:
    """Where the training stands. ``shuffle`` is the generator's state at the start of the epoch."""

    shuffle: dict[str, Any]
    step: int = 0
    epoch: int = 0
    seen: int = 0  # samples of this epoch


class Training:
    def __init__(self, model: Model, chosen: settings.Settings) -> None:
        self.model, self.settings = model, chosen
        self.train, self.test = digits.load()
        self.at = Position(np.random.default_rng([chosen.seed, 1]).bit_generator.state)
        self.saved_step = -1

    def resume(self) -> None:
        found = preemptible.newest_valid(self.settings.checkpoints)
        node = os.environ.get("NODE_NAME", "(unnamed)")
        if found is None:
            return say(f"starting from scratch on node {node}")
        self.model.load(found.path)
        self.at = Position(**json.loads((found.path / "position.json").read_text()))
        self.saved_step = found.step
        place = f"{found.path.name}, epoch {self.at.epoch}"
        say(f"resumed from step {found.step} ({place}) on node {node}")

    def save(self) -> None:
        if self.at.step == self.saved_step:
            return
        metrics = self.model.score(self.test)
        if not math.isfinite(metrics["loss"]):
            raise SystemExit(
                f"loss is {metrics['loss']} at step {self.at.step}: lower LEARNING_RATE"
            )
        about = {"epoch": self.at.epoch, "framework": self.model.framework, "metrics": metrics}
        with preemptible.save_checkpoint(
            self.settings.checkpoints, self.at.step, **about
        ) as folder:
            self.model.save(folder)
            (folder / "position.json").write_text(json.dumps(vars(self.at)))
        self.saved_step = self.at.step
        preemptible.prune(self.settings.checkpoints, keep_last=3)

    def run(self, guard: preemptible.PreemptionGuard) -> None:
        while self.at.epoch < self.settings.epochs:
            self.run_epoch(guard)
            train, test = self.model.score(self.train), self.model.score(self.test)
            say(
                f"epoch {self.at.epoch}/{self.settings.epochs}  step {self.at.step}"
                f"  loss {train['loss']:.4f}  test accuracy {test['accuracy']:.4f}"
            )
        self.save()

    def run_epoch(self, guard: preemptible.PreemptionGuard) -> None:
        random = np.random.default_rng()
        random.bit_generator.state = self.at.shuffle
        order = random.permutation(len(self.train.y))
        while self.at.seen < len(order):
            batch = order[self.at.seen : self.at.seen + self.settings.batch_size]
            self.model.step(self.train.x[batch], self.train.y[batch])
            self.at.step += 1
            self.at.seen += len(batch)
            if self.at.seen == len(order):
                self.at = Position(random.bit_generator.state, self.at.step, self.at.epoch + 1)
            if self.at.step % self.settings.checkpoint_every == 0:
                self.save()
            time.sleep(self.settings.seconds_per_epoch * len(batch) / len(order))
            # In the step loop: the end of the epoch may be later than SIGKILL.
            if guard.should_stop:
                self.leave(guard)
            if self.at.seen == 0:
                return

    def leave(self, guard: preemptible.PreemptionGuard) -> None:
        self.save()
        say(f"preempted at step {self.at.step}: checkpoint saved, {guard.remaining():.1f} s left")
        # For show, like the pace: so small a model is saved before anybody could read that line.
        time.sleep(min(2 * self.settings.seconds_per_epoch, guard.remaining() / 10))
        guard.exit()


def say(line: str) -> None:
    print(line, flush=True)  # at once: a log that is written at the end is lost by SIGKILL


def main(kind: type[Any]) -> None:
    chosen = settings.parse(sys.argv[1:], os.environ)
    training = Training(kind(chosen.learning_rate, chosen.seed), chosen)
    try:
        with preemptible.PreemptionGuard() as guard:
            training.resume()
            training.run(guard)
    except OSError as error:  # storage that fails is no reason to start from scratch
        raise SystemExit(f"checkpoints: {error}") from error
    say(f"training complete: {training.at.epoch} epochs, {training.at.step} steps")


if __name__ == "__main__":
    main(digits.NumpyModel)
