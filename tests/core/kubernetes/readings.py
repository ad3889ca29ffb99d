"""What a client says of a training in the world on paper, having heard of it."""

from __future__ import annotations

from airflow_runai.core.kubernetes.case import Case
from airflow_runai.core.kubernetes.incarnations import incarnations
from airflow_runai.core.kubernetes.mirror import Mirror
from airflow_runai.core.kubernetes.verdict import TrainingVerdict, verdict
from tests.core.kubernetes.trainings import Training
from tests.core.kubernetes.world import Object, Said, World


def hear(world: World, *more: Said, mirror: Mirror | None = None) -> Mirror:
    mirror = mirror or Mirror()
    for one in (*world.said, *more):
        one.tell(mirror)
    return mirror


def known(mirror: Mirror, training: Training) -> Case:
    case = mirror.case(training.uid)
    assert case is not None
    return case


def judged(mirror: Mirror, training: Training) -> TrainingVerdict:
    case = known(mirror, training)
    return verdict(case, incarnations(case))


def ends(mirror: Mirror, training: Training) -> list[tuple[str, str, int | None]]:
    return [(one.ended, one.by, one.exit_code) for one in incarnations(known(mirror, training))]


def event_pod(world: World) -> Object:
    return next(one.object for one in world.said if one.kind == "Pod")
