"""
Where a tensor stands decides what a NaN in it means: in a weight and in an optimizer's state it poisons, elsewhere not.

Only after that its name may excuse something, and never a NaN in what is trained: masks and biases
of libraries are full of -inf, bounds and observers begin as infinity, a second moment may overflow
and only stop its weight. A word counts by itself: ``mask_token`` is a trained token and
``score_embedding`` an embedding.
"""

from __future__ import annotations

import re
from typing import Literal

from airflow_runai.checkpoints.checking.float_layouts import ContentTest

__all__ = ["MOMENTS", "TensorPlace", "excuse", "place_of"]

TensorPlace = Literal["weight", "moment", "other"]

MOMENTS = ("exp_avg", "momentum_buffer", "square_avg", "max_exp_avg_sq")
_SECOND = ("exp_avg_sq", "square_avg", "exp_inf", "sum")
#: Lightning's; weights are elsewhere, whatever a callback calls its numbers.
_FRAMEWORKS = ("callbacks", "loops", "lr_schedulers")
#: Containers of a training's own book-keeping, at the top of a checkpoint.
_BOOKKEEPING = re.compile(
    r"(?:(?:lr_?)?schedulers?|.*rng.*|(?:grad_?|amp_?|loss_?)?scaler|replay\w*|.*history|losses|metrics"
    r"|logs?|logger|samplers?|dataloaders?|datamodule|hparams|hyper_parameters|config|args|meters?|early_stopping)"
)
_MEASURES = {
    *(
        "best",
        "score",
        "scores",
        "loss",
        "losses",
        "metric",
        "metrics",
        "history",
        "hist",
        "kth",
        "grad",
        "perplexity",
    ),
    *(
        "accuracy",
        "acc",
        "error",
        "errors",
        "reward",
        "rewards",
        "min",
        "max",
        "low",
        "high",
        "lower",
        "upper",
    ),
    *("bound", "bounds", "limit", "limits", "log", "logs", "curve", "patience"),
}
_NEUTRAL = {
    *(
        "train",
        "training",
        "val",
        "valid",
        "validation",
        "test",
        "eval",
        "epoch",
        "epochs",
        "step",
        "steps",
        "last",
    ),
    *(
        "prev",
        "previous",
        "current",
        "total",
        "avg",
        "mean",
        "running",
        "norm",
        "value",
        "values",
        "per",
        "of",
    ),
}
_TRAINED = {
    *(
        "weight",
        "weights",
        "bias",
        "kernel",
        "embedding",
        "embeddings",
        "embed",
        "emb",
        "token",
        "tokens",
        "param",
    ),
    *(
        "parameter",
        "parameters",
        "gamma",
        "beta",
        "proj",
        "projection",
        "query",
        "key",
        "gate",
        "prompt",
    ),
}
_BOUNDS = {
    *(
        "low",
        "high",
        "lower",
        "upper",
        "min",
        "max",
        "amin",
        "amax",
        "bound",
        "bounds",
        "limit",
        "limits",
        "range",
    ),
    *("clip", "best", "score", "loss", "losses", "history"),
}
_OBSERVERS = {"min_val", "max_val", "min_value", "max_value"}
_MASKS = {"mask", "masked", "causal", "alibi"}
_NORMALIZER = re.compile(r"normali[sz]e|standardi[sz]|scaler|whiten", re.IGNORECASE)
_STATISTICS = {"mean", "std", "var", "min", "max", "scale", "median", "q01", "q99"}


def place_of(name: str, top: str = "", optimizers: tuple[str, ...] = ()) -> TensorPlace:
    """
    Say what a tensor is a part of.

    :param name: path of keys that leads to it.
    :param top: the first of these keys; the name itself in formats that have no other structure.
    :param optimizers: paths of what is an optimizer's state by its structure.
    """
    parts = [part for part in name.split(".") if part and not part.isdigit()]
    last = parts[-1] if parts else ""
    if top in _FRAMEWORKS:
        return "other"
    if any(moment in last for moment in MOMENTS) or any("optim" in part.lower() for part in parts):
        return "moment"
    if any(name.startswith(f"{path}.") for path in optimizers):
        return "moment"
    if not _words(last) & _TRAINED and (
        _BOOKKEEPING.fullmatch(top or name) or (len(parts) == 1 and _measures(last))
    ):
        return "other"
    return "weight"


def excuse(name: str, place: TensorPlace, content: ContentTest) -> str:
    """
    Code of the warning that values which are not finite come down to; empty where nothing excuses them.

    :param name: of the tensor.
    :param content: what was found in it.
    """
    parts = [part for part in name.split(".") if part and not part.isdigit()]
    last = parts[-1] if parts else ""
    if place == "other" or (place == "weight" and _is_statistic(parts, last)):
        return "score-non-finite"
    if content.nan:
        return ""
    if place == "moment":
        second = any(word in last for word in _SECOND[:2]) or last in _SECOND
        return "moment-infinite" if second and not content.minus else ""
    return _excuse_of_infinity(_words(last), last, content)


def _excuse_of_infinity(words: set[str], last: str, content: ContentTest) -> str:
    if content.minus and not content.plus:
        compound = last.endswith("_bias") or bool(words & _MASKS)
        if content.mask_like or (compound and not words & (_TRAINED - {"bias"})):
            return "mask-infinite"
    return "score-non-finite" if words & _BOUNDS and not words & _TRAINED else ""


def _is_statistic(parts: list[str], last: str) -> bool:
    """Of observers and normalizers, which count what they have content; a constant feature has no deviation."""
    if last in _OBSERVERS or last.endswith("_history"):
        return True
    return last in _STATISTICS and any(map(_NORMALIZER.search, parts[:-1]))


def _measures(last: str) -> bool:
    words = _words(last)
    return bool(words & _MEASURES) and words <= _MEASURES | _NEUTRAL


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
