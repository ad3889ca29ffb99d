"""The trainings of a namespace: which live, which have just ended, and the GPUs they still want."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_runai.core.kubernetes.gpus import gpus_of_job, gpus_of_set
from airflow_runai.core.kubernetes.objects import at, conditions, controller, holds, moment, word

#: Conditions that end a Job or a JobSet.
ENDS = ("Complete", "Completed", "Failed")


@dataclass(frozen=True)
class TrainingLoad:
    """
    What one Job or JobSet weighs.

    :param gpus: of all its pods that may run at the same time.
    :param ended_at: epoch seconds; ``None`` while it lives.
    :param is_paused: it is suspended, so it waits for nothing unless a queue has done that.
    """

    uid: str
    name: str
    gpus: float
    ended_at: float | None
    is_paused: bool


def loads(
    jobs: Iterable[Mapping[str, Any]], sets: Iterable[Mapping[str, Any]]
) -> list[TrainingLoad]:
    """Read Jobs and JobSets; the Jobs of a set are part of it."""
    own = [_load(job, gpus_of_job(job)) for job in jobs if not controller(job, "JobSet")]
    return [*own, *(_load(one, gpus_of_set(one)) for one in sets)]


def _load(found: Mapping[str, Any], gpus: float) -> TrainingLoad:
    known = conditions(found)
    ends = [moment(known[end], "lastTransitionTime") for end in ENDS if holds(known.get(end))]
    return TrainingLoad(
        word(found, "metadata", "uid"),
        word(found, "metadata", "name"),
        gpus,
        (ends[0] or 0.0) if ends else None,
        at(found, "spec", "suspend") is True,
    )
