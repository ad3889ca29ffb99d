"""Trials: points of a space with names by which people tell them apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airflow_runai.core.naming import MAX_SLUG_LENGTH
from airflow_runai.core.sweep.space import Parameters
from airflow_runai.core.texts import cut
from airflow_runai.errors import SpecError


@dataclass(frozen=True)
class Trial:
    """
    One run of a sweep.

    :param number: its place among all trials, from 0.
    :param name: readable part of its workload's name: a DNS label.
    :param label: how Airflow shows it, such as ``lr=0.02 batch-size=64``.
    """

    number: int
    parameters: Parameters
    name: str
    label: str

    def arguments(self) -> list[str]:
        """Return the parameters as a start-up script gets them in ``"$@"``."""
        return [f"{name}={shown(value)}" for name, value in self.parameters.items()]

    def environment(self) -> dict[str, str]:
        """Return the parameters as variables: ``batch-size`` as ``BATCH_SIZE``."""
        return {_variable(name): shown(value) for name, value in self.parameters.items()}


def make_trials(points: Sequence[Parameters], *, may_repeat: bool = False) -> tuple[Trial, ...]:
    """
    Name points.

    :param may_repeat: points may be equal, as those that are asked of a study.
    :raises SpecError: if there is none, two are equal, or two parameters would share a variable.
    """
    if not points:
        raise SpecError(["space: no point in it; allowed: at least one"])
    labels = [" ".join(f"{name}={shown(value)}" for name, value in one.items()) for one in points]
    if not may_repeat and (repeated := _repeated(labels)):
        raise SpecError([f"space: {cut(label)!r} is there twice" for label in repeated[:5]])
    _check_variables(points)
    names = _names(points)
    return tuple(
        Trial(number, point, names[number], labels[number]) for number, point in enumerate(points)
    )


def distinct(points: Iterable[Parameters]) -> list[Parameters]:
    """Return points without those that equal an earlier one: random ones may."""
    kept: dict[str, Parameters] = {}
    for point in points:
        kept.setdefault(repr(sorted(point.items())), point)  # unlike equality, tells 1 from true
    return list(kept.values())


def shown(value: object) -> str:
    """Return a value as a script reads it: ``true``, ``0.02``, ``adam``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _names(points: Sequence[Parameters]) -> list[str]:
    plain = [_slug(one) for one in points]
    fit = all(len(name) <= MAX_SLUG_LENGTH for name in plain) and not _repeated(plain)
    return plain if fit else [_numbered(name, number) for number, name in enumerate(plain)]


def _slug(point: Parameters) -> str:
    words = "-".join(f"{name}-{shown(value)}" for name, value in point.items())
    plain = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    # A DNS label begins with a letter.
    return plain if plain[:1].isalpha() else f"t-{plain}"


def _numbered(name: str, number: int) -> str:
    """Return a name that ends with its number, so that no two are equal however they are cut."""
    end = f"-{number}"
    return name[: MAX_SLUG_LENGTH - len(end)].rstrip("-") + end


def _repeated(words: Iterable[str]) -> list[str]:
    return [word for word, count in Counter(words).items() if count > 1]


def _check_variables(points: Sequence[Parameters]) -> None:
    names = dict.fromkeys(name for point in points for name in point)
    if repeated := _repeated(map(_variable, names)):
        shared = [name for name in names if _variable(name) in repeated]
        raise SpecError([f"space: {', '.join(shared)} would be one variable; rename one"])


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")
