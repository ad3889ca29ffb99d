"""
What the real clusters showed when they were recorded, the rig shows, too, from the same causes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests import recordings
from tests.recording_checks import talk_problems
from tests.referee.comparing import differences
from tests.referee.facts import facts_of
from tests.referee.playing import play
from tests.referee.scenes import SCENES
from tests.rig.cluster import Cluster

#: One short recording of each kind; all others take half an hour, and run in `make qualify`.
ONE_OF_EACH = (
    "kai/12-evict-exit-0",
    "kai-jobset/gang-succeed",
    "jobset/gang-succeed",
    "kueue/admitted-and-succeed",
    "plain/preempt-exit-0",
)
#: Differences that are no fault of the rig's: two outcomes of a race, of which the recording has
#: one.
BY_CHANCE = {
    # The Job controller takes its finalizer off the sibling of a failed worker before or after that
    # has ended.
    "jobset/restarts-exhausted": r"Pod nightly-gang-3-worker-0-0 #\d: finalizer batch\.kubernetes\.io/job-tracking: ",
    "jobset/worker-fails-and-set-restarts": r"Pod nightly-gang-2-worker-0-0 #1: finalizer batch\.kubernetes\.io/job-tr",
    # The Job controller lets go of a deleted pod before or after the kubelet, which has nothing to
    # end, says it failed.
    "kai/06-image-error-deleted": r"Pod nightly-bert-6 #1: finalizer batch\.kubernetes\.io/job-tracking absent came be",
    # The controller of JobSets says that it suspended the set before or after Kueue has admitted
    # it.
    "kueue/gang-reclaimed-and-resumed": r"JobSet nightly-gang-8 #1: (condition Suspended|restarts 0 came before susp)",
    # The grouper restores the owner of the orphan's PodGroup, which is then collected, if it looks
    # before the pod has lost its own owner; else the group stays until its end without an owner.
    "kai/32-orphaned-by-delete": r"PodGroup pg-nightly-bert-32 #1: (owner|gone|allocated|requested): ",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of its own: scenes reconfigure it, and use all that both teams have."""
    with Cluster() as cluster:
        yield cluster


def check(cluster: Cluster, name: str) -> None:
    recorded = recordings.named(name)
    live = play(cluster, recorded)
    assert list(talk_problems(live.entries)) == []
    found = differences(facts_of(recorded.entries), facts_of(live.entries))
    assert [one for one in found if not re.match(BY_CHANCE.get(name, "$^"), one)] == []


def test_every_recording_has_its_scene() -> None:
    assert sorted(SCENES) == recordings.names()


@pytest.mark.rig
@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_the_rig_shows_what_was_recorded(cluster: Cluster, name: str) -> None:
    check(cluster, name)


@pytest.mark.rig
@pytest.mark.slow
@pytest.mark.qualify
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", recordings.names())
def test_the_rig_shows_all_that_was_recorded(cluster: Cluster, name: str) -> None:
    check(cluster, name)
