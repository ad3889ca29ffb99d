"""The example as it is often written: weights, momentum and step are resumed, the epoch begins at 0 again."""

# mypy: ignore-errors
# What it imports lies in dags/digits, which is on the path only when it runs.

import digits
import train


class Training(train.Training):
    def resume(self) -> None:
        fresh = self.at
        super().resume()
        self.at = train.Position(fresh.shuffle, step=self.at.step)


train.Training = Training
train.main(digits.NumpyModel)
