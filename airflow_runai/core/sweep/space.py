"""
A space of parameters: what each may be, and on which others it depends.

A list is a choice. ``{"uniform": [low, high]}`` and ``{"log_uniform": [low, high]}`` are ranges of
numbers, ``{"integer": [low, high]}`` and ``{"log_integer": [low, high]}`` of whole ones, both ends
included. ``points`` says how many values of a range a grid takes, ``when`` with which values of
others the parameter exists at all.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from airflow_runai.core.secrets import in_value, is_secret
from airflow_runai.core.texts import cut
from airflow_runai.core.values import nearest
from airflow_runai.errors import SpecError

#: What one trial sets: names to values.
Parameters: TypeAlias = Mapping[str, Any]
#: What a choice may hold: JSON's plain values.
Value: TypeAlias = "str | int | float | bool"

_RANGES = {"uniform": (False, False), "log_uniform": (True, False)}
_RANGES |= {"integer": (False, True), "log_integer": (True, True)}
_KEYS = (*_RANGES, "choice", "points", "when")
#: Significant digits of a sampled number: more would only make names and logs unreadable.
DIGITS = 4


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Value, ...]

    def grid(self) -> Sequence[Value]:
        """Return all values."""
        return self.values

    def at(self, share: float) -> Value:
        """Return the value at a share of the space, from 0 to below 1."""
        return self.values[int(share * len(self.values))]

    def same(self, found: object) -> Value | None:
        """Return the value that somebody else's is; ``None`` if it is none of these."""
        equal = (one for one in self.values if type(one) is type(found) and one == found)
        return next(equal, None)


@dataclass(frozen=True)
class Range:
    """
    Numbers from ``low`` to ``high``.

    :param is_log: equal ratios are equally likely, instead of equal differences.
    :param is_whole: only whole numbers.
    :param points: of a grid; 0 if nobody has said.
    """

    low: float
    high: float
    is_log: bool
    is_whole: bool
    points: int = 0

    def grid(self) -> Sequence[Value]:
        """Return ``points`` values, both ends among them; fewer where whole numbers repeat."""
        steps = max(1, self.points - 1)
        return tuple(dict.fromkeys(self._value(at / steps) for at in range(self.points)))

    def at(self, share: float) -> Value:
        """Return the value at a share of the space, from 0 to below 1."""
        return self._value(share)

    def same(self, found: object) -> Value | None:
        """Return somebody else's number as it is written here; ``None`` if it does not lie here."""
        if not isinstance(found, int if self.is_whole else (int, float)) or isinstance(found, bool):
            return None
        if not self.low <= found <= self.high:
            return None
        return found if self.is_whole else self._short(found)

    def _value(self, share: float) -> Value:
        if self.is_whole:
            return self._whole(share)
        if self.is_log:
            found = math.exp(_between(math.log(self.low), math.log(self.high), share))
        else:
            found = _between(self.low, self.high, share)
        return self._short(found)

    def _short(self, found: float) -> float:
        return min(max(float(f"{found:.{DIGITS}g}"), self.low), self.high)

    def _whole(self, share: float) -> int:
        low, high = self.low - 0.5, self.high + 0.5
        if self.is_log:
            found = math.exp(_between(math.log(max(low, 0.5)), math.log(high), share))
        else:
            found = _between(low, high, share)
        return int(min(max(round(found), self.low), self.high))


@dataclass(frozen=True)
class Parameter:
    """
    One parameter of a space.

    :param when: names of others to the values with which this one exists.
    """

    name: str
    values: Choice | Range
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)

    def exists(self, others: Parameters) -> bool:
        """Whether it exists beside these values of the parameters before it."""
        return all(name in others and others[name] in known for name, known in self.when.items())


def read_space(space: object) -> tuple[Parameter, ...]:
    """
    Read a space.

    :raises SpecError: listing all that is wrong with it.
    """
    if not isinstance(space, Mapping) or not space:
        raise SpecError(
            [f"space: {cut(repr(space))}; allowed: names of parameters to their values"]
        )
    problems: list[str] = []
    found: list[Parameter] = []
    for name, described in space.items():
        try:
            found.append(_parameter(name, described, [one.name for one in found]))
        except ValueError as error:
            problems.append(f"space.{name}: {error}")
    if problems:
        raise SpecError(problems)
    return tuple(found)


def _parameter(name: object, described: object, before: Sequence[str]) -> Parameter:
    if not isinstance(name, str) or not name.replace("-", "_").isidentifier():
        raise ValueError("no name; allowed: letters, digits, '_' and '-', no digit first")
    given = described if isinstance(described, Mapping) else {"choice": described}
    for key in given:
        if key not in _KEYS:
            raise ValueError(f"{key!r} is unknown; {nearest(str(key), _KEYS)}")
    when = _when(given.get("when") or {}, before)
    kinds = [key for key in ("choice", *_RANGES) if key in given]
    if len(kinds) != 1:
        raise ValueError(f"{len(kinds)} of {', '.join(('choice', *_RANGES))}; allowed: one")
    (kind,) = kinds
    if kind == "choice":
        _refuse_secrets(name, given["choice"])  # first: other errors show values
        return Parameter(name, Choice(_choices(given["choice"])), when)
    return Parameter(name, _range(kind, given[kind], given.get("points", 0)), when)


def _choices(values: object) -> tuple[Value, ...]:
    if not isinstance(values, (list, tuple)) or not values:
        raise ValueError(f"{cut(repr(values))}; allowed: a list of values, or a range")
    wrong = [value for value in values if not _is_plain(value)]
    if wrong:
        raise ValueError(f"{cut(repr(wrong[0]))}; allowed: texts, finite numbers, true and false")
    if not all(_can_be_sent(value) for value in values if isinstance(value, str)):
        raise ValueError("a text that no process can be given; allowed: UTF-8 without NUL")
    # 1 and true are equal to Python, and two values to whoever wrote them.
    distinct = {(type(value), value): value for value in values}
    if len(distinct) < len(values):
        raise ValueError(f"{cut(repr(list(values)))} repeats a value; leave it out")
    return tuple(values)


def _refuse_secrets(name: str, values: object) -> None:
    """Refuse what may be a secret: names of workloads, tables and logs show all parameters."""
    given = values if isinstance(values, (list, tuple)) else [values]
    texts = (one for one in given if isinstance(one, str))
    if any(is_secret(name, text) or in_value(text) for text in texts):
        raise ValueError(
            "looks like a secret, and everybody sees parameters; give it as `environment` of the "
            "training: {'secret': {'name': …, 'key': …}}"
        )


def _can_be_sent(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _range(kind: str, ends: object, points: object) -> Range:
    is_log, is_whole = _RANGES[kind]
    if not isinstance(ends, (list, tuple)) or len(ends) != 2 or not all(map(_is_number, ends)):
        raise ValueError(f"{kind}: {cut(repr(ends))}; allowed: [low, high], two finite numbers")
    low, high = ends
    if not low < high:
        raise ValueError(f"{kind}: [{low}, {high}]; allowed: low < high")
    if not _is_number(high - low):
        raise ValueError(f"{kind}: [{low}, {high}]; allowed: ends whose difference is finite")
    if is_log and low <= 0:
        raise ValueError(f"{kind}: [{low}, {high}]; allowed: low > 0")
    if is_whole and not (float(low).is_integer() and float(high).is_integer()):
        raise ValueError(f"{kind}: [{low}, {high}]; allowed: two whole numbers")
    if isinstance(points, bool) or not isinstance(points, int) or points < 0 or points == 1:
        raise ValueError(f"points: {points!r}; allowed: a whole number from 2")
    return Range(low, high, is_log, is_whole, points)


def _when(when: object, before: Sequence[str]) -> dict[str, tuple[Value, ...]]:
    if not isinstance(when, Mapping):
        raise ValueError(f"when: {cut(repr(when))}; allowed: names of parameters to their values")
    for name in when:
        if name not in before:
            raise ValueError(f"when.{name}: no parameter before this one; {nearest(name, before)}")
    return {name: _choices(v if isinstance(v, (list, tuple)) else [v]) for name, v in when.items()}


def _is_plain(value: object) -> bool:
    return isinstance(value, (str, bool)) or _is_number(value)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    # Of whole numbers, too: one that is larger is neither drawn nor shown.
    return abs(value) <= sys.float_info.max


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share
