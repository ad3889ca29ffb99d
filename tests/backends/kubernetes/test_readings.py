"""What a reading wants to write on the object, over the model."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_runai.backends.kubernetes.trainings.readings import TrainingReading, read_training
from airflow_runai.core.kubernetes.mirror import Mirror
from tests.core.kubernetes.trainings import Training
from tests.core.kubernetes.world import World
from tests.model.conftest import Stage
from tests.model.kubelet import Life
from tests.model.resources import EVENTS, JOBS, PODS


def reading(stage: Stage, name: str) -> TrainingReading:
    """Take a reading of what is, with all that was said."""
    mirror, store, now = Mirror(), stage.cluster.store, stage.clock.now()
    for kind, resource in (("Job", JOBS), ("Pod", PODS)):
        for one in store.all(resource):
            mirror.found(kind, one, now)
    mirror.events(store.all(EVENTS), now)
    found = read_training(mirror, store.get(JOBS, "team-b", name)["metadata"]["uid"])
    assert found is not None
    return found


OURS = {"airflow-runai/fingerprint": "0123456789abcdef"}


def interrupted(stage: Stage) -> TrainingReading:
    """Preempt a training, and read it."""
    stage.submit("train", Life(run=600, on_sigterm=(30.0, 143)))
    stage.clock.advance(5)
    stage.cluster.kai.reclaim(stage.pods("train")[0], " because" + 100 * " very" + " much")
    stage.clock.advance(2)
    return reading(stage, "train")


def test_words_that_are_too_long_for_the_history_are_written_once(stage: Stage) -> None:
    interrupted(stage)
    stage.patch("train", {"metadata": {"annotations": OURS}})
    patch = reading(stage, "train").amendment(stage.cluster.store.get(JOBS, "team-b", "train"))
    assert patch
    stage.patch("train", dict(patch))
    assert reading(stage, "train").is_amended


def test_nothing_is_written_on_what_somebody_else_made(stage: Stage) -> None:
    assert interrupted(stage).is_amended


@pytest.mark.parametrize(
    ("live", "succeeds"),
    [
        (lambda job: job.finish(job.run(), 0), True),
        (lambda job: job.evict(job.run(), 0), False),
        (lambda job: job.take(job.run(), 0), False),
    ],
)
def test_between_the_word_of_its_end_and_its_end_only_what_nobody_took_succeeds(
    live: Callable[[Training], None], succeeds: bool
) -> None:
    world, mirror = World(), Mirror()
    job = Training(world)
    live(job)
    seen: set[bool] = set()
    for one in world.said:
        one.tell(mirror)
        found = read_training(mirror, job.uid)
        if found and found.case.training.success and found.present.phase == "Terminating":
            seen.add(found.workload("").succeeds)
    assert seen == {succeeds}
