"""What files say about the training step, as claims to be compared."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import TypeGuard

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.float_layouts import ByteOrder
from airflow_runai.checkpoints.checking.step_claim import StepClaim, Weight
from airflow_runai.checkpoints.pickles.tensors import Contents, Tensor

#: Receives the inert root of a file's pickle, where a format knows more about it.
Inspect = Callable[[object], None]
# Layouts in which frameworks keep a counter; the optimizers of PyTorch count in float32.
_SCALARS = {
    ("f32", 4): "f",
    ("f64", 8): "d",
    ("i64", 8): "q",
    ("i32", 4): "i",
}


def is_step(value: object) -> TypeGuard[int]:
    """Whether a value may be a step: a whole number from 0."""
    # bool is a subclass of int, so isinstance would accept True.
    return type(value) is int and value >= 0


def claim(context: CheckContext, place: str, step: int, weight: Weight = "binding") -> None:
    """
    Enter one statement of the step.

    :param place: what states it, for findings.
    """
    context.account.steps.append(StepClaim(place, step, weight))


def claim_steps(contents: Contents, context: CheckContext, label: str) -> None:
    """
    Enter what plain numbers say: ``global_step``, ``step`` and the first scheduler.

    None of them binds: in a script of which nothing is known ``global_step`` may count from 0, or
    optimizer steps where the name counts batches.
    """
    for key, step in contents.steps.items():
        claim(context, f"{key} in {label}", step, "advisory")
    for step in contents.scheduler_steps[:1]:
        claim(context, f"scheduler in {label}", step, "hint")
    for rate in contents.learning_rates[:1]:
        context.account.learning_rates[label] = rate


def claim_optimizer_steps(
    contents: Contents,
    kept: Mapping[str, bytes],
    context: CheckContext,
    label: str,
    byteorder: ByteOrder = "little",
) -> None:
    """
    Enter the highest step that any parameter's optimizer state counts.

    :param kept: bytes of the small storages, by key; nothing else is a step.
    """
    steps = []
    for step in contents.optimizer_steps:
        if isinstance(step, Tensor):
            step = scalar(step, kept.get(step.storage.key, b""), byteorder)
        steps.append(step)
    # Parameters that were frozen at first count fewer.
    if steps:
        claim(context, f"optimizer in {label}", max(steps), "advisory")


def scalar(tensor: Tensor, storage: bytes, byteorder: ByteOrder = "little") -> int:
    """
    Value of a tensor of one number, rounded down; 0 where it is none.

    :param storage: the bytes of the storage that it is a view of.
    """
    data = storage[tensor.begin : tensor.end]
    layout = _SCALARS.get((tensor.kind, len(data)))
    if layout is None:
        return 0
    order = "<" if byteorder == "little" else ">"
    (value,) = struct.unpack(order + layout, data)
    return int(value) if math.isfinite(value) else 0
