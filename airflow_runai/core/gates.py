"""
Gates: conditions such as ``accuracy >= 0.95`` that metrics must pass before a promotion.

A gate may compare with the champion: ``accuracy >= champion.accuracy - 0.002``.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from airflow_runai.core.texts import cut
from airflow_runai.core.values import nearest
from airflow_runai.errors import MetricsError, SpecError

Metrics = Mapping[str, float]

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_CHANGES: dict[str, Callable[[Decimal, Decimal], Decimal]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}
_METRIC = r"[A-Za-z_][\w./-]*"
_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
# A metric's name may have a hyphen in it, so a blank ends it.
_OF_CHAMPION = rf"champion\.({_METRIC})(?:\s+([-+*])\s*({_NUMBER}))?"
# Without the blank, a subtraction reads as a name.
_SUBTRACTED = re.compile(r"-\d*\.\d+$")
_GATE = re.compile(rf"\s*({_METRIC})\s*(>=|<=|==|>|<)\s*(?:([-+]?{_NUMBER})|{_OF_CHAMPION})\s*")
_ALLOWED = (
    "allowed: METRIC >=|<=|==|>|< NUMBER or champion.METRIC, which +, - or * NUMBER may follow "
    "after a blank, such as 'accuracy >= 0.95' or 'accuracy >= champion.accuracy - 0.002'"
)


@dataclass(frozen=True)
class ChampionValue:
    """
    A metric of the champion, changed by a number if there is a ``change``.

    :param change: ``+``, ``-``, ``*`` or nothing.
    """

    metric: str
    change: str = ""
    number: float = 0.0

    def __str__(self) -> str:
        changed = f" {self.change} {self.number:.12g}" if self.change else ""
        return f"champion.{self.metric}{changed}"

    def of(self, metrics: Metrics) -> float:
        """
        Return the threshold.

        :raises MetricsError: if the champion has no such metric, or none that is finite.
        """
        value = metrics.get(self.metric, math.nan)
        if not math.isfinite(value):
            hint = cut(nearest(self.metric, metrics))
            raise MetricsError(
                f"gate on 'champion.{self.metric}': the champion has no such number; {hint}; "
                "promote one without this gate first"
            )
        if not self.change:
            return value
        # In decimals, as a person reads it: 0.9 - 0.2 is exactly 0.7, and a tie is one.
        exact = _CHANGES[self.change](Decimal(repr(value)), Decimal(repr(self.number)))
        return float(exact)


@dataclass(frozen=True)
class Gate:
    """
    One condition.

    :param metric: name of a metric.
    """

    metric: str
    comparison: str
    threshold: float | ChampionValue

    def __str__(self) -> str:
        compared = self.threshold
        shown = f"{compared:.12g}" if isinstance(compared, (int, float)) else str(compared)
        return f"{self.metric} {self.comparison} {shown}"


def parse_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """
    Read gates such as ``accuracy >= 0.95``.

    :raises SpecError: listing all that cannot be read.
    """
    if isinstance(texts, str):
        raise SpecError(
            [f"gates: {texts!r} is one text; allowed: a list of texts such as ['accuracy >= 0.95']"]
        )
    read = [(text, _gate(str(text))) for text in texts]
    problems = [f"gates: {text!r} cannot be read; {_ALLOWED}" for text, gate in read if not gate]
    if problems:
        raise SpecError(problems)
    return tuple(gate for _, gate in read if gate)


def _gate(text: str) -> Gate | None:
    match = _GATE.fullmatch(text)
    if not match:
        return None
    metric, comparison, number, of_champion, change, by = match.groups()
    written = float(number or by or 0)
    if not math.isfinite(written) or _SUBTRACTED.search(of_champion or ""):
        return None
    threshold = ChampionValue(of_champion, change or "", written) if of_champion else written
    return Gate(metric, comparison, threshold)


def compares(gates: Sequence[Gate]) -> bool:
    """Whether any gate compares with the champion."""
    return any(isinstance(gate.threshold, ChampionValue) for gate in gates)


def judge(gates: Sequence[Gate], metrics: Metrics, champion: Metrics | None = None) -> list[str]:
    """
    Return one sentence for each gate that is not passed.

    A metric that is not finite (a diverged training) never passes.

    :param champion: metrics of the champion. Without one there is nothing to be worse than, so any
        finite value passes a gate that compares.
    :raises MetricsError: if a metric is missing, because no gate on it can be judged. Without a
        champion, that includes what a gate asks of it: the first champion would lack it.
    """
    # All first: a missing metric is an error, even if another gate fails.
    values = [
        (gate, _value(metrics, gate.metric), limit)
        for gate, limit in zip(gates, limits(gates, champion), strict=True)
    ]
    for gate in gates:
        if champion is None and isinstance(gate.threshold, ChampionValue):
            _value(metrics, gate.threshold.metric)
    return [_failure(*judged) for judged in values if not _passes(*judged)]


def limits(gates: Sequence[Gate], champion: Metrics | None) -> list[float | None]:
    """
    Return the number that each gate compares with; ``None`` where there is no champion.

    :raises MetricsError: if the champion lacks a metric.
    """
    return [_limit(gate.threshold, champion) for gate in gates]


def _limit(threshold: float | ChampionValue, champion: Metrics | None) -> float | None:
    if not isinstance(threshold, ChampionValue):
        return threshold
    return None if champion is None else threshold.of(champion)


def _passes(gate: Gate, value: float, limit: float | None) -> bool:
    if not math.isfinite(value):
        return False
    return limit is None or _OPERATORS[gate.comparison](value, limit)


def _failure(gate: Gate, value: float, limit: float | None) -> str:
    compared = isinstance(gate.threshold, ChampionValue) and limit is not None
    against = f" against {limit:.12g}" if compared else ""
    return f"{gate.metric} is {value:.12g}{against}, the gate asks for {gate}"


def _value(metrics: Metrics, name: str) -> float:
    if name not in metrics:
        hint = cut(nearest(name, metrics))
        raise MetricsError(f"gate on {name!r}: the evaluation did not write this metric; {hint}")
    return metrics[name]
