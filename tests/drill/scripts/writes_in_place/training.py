"""The example with another way to save: into the file that a resume would read, as slowly as large ones are."""

# mypy: ignore-errors
# What it imports lies in dags/digits, which is on the path only when it runs.

import json
import os
import time

import digits
import safetensors
import safetensors.numpy
import train

PIECES = 8


class Training(train.Training):
    def resume(self) -> None:
        found = sorted(self.settings.checkpoints.glob("step-*.safetensors"))
        if not found:
            return
        tensors = safetensors.numpy.load_file(found[-1])
        self.model.weights = {name: tensors[name] for name in self.model.weights}
        self.model.momentum = {name: tensors[f"momentum.{name}"] for name in self.model.momentum}
        with safetensors.safe_open(found[-1], "np") as file:
            self.at = train.Position(**json.loads(file.metadata()["position"]))
        self.saved_step = self.at.step

    def save(self) -> None:
        if self.at.step == self.saved_step:
            return
        momentum = {f"momentum.{name}": value for name, value in self.model.momentum.items()}
        position = {"position": json.dumps(vars(self.at))}
        data = safetensors.numpy.save({**self.model.weights, **momentum}, position)
        self.settings.checkpoints.mkdir(parents=True, exist_ok=True)
        with open(self.settings.checkpoints / f"step-{self.at.step:08d}.safetensors", "wb") as file:
            for start in range(0, len(data), len(data) // PIECES):
                file.write(data[start : start + len(data) // PIECES])
                file.flush()
                os.fsync(file.fileno())
                time.sleep(0.01)
        self.saved_step = self.at.step


train.Training = Training
train.main(digits.NumpyModel)
