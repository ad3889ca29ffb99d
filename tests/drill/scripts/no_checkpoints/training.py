"""The example without checkpoints: it ends when told to, and saves nothing."""

import digits
import train


class Training(train.Training):
    def save(self) -> None:
        pass


train.Training = Training
train.main(digits.NumpyModel)
