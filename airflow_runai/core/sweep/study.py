"""
A study of Optuna, as data: what a sampler may say of it, and a space in the words of both.

Optuna remembers the trials of earlier runs in a study, and proposes points by what came of them. A
study lies in storage that others can write to, so what comes out of it is checked against the
space.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.sweep.space import Choice, Parameter, Parameters, Range, Value
from airflow_runai.core.values import Check, nearest, text, whole
from airflow_runai.errors import SpecError

KIND = "optuna"
_STORAGES = "the path of a journal file, or the id of a connection to a database"
_NO_STUDY = f"sampler.study: missing; give {_STORAGES}"


def storage_of_study(value: object) -> str:
    """
    Accept a path or the id of a connection.

    :raises ValueError: for anything else; an address is not shown, as it may hold a password.
    """
    storage = text(value)
    if "://" in storage:
        raise ValueError(f"an address; allowed: {_STORAGES}, where its password belongs")
    return storage


_CHECKS: dict[str, Check] = {
    KIND: whole(1),
    "seed": whole(0),
    "study": storage_of_study,
    "name": text,
}


@dataclass(frozen=True)
class StudySampler:
    """
    How trials are asked of a study.

    :param count: trials of one run.
    :param study: path of a journal file, or the id of a connection to a database.
    :param name: of the study in there; empty if nobody has said.
    """

    count: int
    study: str
    seed: int = 0
    name: str = ""


def read_study_sampler(sampler: object) -> StudySampler | None:
    """
    Read a sampler such as ``{"optuna": 20, "study": "/shared/digits.journal"}``.

    :return: ``None`` for one of another kind.
    :raises SpecError: listing all that is wrong with it.
    """
    if not isinstance(sampler, Mapping) or KIND not in sampler:
        return None
    problems = [] if "study" in sampler else [_NO_STUDY]
    checked: dict[str, Any] = {}
    for name, value in sampler.items():
        try:
            checked[name] = _checked(name, value)
        except ValueError as error:
            problems.append(f"sampler.{name}: {error}")
    if problems:
        raise SpecError(problems)
    return StudySampler(checked.pop(KIND), **checked)


def _checked(name: object, value: object) -> Any:
    if name not in _CHECKS:
        raise ValueError(nearest(str(name), _CHECKS))
    return _CHECKS[str(name)](value)


def suggestion(values: Choice | Range) -> tuple[str, JsonObject]:
    """Return how Optuna is asked for a value: the end of a method, ``suggest_…``; arguments."""
    if isinstance(values, Choice):
        return "categorical", {"choices": list(values.values)}
    if values.is_whole:
        ends: JsonObject = {"low": int(values.low), "high": int(values.high)}
        return "int", {**ends, "log": values.is_log}
    return "float", {"low": values.low, "high": values.high, "log": values.is_log}


def seed_of(seed: int, number: int) -> int:
    """
    Return the seed of a trial, below 2³²: seeds that are neighbours have no points in common.

    :param number: trials that the study has already.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big")


def point_of(space: Sequence[Parameter], found: Mapping[str, object]) -> Parameters | None:
    """
    Return the parameters of a study's trial as a point of a space: in its order, as it writes them.

    :return: ``None`` if it is no point of this space.
    """
    point: dict[str, Value] = {}
    for one in space:
        if not one.exists(point):
            continue
        value = one.values.same(found.get(one.name))
        if value is None:
            return None
        point[one.name] = value
    return point if len(point) == len(found) else None
