"""The worlds in which each case is played, and the skip by name of what a world does not know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.emulator import Emulator
from tests.conftest import Serve
from tests.contract.embedded import EmbeddedRig
from tests.contract.given import GivenRig
from tests.contract.lane_rig import LaneRig
from tests.contract.model import ModelRig
from tests.contract.rig import MakeRig, Rig
from tests.contract.worlds import World, worlds_of
from tests.rig.cluster import Cluster
from tests.rig.lanes import Lane, lane
from tests.rig.needed import pytest_runtest_setup

__all__ = ["pytest_runtest_setup"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Play a case in each world that it is meant for."""
    if "world" in metafunc.fixturenames:
        worlds = worlds_of(metafunc.function.__name__.removeprefix("test_"))
        metafunc.parametrize("world", worlds, indirect=True)


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    """The kind of world; skips a case that needs what it does not know."""
    kind: World = request.param
    needs = {name for mark in request.node.iter_markers("needs") for name in mark.args}
    if missing := needs - kind.knows:
        pytest.skip(
            f"{request.node.originalname}: this world knows no {', '.join(sorted(missing))}"
        )
    return kind


@pytest.fixture(scope="session")
def contract_lane(rig_cluster: Cluster) -> Iterator[Lane]:
    """A lane with four GPUs, two for each of its queues."""
    with lane(rig_cluster, gpus=4) as own:
        yield own


@pytest.fixture
def make_rig(world: World, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeRig]:
    """Make a world with settings of one's own."""
    if issubclass(world, ModelRig):
        yield world
    elif issubclass(world, EmbeddedRig):
        emulate: Serve = request.getfixturevalue("emulate")
        yield lambda **details: world(emulate(**details))
    elif issubclass(world, GivenRig):
        given = world.open()
        yield lambda **details: given
        given.close()
    elif issubclass(world, LaneRig):
        made: list[LaneRig] = []
        own: Lane = request.getfixturevalue("contract_lane")

        def make(**details: Any) -> Rig:
            made.append(world(own, tmp_path, **details))
            return made[-1]

        yield make
        for one in made:
            one.close()


@pytest.fixture
def rig(world: World, request: pytest.FixtureRequest) -> Rig:
    """A world that is empty at first."""
    if issubclass(world, EmbeddedRig):
        emulator: Emulator = request.getfixturevalue("emulator")
        return world(emulator)
    make: MakeRig = request.getfixturevalue("make_rig")
    return make()
