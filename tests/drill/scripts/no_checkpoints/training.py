"""The example without checkpoints: it ends when told to, and saves nothing."""

# mypy: ignore-errors
# What it imports lies in dags/digits, which is on the path only when it runs.

import digits
import train


class Training(train.Training):
    def save(self) -> None:
        pass


train.Training = Training
train.main(digits.NumpyModel)
