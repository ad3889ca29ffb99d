"""The scheduler against 154 recorded scenarios of the real KAI v0.13.0."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.scheduling.playing import play
from tests.scheduling.scenario import read

FILES = sorted((Path(__file__).parent / "scenarios").glob("*.json"))


def _sum(flaws: bool) -> Counter[str]:
    total: Counter[str] = Counter()
    for file in FILES:
        total.update(asdict(play(read(file), flaws)))
    return total


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flaws", "running", "victims"),
    [
        pytest.param(True, 0.995, 0.995, id="as KAI"),
        pytest.param(False, 0.98, 0.94, id="as embedded Run:ai"),
    ],
)
def test_decisions_are_those_of_the_real_one(flaws: bool, running: float, victims: float) -> None:
    """In what is missing, the embedded Run:ai is right and KAI is not, but for an elastic job."""
    total = _sum(flaws)
    assert (len(FILES), total["steps"]) == (154, 1509)
    assert total["same_running"] >= running * total["steps"]
    assert total["same_gpus"] >= running * total["steps"]
    assert total["same_victims"] >= victims * total["evicting_steps"]
