"""Life by a stepped clock: scripted workloads, and a week in seconds."""

from __future__ import annotations

import math
import time

import pytest

from airflow_runai.emulator import Emulator, EmulatorSettings, Scenario, SteppedClock, serve

from .conftest import Client

WEEK = 7 * 24 * 3600.0
HOUR = 3600.0


def test_a_week_with_hundreds_of_preemptions_takes_seconds_of_work() -> None:
    scenario = Scenario(
        run_seconds=150 * HOUR, preempt_every=1800, checkpoint_seconds=60, stop_seconds=20
    )
    began = time.process_time()
    with serve(EmulatorSettings(clock=SteppedClock(), scenarios={"long": scenario})) as emulator:
        client = Client(emulator)
        ids = [client.create(f"long-{number}") for number in range(2)]
        emulator.advance(WEEK)
        for workload in emulator.workloads_named("long"):
            assert workload.phase == "Completed"
            assert workload.incarnation > 295
            assert workload.running_seconds == pytest.approx(150 * HOUR, rel=0.05)
        phases = [
            record.phase for record in emulator.world.workloads[ids[0]].history if record.phase
        ]
        assert phases.count("Terminating") == emulator.world.workloads[ids[0]].incarnation - 1
    assert time.process_time() - began < 10


def test_nothing_happens_until_time_passes(stepped: Emulator, steps: Client) -> None:
    created = steps.create("one")
    assert steps.phase(created) == "Creating"
    stepped.advance(0)
    assert steps.phase(created) == "Initializing"
    stepped.advance(1)
    assert steps.phase(created) == "Running"
    stepped.advance(58)
    assert steps.phase(created) == "Running"
    stepped.advance(5)
    assert steps.phase(created) == "Completed"


def test_times_add_up(stepped: Emulator, steps: Client) -> None:
    first = steps.create("first", gpus=2)
    steps.create("second", gpus=2)
    third = steps.create("third", gpus=2)
    stepped.advance(100)
    stepped.advance(100)
    assert steps.workload(first)["totalRunningTimeSeconds"] == 60
    assert steps.workload(third)["totalPendingTimeSeconds"] == 60
    assert steps.workload(third)["totalRunningTimeSeconds"] == 60


def test_scenario_can_fail_a_certain_incarnation() -> None:
    scenario = Scenario(run_seconds=60, exits={1: (5, 3), 2: (5, 4)})
    with serve(EmulatorSettings(clock=SteppedClock(), scenarios={"shaky": scenario})) as emulator:
        client = Client(emulator)
        created = client.create("shaky")
        emulator.advance(200)
        messages = [message for phase, message in client.history(created) if phase == "Pending"]
        assert [m.startswith("Back-off restarting failed container") for m in messages] == [
            False,
            True,
            True,
        ]
        assert client.phase(created) == "Completed"


def test_preempted_again_and_again_before_it_runs_it_is_placed_again() -> None:
    given = EmulatorSettings(
        clock=SteppedClock(), scenarios={"slow": Scenario(run_seconds=60)}, initializing_seconds=60
    )
    with serve(given) as emulator:
        client = Client(emulator)
        created = client.create("slow")
        for _ in range(4):
            emulator.advance(20)
            assert client.phase(created) == "Initializing"
            assert emulator.preempt("slow")
        emulator.advance(200)
        assert client.phase(created) == "Completed"


def test_terminate_after_preemption_fails(stepped: Emulator, steps: Client) -> None:
    created = steps.create("endless", terminateAfterPreemption=True)
    stepped.advance(5)
    stepped.preempt("endless")
    stepped.advance(5)
    assert steps.phase(created) == "Failed"


def test_what_is_held_stays_out_of_its_queue_until_it_is_released(
    stepped: Emulator, steps: Client
) -> None:
    created = steps.create("endless")
    stepped.advance(5)
    stepped.preempt("endless")
    workload = stepped.world.workloads[created]
    stepped.plane.hold_until(workload, math.inf)
    # However late it is released: until then, nobody has a reason to look at it.
    for _ in range(3):
        stepped.advance(HOUR)
    assert steps.phase(created) == "Pending"
    stepped.plane.hold_until(workload, stepped.plane.clock.now())
    stepped.advance(5)
    assert steps.phase(created) == "Running"


def test_slow_stop_is_cut_at_the_grace_period() -> None:
    scenario = Scenario(run_seconds=None, stop_seconds=1000)
    with serve(EmulatorSettings(clock=SteppedClock(), scenarios={"slow": scenario})) as emulator:
        client = Client(emulator)
        created = client.create("slow", terminationGracePeriodSeconds=40)
        emulator.advance(10)
        client.post(f"/api/v1/workloads/trainings/{created}/suspend")
        emulator.advance(39)
        assert client.phase(created) == "Stopping"
        emulator.advance(2)
        assert client.phase(created) == "Stopped"


def test_reclaim_and_return_are_told_in_the_history(stepped: Emulator, steps: Client) -> None:
    ids = [steps.create(f"endless-{number}") for number in range(4)]
    stepped.advance(10)
    rival = steps.create("rival", project="team-b")
    stepped.advance(10)
    assert steps.phase(ids[3]) == "Pending"
    assert steps.phase(rival) == "Running"
    stepped.advance(100)
    history = steps.history(ids[3])
    assert history[4] == ("Terminating", "Preempted: GPUs reclaimed by project team-b")
    assert [phase for phase, _ in history[5:]] == ["Pending", "Initializing", "Running"]


def test_borrowers_share_what_nobody_is_guaranteed_by_weight() -> None:
    settings = EmulatorSettings(
        clock=SteppedClock(),
        projects=("a:0", "b:0,weight=3"),
        scenarios={"endless": Scenario(run_seconds=None)},
    )
    with serve(settings) as emulator:
        client = Client(emulator)
        for project in ("a", "b"):
            for number in range(4):
                client.create(f"endless-{project}{number}", project)
            emulator.advance(100)
        assert [project["used"] for project in client.get("/_emulator/overview")["projects"]] == [
            1,
            3,
        ]


def test_workload_is_moved_so_that_a_larger_one_finds_its_node(
    stepped: Emulator, steps: Client
) -> None:
    ids = [steps.create(f"endless-{number}") for number in range(3)]
    stepped.advance(10)
    steps.http.delete(f"/api/v1/workloads/trainings/{ids[1]}")
    stepped.advance(10)
    large = steps.create("endless-large", gpus=2)
    stepped.advance(100)
    assert [steps.phase(created) for created in (ids[0], ids[2], large)] == ["Running"] * 3
    assert (
        "Terminating",
        "Preempted: moved to make room for workload endless-large",
    ) in steps.history(ids[2])


def test_priority_preempts_inside_a_project_and_names_who(stepped: Emulator, steps: Client) -> None:
    ids = [steps.create(f"endless-{number}", gpus=2) for number in range(2)]
    stepped.advance(10)
    steps.create("urgent", priorityClass="very-high", preemptibility="preemptible")
    stepped.advance(10)
    assert ("Terminating", "Preempted by higher priority workload urgent") in steps.history(ids[1])


def test_one_step_a_look() -> None:
    with serve(EmulatorSettings(clock=SteppedClock(), seconds_per_read=10)) as emulator:
        client = Client(emulator)
        created = client.create("paced")
        seen = [client.phase(created) for _ in range(8)]
        assert seen == [*["Running"] * 6, "Completed", "Completed"]


def test_clock_is_moved_over_the_wire(stepped: Emulator, steps: Client) -> None:
    before = stepped.clock.now()
    assert steps.post("/_emulator/clock", {"advance": 12.5}).json() == {"now": before + 12.5}
    assert steps.post("/_emulator/clock", {"advance": -1}).status_code == 400
    assert steps.post("/_emulator/clock").status_code == 400


def test_real_clock_refuses_to_be_moved(emulator: Emulator, client: Client) -> None:
    with pytest.raises(TypeError, match="the clock is real"):
        emulator.advance(1)
    assert client.post("/_emulator/clock", {"advance": 1}).status_code == 400


def test_delete_while_being_preempted(stepped: Emulator, steps: Client) -> None:
    created = steps.create("endless")
    stepped.advance(10)
    stepped.preempt("endless")
    steps.http.delete(f"/api/v1/workloads/trainings/{created}")
    stepped.advance(10)
    assert steps.http.get(f"/api/v1/workloads/{created}").status_code == 404


def test_resume_while_stopping_comes_back(stepped: Emulator, steps: Client) -> None:
    created = steps.create("endless")
    stepped.advance(10)
    steps.post(f"/api/v1/workloads/trainings/{created}/suspend")
    steps.post(f"/api/v1/workloads/trainings/{created}/resume")
    stepped.advance(10)
    assert steps.phase(created) == "Running"
    assert steps.phases(created)[4:7] == ["Stopping", "Stopped", "Resuming"]
