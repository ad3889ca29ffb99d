"""Gates: conditions such as ``accuracy >= 0.95`` that metrics must pass before a promotion."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from airflow_runai.core.texts import cut
from airflow_runai.core.values import nearest
from airflow_runai.errors import MetricsError, SpecError

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_GATE = re.compile(
    r"\s*([A-Za-z_][\w./-]*)\s*(>=|<=|==|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*"
)
_ALLOWED = "allowed: METRIC >=|<=|==|>|< NUMBER, such as 'accuracy >= 0.95'"


@dataclass(frozen=True)
class Gate:
    """
    One condition.

    :param metric: name of a metric.
    """

    metric: str
    comparison: str
    threshold: float

    def __str__(self) -> str:
        return f"{self.metric} {self.comparison} {self.threshold:.12g}"


def parse_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """
    Read gates such as ``accuracy >= 0.95``.

    :raises SpecError: listing all that cannot be read.
    """
    if isinstance(texts, str):
        raise SpecError(
            [f"gates: {texts!r} is one text; allowed: a list of texts such as ['accuracy >= 0.95']"]
        )
    gates, problems = [], []
    for text in texts:
        if match := _GATE.fullmatch(str(text)):
            metric, comparison, threshold = match.groups()
            gates.append(Gate(metric, comparison, float(threshold)))
        else:
            problems.append(f"gates: {text!r} cannot be read; {_ALLOWED}")
    if problems:
        raise SpecError(problems)
    return tuple(gates)


def judge(gates: Sequence[Gate], metrics: Mapping[str, float]) -> list[str]:
    """
    Return one sentence for each gate that is not passed.

    A metric that is not finite (a diverged training) never passes.

    :raises MetricsError: if a metric is missing, because no gate on it can be judged.
    """
    # All first: a missing metric is an error, even if another gate fails.
    values = [(gate, _value(metrics, gate.metric)) for gate in gates]
    return [
        f"{gate.metric} is {value:.12g}, the gate asks for {gate}"
        for gate, value in values
        if not math.isfinite(value) or not _OPERATORS[gate.comparison](value, gate.threshold)
    ]


def _value(metrics: Mapping[str, float], name: str) -> float:
    if name not in metrics:
        hint = cut(nearest(name, metrics))
        raise MetricsError(f"gate on {name!r}: the evaluation did not write this metric; {hint}")
    return metrics[name]
