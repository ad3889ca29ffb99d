"""
Asking a study of Optuna for points, and telling it what came of them; both can be repeated.

A trial that is asked for gets the mark of its run first and its map index last, when all
its parameters are known. So whoever asks again finds what was asked, and ends what a try that died
has left half-made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_runai.core.sweep.space import Parameter, Parameters
from airflow_runai.core.sweep.study import point_of, seed_of, suggestion
from airflow_runai.core.texts import cut
from airflow_runai.errors import InvalidArgument

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

#: Attributes of a study, and of a trial.
_METRIC = "airflow_metric"
_RUN, _MAP_INDEX = "airflow_run", "airflow_map_index"


@dataclass(frozen=True)
class Asked:
    """
    A trial that a study was asked for.

    :param number: in the study.
    """

    number: int
    parameters: Parameters


def open_study(storage: BaseStorage, name: str, metric: str, mode: str) -> Study:
    """
    Return a study; make it if there is none of that name.

    :raises InvalidArgument: if it is there, and about something else.
    """
    import optuna
    from optuna.study import StudyDirection

    direction = StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE
    study = optuna.create_study(
        storage=storage, study_name=name, direction=direction, load_if_exists=True
    )
    known = study.user_attrs.get(_METRIC, metric)
    if known != metric or study.directions != [direction]:
        found = ", ".join(one.name.lower() for one in study.directions)
        raise InvalidArgument(
            [
                f"study: {name!r} is there to {found} {cut(str(known))!r}, not to "
                f"{direction.name.lower()} {metric!r}; name another one"
            ]
        )
    study.set_user_attr(_METRIC, metric)
    return study


def ask(study: Study, space: Sequence[Parameter], count: int, run: str, seed: int) -> list[Asked]:
    """
    Return the trials of a run, by their map index; ask for those that are missing.

    :param run: names the run; the same run gets the same trials.
    :param seed: the same seed and the same study lead to the same points.
    :raises InvalidArgument: if the study knows a parameter as one of another kind.
    """
    known = _of_run(study, space, count, run)
    _give_up(study, run, kept={one.number for one in known.values()})
    for index in range(count):
        if index not in known:
            _ask_one(study, space, index, run, seed)
    # Read again, so that a repetition finds the same by the same means.
    known = _of_run(study, space, count, run)
    return [known[index] for index in range(count)]


def tell(study: Study, run: str, scores: Mapping[int, float | None]) -> list[int]:
    """
    Tell what came of the trials of a run, except for those of which that was told before.

    :param scores: by number in the study; ``None``, or not finite: the trial has failed.
    :return: the numbers of which the study did not know yet.
    :raises InvalidArgument: for a trial that the study was not asked for by this run.
    """
    trials = {trial.number: trial for trial in _marked(study, run)}
    if strange := sorted(scores.keys() - trials):
        raise InvalidArgument(
            [f"study: {study.study_name!r} has no trial {strange[0]} of this run: it was replaced"]
        )
    new = [number for number in scores if not trials[number].state.is_finished()]
    for number in new:
        _end(study, number, scores[number])
    return new


def _end(study: Study, number: int, score: float | None) -> None:
    from optuna.trial import TrialState

    # Somebody may have ended it since we have looked.
    if score is None or not math.isfinite(score):
        study.tell(number, state=TrialState.FAIL, skip_if_finished=True)
    else:
        study.tell(number, score, skip_if_finished=True)


def _of_run(study: Study, space: Sequence[Parameter], count: int, run: str) -> Mapping[int, Asked]:
    """Return the whole trials of a run by their map index; of two, as after a race, the first."""
    found: dict[int, Asked] = {}
    for trial in _marked(study, run):
        index, point = trial.user_attrs.get(_MAP_INDEX), point_of(space, trial.params)
        if isinstance(index, int) and 0 <= index < count and point is not None:
            found.setdefault(index, Asked(trial.number, point))
    return found


def _marked(study: Study, run: str) -> Iterator[FrozenTrial]:
    trials = study.get_trials(deepcopy=False)
    return (trial for trial in trials if trial.user_attrs.get(_RUN) == run)


def _give_up(study: Study, run: str, kept: set[int]) -> None:
    """End the trials of a run that nobody will train: half-made, or of a space that has changed."""
    for trial in _marked(study, run):
        if trial.number not in kept:
            _end(study, trial.number, None)


def _ask_one(study: Study, space: Sequence[Parameter], index: int, run: str, seed: int) -> None:
    from optuna.samplers import TPESampler

    # One sampler for all would begin again, with the same points, when a try asks for the rest.
    # It takes trials that run for bad ones, so that those of one run do not crowd.
    so_far = len(study.get_trials(deepcopy=False))
    study.sampler = TPESampler(seed=seed_of(seed, so_far), constant_liar=True)
    trial = study.ask()
    trial.set_user_attr(_RUN, run)
    try:
        _suggest(trial, space)
    except InvalidArgument:
        _end(study, trial.number, None)
        raise
    trial.set_user_attr(_MAP_INDEX, index)


def _suggest(trial: Trial, space: Sequence[Parameter]) -> None:
    point: dict[str, Any] = {}
    for one in space:
        if not one.exists(point):
            continue
        kind, arguments = suggestion(one.values)
        try:
            found = getattr(trial, f"suggest_{kind}")(one.name, **arguments)
        except ValueError as error:
            raise InvalidArgument(
                [
                    f"space.{one.name}: the study knows it otherwise ({cut(str(error))}); name "
                    "another study, or the parameter anew"
                ]
            ) from None
        point[one.name] = one.values.same(found)
