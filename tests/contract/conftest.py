"""The worlds in which each case is played, and the skip by name of what a world does not know."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.emulator import Emulator
from tests.conftest import Serve
from tests.contract.embedded import AwaitingRig, EmbeddedRig
from tests.contract.rig import MakeRig, Rig

WORLDS = {"embedded, blocking": EmbeddedRig, "embedded, awaiting": AwaitingRig}


@pytest.fixture(params=list(WORLDS.values()), ids=list(WORLDS))
def world(request: pytest.FixtureRequest) -> type[EmbeddedRig]:
    """The kind of world; skips a case that needs what it does not know."""
    kind: type[EmbeddedRig] = request.param
    needs = {name for mark in request.node.iter_markers("needs") for name in mark.args}
    if missing := needs - kind.knows:
        pytest.skip(
            f"{request.node.originalname}: this world knows no {', '.join(sorted(missing))}"
        )
    return kind


@pytest.fixture
def rig(world: type[EmbeddedRig], emulator: Emulator) -> Rig:
    """A world that is empty at first."""
    return world(emulator)


@pytest.fixture
def make_rig(world: type[EmbeddedRig], emulate: Serve) -> MakeRig:
    """Make a world with settings of one's own."""

    def make(**details: Any) -> Rig:
        return world(emulate(**details))

    return make
