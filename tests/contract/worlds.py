"""Which case is played in which world: all on the stepped clock; on the rig what only a real server proves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.contract.cases import CASES
from tests.contract.embedded import AwaitingRig, EmbeddedRig
from tests.contract.lane_rig import ConditionRig, KueueRig, LaneRig, PlainRig
from tests.contract.model import AwaitingModelRig, ModelRig

World = type[EmbeddedRig] | type[ModelRig] | type[LaneRig]
STEPPED: Mapping[str, World] = {
    "embedded, blocking": EmbeddedRig,
    "embedded, awaiting": AwaitingRig,
    "model, blocking": ModelRig,
    "model, awaiting": AwaitingModelRig,
}
ON_THE_RIG: Mapping[str, type[LaneRig]] = {
    "rig, kai": LaneRig,
    "rig, condition": ConditionRig,
    "rig, plain": PlainRig,
    "rig, kueue": KueueRig,
}
#: The cases of each world of the rig that take less than 20 s and prove what no model can.
SOON: Mapping[str, frozenset[str]] = {
    "rig, kai": frozenset(CASES),
    "rig, condition": frozenset(),
    "rig, plain": frozenset(),
    "rig, kueue": frozenset(),
}
#: Those that only `make qualify` and `make contract` play.
LATER: Mapping[str, frozenset[str]] = {
    "rig, kai": frozenset(CASES),
    "rig, condition": frozenset(CASES),
    "rig, plain": frozenset(CASES),
    "rig, kueue": frozenset(CASES),
}


def worlds_of(case: str) -> list[Any]:
    """Return the worlds of a case, as parameters of a test."""
    stepped = [pytest.param(kind, id=name) for name, kind in STEPPED.items()]
    return [*stepped, *(found for name in ON_THE_RIG for found in _on_the_rig(name, case))]


def _on_the_rig(name: str, case: str) -> list[Any]:
    marks = [pytest.mark.rig, pytest.mark.slow]
    if case not in SOON[name]:
        if case not in LATER[name]:
            return []
        marks.append(pytest.mark.qualify)
    return [pytest.param(ON_THE_RIG[name], id=name, marks=marks)]
