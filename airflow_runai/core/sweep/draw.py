"""The points of a sweep: those that its author lists, or those that a sampler takes of a space."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from airflow_runai.core.sweep.points import at_random, evenly, grid
from airflow_runai.core.sweep.space import Parameter, Parameters, read_space
from airflow_runai.core.sweep.study import KIND
from airflow_runai.core.sweep.trials import distinct, split
from airflow_runai.core.texts import cut
from airflow_runai.core.values import count_problems, nearest
from airflow_runai.errors import SpecError

#: ``grid``; or how many points of which kind, and a seed: ``{"random": 20, "seed": 1}``; Optuna
#: also has a study (:mod:`airflow_runai.core.sweep.study`).
Sampler: TypeAlias = "str | Mapping[str, int | str]"

_DRAWN: dict[str, Callable[[Sequence[Parameter], int, int], list[Parameters]]]
_DRAWN = {"random": at_random, "even": evenly}
_KEYS = (*_DRAWN, "seed")
_KINDS = (*_KEYS, KIND)
_SAMPLERS = "allowed: 'grid', {'random': 20}, {'even': 20}"
_ALLOWED = "allowed: {}, by [core] max_map_length"


def draw(space: Any, sampler: Sampler, limit: int) -> list[Parameters]:
    """
    Return what is tried.

    :param space: names of parameters to their values; or an iterable of mappings, what each trial
        has for itself.
    :param sampler: how points of a space are taken; equal ones are left out.
    :param limit: of points.
    :raises SpecError: listing what is wrong.
    """
    if isinstance(space, Iterable) and not isinstance(space, (str, bytes, Mapping)):
        return _listed(space, limit)
    if sampler == "grid":
        return grid(read_space(space), limit)
    kind, count, seed = _read_sampler(sampler)
    check_count(count, limit)
    return distinct(_DRAWN[kind](read_space(space), count, seed))


def _listed(given: Iterable[Any], limit: int) -> list[Parameters]:
    points = list(islice(given, limit + 1))  # it may have no end
    if len(points) > limit:
        raise SpecError([f"space: more than {limit} points; {_ALLOWED.format(limit)}"])
    for number, point in enumerate(points):
        if not isinstance(point, Mapping):
            raise SpecError(
                [f"space[{number}]: {cut(repr(point))}; allowed: names of parameters to values"]
            )
        parameters, _ = split(point)
        if parameters:
            read_space({name: [value] for name, value in parameters.items()})
    return points


def _read_sampler(sampler: Any) -> tuple[str, int, int]:
    """Return the kind of sampler, the number of points, and the seed."""
    if not isinstance(sampler, Mapping):
        raise SpecError([f"sampler: {cut(repr(sampler))}; {_SAMPLERS}"])
    if KIND in sampler:
        raise SpecError([f"sampler.{KIND}: only `runai_sweep` asks a study; {_SAMPLERS}"])
    problems = [f"sampler.{name}: {nearest(str(name), _KINDS)}" for name in sampler.keys() - _KEYS]
    kinds = [name for name in _DRAWN if name in sampler]
    if not problems and len(kinds) != 1:
        problems = [f"sampler: {cut(repr(sampler))}; allowed: one of 'random', 'even'"]
    # What has an unknown name is not shown: a study's address may hold a password.
    known = [name for name in _KEYS if name in sampler]
    problems += count_problems(
        {f"sampler.{name}": (sampler[name], 1 if name in _DRAWN else 0) for name in known}
    )
    if problems:
        raise SpecError(problems)
    return kinds[0], sampler[kinds[0]], sampler.get("seed", 0)


def check_count(count: int, limit: int) -> None:
    """
    Refuse more trials than Airflow makes mapped tasks.

    :raises SpecError: for more than that.
    """
    if count > limit:
        raise SpecError([f"space: {count} points; {_ALLOWED.format(limit)}"])
