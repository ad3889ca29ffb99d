"""One statement of which training step a checkpoint holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Weight = Literal["binding", "advisory", "hint"]


@dataclass(frozen=True)
class StepClaim:
    """
    One place that states the training step.

    :param weight: ``binding`` claims that disagree make the checkpoint invalid, an ``advisory`` one
        causes a warning, and a ``hint`` (a scheduler that may count epochs) means nothing until a
        format that knows better raises it.
    :param at_most: the place may lag behind (a skipped mixed-precision step), but never lead.
    """

    place: str
    step: int
    weight: Weight = "binding"
    at_most: bool = False
