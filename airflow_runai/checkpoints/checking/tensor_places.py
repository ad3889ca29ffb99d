"""
Where a tensor stands in a checkpoint decides what a NaN in it means.

In a weight or an optimizer's state it poisons the checkpoint, elsewhere it does not. Only after
that may the name excuse something, and never a NaN in what is trained: masks and biases of
libraries are full of -inf, bounds and observers begin as infinity, a second moment may overflow and
only stops its weight. Each word of a name counts by itself: ``mask_token`` is a trained token and
``score_embedding`` an embedding. The words are in ``tensor_words.txt``.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Literal

from airflow_runai.checkpoints.checking.float_layouts import ContentTest
from airflow_runai.checkpoints.storage.name_lists import NameLists, read_name_lists

TensorPlace = Literal["weight", "moment", "other"]

MOMENTS = ("exp_avg", "momentum_buffer", "square_avg", "max_exp_avg_sq")
_SECOND_MOMENTS = ("exp_avg_sq", "square_avg")
_SECOND_MOMENT_NAMES = ("exp_inf", "sum")
# Lightning's; weights are elsewhere, whatever a callback calls its numbers.
_FRAMEWORK_KEYS = ("callbacks", "loops", "lr_schedulers")
# Containers of a training's own book-keeping, at the top of a checkpoint.
_BOOKKEEPING = re.compile(
    r"(?:(?:lr_?)?schedulers?|.*rng.*|(?:grad_?|amp_?|loss_?)?scaler|replay\w*|.*history|losses"
    r"|metrics|logs?|logger|samplers?|dataloaders?|datamodule|hparams|hyper_parameters|config|args"
    r"|meters?|early_stopping)"
)
_NORMALIZER = re.compile(r"normali[sz]e|standardi[sz]|scaler|whiten", re.IGNORECASE)


@cache
def _lists() -> NameLists:
    return read_name_lists(Path(__file__).with_name("tensor_words.txt"))["words"]


def place_of(name: str, top: str = "", optimizers: tuple[str, ...] = ()) -> TensorPlace:
    """
    Return what a tensor is a part of.

    :param name: path of keys that leads to it.
    :param top: the first of these keys; the name itself in formats that have no other structure.
    :param optimizers: paths of what is an optimizer's state by its structure.
    """
    if top in _FRAMEWORK_KEYS:
        return "other"
    keys, last = _keys(name)
    if _is_moment(name, keys, last, optimizers):
        return "moment"
    if _words(last) & _lists()["trained"]:
        return "weight"
    if _BOOKKEEPING.fullmatch(top or name):
        return "other"
    # A number at the top, such as best_loss; below it may be a parameter of that name.
    return "other" if len(keys) == 1 and _is_measure(last) else "weight"


def _is_moment(name: str, keys: list[str], last: str, optimizers: tuple[str, ...]) -> bool:
    if any(moment in last for moment in MOMENTS):
        return True
    if any("optim" in key.lower() for key in keys):
        return True
    return any(name.startswith(f"{path}.") for path in optimizers)


def excuse(name: str, place: TensorPlace, content: ContentTest) -> str:
    """
    Return the code of the warning for values that are not finite; empty if nothing excuses them.

    :param name: of the tensor.
    :param content: what was found in it.
    """
    keys, last = _keys(name)
    if place == "other" or (place == "weight" and _is_statistic(keys, last)):
        return "score-non-finite"
    if content.nan:
        return ""
    if place == "moment":
        return "moment-infinite" if _is_second_moment(last) and not content.minus else ""
    return _excuse_of_infinity(last, content)


def _excuse_of_infinity(last: str, content: ContentTest) -> str:
    lists, words = _lists(), _words(last)
    if content.minus and not content.plus:
        # A library's own bias is a compound such as relative_bias; a plain "bias" is trained.
        is_mask = last.endswith("_bias") or bool(words & lists["mask"])
        if content.mask_like or (is_mask and not words & (lists["trained"] - {"bias"})):
            return "mask-infinite"
    is_bound = bool(words & lists["bound"]) and not words & lists["trained"]
    return "score-non-finite" if is_bound else ""


def _is_second_moment(last: str) -> bool:
    return any(word in last for word in _SECOND_MOMENTS) or last in _SECOND_MOMENT_NAMES


def _is_statistic(keys: list[str], last: str) -> bool:
    """Whether an observer or normalizer counts it; a constant feature has no deviation."""
    if last in _lists()["observer"] or last.endswith("_history"):
        return True
    return last in _lists()["statistic"] and any(map(_NORMALIZER.search, keys[:-1]))


def _is_measure(last: str) -> bool:
    words = _words(last)
    measures = _lists()["measure"]
    return bool(words & measures) and words <= measures | _lists()["neutral"]


def _keys(name: str) -> tuple[list[str], str]:
    """Return the keys that are not numbers, and the last of them."""
    keys = [key for key in name.split(".") if key and not key.isdigit()]
    return keys, keys[-1] if keys else ""


def _words(name: str) -> set[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return set(re.findall(r"[a-z]+", spaced.lower()))
