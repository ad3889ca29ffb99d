"""The simulation's control plane and the embedded Run:ai say the same, over a real socket."""

from __future__ import annotations

import pytest

from airflow_runai.emulator import EmulatorSettings, Scenario, SteppedClock, serve
from tests.simulation.clock import BEGIN
from tests.simulation.random_history import history_of
from tests.simulation.simulation import Simulation
from tests.simulation.twin import GRACE, RUN, START, Twin, comparable


def held(seed: int, run_seconds: float = RUN) -> Twin:
    """Hold one conversation with both."""
    scenario = Scenario(run_seconds=run_seconds, keeps_progress=False, stop_seconds=GRACE)
    scenarios = {name: scenario for name in ("train", "other")}
    given = EmulatorSettings(
        clock=SteppedClock(BEGIN), scenarios=scenarios, initializing_seconds=START, nodes=4
    )
    with serve(given) as emulator:
        simulation = Simulation(comparable(history_of(seed)))
        twin = Twin(simulation, emulator)
        simulation.play()
    return twin


@pytest.mark.slow
def test_both_control_planes_say_the_same_for_twenty_seeds() -> None:
    twins = [held(seed) for seed in range(20)]
    assert [difference for twin in twins for difference in twin.differences] == []
    asked = [call for twin in twins for call in twin.asked]
    assert len(asked) > 200
    assert {call.partition(" ")[0] for call in asked} == {"GET", "POST", "DELETE"}


def test_a_control_plane_of_another_opinion_is_seen() -> None:
    assert any("Completed" in difference for difference in held(1, run_seconds=RUN / 2).differences)
