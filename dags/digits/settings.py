"""
The settings of a training, from arguments and environment; arguments win.

Shared by both trainers.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn


@dataclass(frozen=True)
class Settings:
    checkpoints: Path
    epochs: int
    learning_rate: float
    batch_size: int
    seed: int
    checkpoint_every: int
    seconds_per_epoch: float


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # One line that says it all; --help shows the rest.
        self.exit(2, f"{self.prog}: {message}\n")


def _whole(least: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
        return int(text)

    return convert


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return value


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a directory that outlives the node")
    if Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is a file; give a directory")
    return Path(text)


# variable: (further argument, meaning, conversion, default)
_TABLE: dict[str, tuple[str | None, str, Callable[[str], object], object]] = {
    "CHECKPOINTS": (
        None,
        "directory for checkpoints, on storage that outlives the node",
        _folder,
        None,
    ),
    "EPOCHS": ("--number-of-epochs", "epochs in all, also after a resume", _whole(1), 30),
    "LEARNING_RATE": (None, "step size of SGD", _number, 0.1),
    "BATCH_SIZE": (None, "samples a step", _whole(1), 64),
    "SEED": (None, "of initial weights and shuffling", _whole(0), 0),
    "CHECKPOINT_EVERY": (None, "steps between two checkpoints", _whole(1), 50),
    "SECONDS_PER_EPOCH": (
        None,
        "artificial pace: sleep so long, to show a preemption in the middle",
        _number,
        0.0,
    ),
}


def _parser() -> _Parser:
    parser = _Parser(
        allow_abbrev=False,
        description="Train on scikit-learn's digits, through preemptions.",
        epilog="Every setting is also an environment variable (EPOCHS=30), "
        "and may lack the dashes (epochs=30).",
    )
    for variable, (further, meaning, convert, default) in _TABLE.items():
        options = [f"--{variable.lower().replace('_', '-')}", *([further] if further else [])]
        text = meaning + (" (required)" if default is None else f" (default {default})")
        parser.add_argument(*options, dest=variable.lower(), type=convert, help=text)
    return parser


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Exit with code 2 and one line on what is wrong, where, and what is allowed."""
    parser = _parser()
    dashed = [
        f"--{text}" if "=" in text and not text.startswith("-") else text for text in arguments
    ]
    values = vars(parser.parse_args(dashed))
    for variable, (_, _, convert, default) in _TABLE.items():
        if values[variable.lower()] is None:
            values[variable.lower()] = default
            if variable in environment:
                try:
                    values[variable.lower()] = convert(environment[variable])
                except argparse.ArgumentTypeError as error:
                    parser.error(f"environment {variable}: {error}")
    if values["checkpoints"] is None:
        parser.error(
            "no place for checkpoints: set CHECKPOINTS=DIRECTORY or --checkpoints DIRECTORY"
        )
    return Settings(**values)
