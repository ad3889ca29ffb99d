"""The worlds in which each case is played, and the skip by name of what a world does not know."""

from __future__ import annotations

import pytest

from airflow_runai.emulator import Emulator
from tests.conftest import Serve
from tests.contract.embedded import AwaitingRig, EmbeddedRig
from tests.contract.model import AwaitingModelRig, ModelRig
from tests.contract.rig import MakeRig, Rig

World = type[EmbeddedRig] | type[ModelRig]
WORLDS: dict[str, World] = {
    "embedded, blocking": EmbeddedRig,
    "embedded, awaiting": AwaitingRig,
    "model, blocking": ModelRig,
    "model, awaiting": AwaitingModelRig,
}


@pytest.fixture(params=list(WORLDS.values()), ids=list(WORLDS))
def world(request: pytest.FixtureRequest) -> World:
    """The kind of world; skips a case that needs what it does not know."""
    kind: World = request.param
    needs = {name for mark in request.node.iter_markers("needs") for name in mark.args}
    if missing := needs - kind.knows:
        pytest.skip(
            f"{request.node.originalname}: this world knows no {', '.join(sorted(missing))}"
        )
    return kind


@pytest.fixture
def rig(world: World, request: pytest.FixtureRequest) -> Rig:
    """A world that is empty at first."""
    if issubclass(world, ModelRig):
        return world()
    emulator: Emulator = request.getfixturevalue("emulator")
    return world(emulator)


@pytest.fixture
def make_rig(world: World, request: pytest.FixtureRequest) -> MakeRig:
    """Make a world with settings of one's own."""
    if issubclass(world, ModelRig):
        return world
    emulate: Serve = request.getfixturevalue("emulate")
    return lambda **details: world(emulate(**details))
