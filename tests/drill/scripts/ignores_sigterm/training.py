"""The example with its back turned: it saves now and then, and ignores SIGTERM."""

# mypy: ignore-errors
# What it imports lies in dags/digits, which is on the path only when it runs.

import signal

import digits
import train


class Training(train.Training):
    def run(self, guard: train.preemptible.PreemptionGuard) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        super().run(guard)


train.Training = Training
train.main(digits.NumpyModel)
