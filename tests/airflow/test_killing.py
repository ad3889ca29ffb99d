"""
A trigger that Airflow cancels: whose workload it ends, how long it tries, and what it leaves alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from airflow.sdk.execution_time.comms import GetTaskStates

from airflow_runai.backends.control_plane import suspend
from airflow_runai.core.task_states import FINISHED_TASK_STATES
from airflow_runai.core.workload import Workload
from airflow_runai.emulator import Emulator
from airflow_runai.tasks.kill import Kill
from tests.airflow.running import Person
from tests.airflow.triggering import Supervised, supervised, trigger, with_task
from tests.support.waiting import eventually, wait_until

__all__ = ["supervised"]


def deletes(emulator: Emulator) -> int:
    return sum(r.method == "DELETE" for r in emulator.requests)


@pytest.mark.parametrize(
    "state", ["deferred", "queued", "running", "restarting", "up_for_retry", "scheduled", None]
)
def test_killed_while_the_task_lives_it_leaves_the_workload_alone(
    emulator: Emulator, supervised: Supervised, state: str | None
) -> None:
    made = with_task(trigger(emulator, "long-t"))
    supervisor = supervised(state)
    asyncio.run(made.on_kill())
    assert len(supervisor.asked) == 1
    assert supervisor.asked[0].run_ids == ["run"]
    assert deletes(emulator) == 0
    assert emulator.workloads_named("long-t")[0].desired == "Running"


@pytest.mark.slow
@pytest.mark.parametrize("state", sorted(FINISHED_TASK_STATES))
def test_killed_after_a_user_ended_the_task_it_stops_the_workload(
    emulator: Emulator, supervised: Supervised, state: str
) -> None:
    made = with_task(trigger(emulator, "long-t"))
    supervised(state)
    asyncio.run(made.on_kill())
    assert deletes(emulator) == 1
    wait_until(lambda: emulator.workloads_named("long-t")[0].deleted_at)


@pytest.mark.slow
def test_killed_it_suspends_where_the_author_says_so(
    emulator: Emulator, supervised: Supervised
) -> None:
    made = with_task(trigger(emulator, "long-t", on_kill="suspend"))
    supervised("failed")
    asyncio.run(made.on_kill())
    wait_until(lambda: emulator.workloads_named("long-t")[0].phase == "Stopped")


@pytest.mark.slow
def test_a_workload_that_does_not_react_to_suspensions_is_told_of_once(
    emulator: Emulator, supervised: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    made = with_task(trigger(emulator, "long-t", on_kill="suspend"))
    supervised("failed")
    emulator.faults.add("from_before_3_0", path="*/suspend", name="long-t")
    workload = Workload.from_json(made.workload)
    kill = Kill(made.task_instance, "runai_default", workload, "suspend", False, calls=4)
    asyncio.run(kill.until_done())
    told = [line for line in caplog.messages if "before an upgrade to Run:ai 3.0" in line]
    assert len(told) == 1
    assert told[0].startswith("workload long-t is still ")
    wait_until(lambda: emulator.workloads_named("long-t")[0].phase == "Stopped")


def test_killed_it_asks_nobody_where_the_workload_is_to_be_kept(
    emulator: Emulator, supervised: Supervised
) -> None:
    supervisor = supervised("failed")
    asyncio.run(with_task(trigger(emulator, "long-t", on_kill="keep")).on_kill())
    assert not supervisor.asked
    assert emulator.workloads_named("long-t")[0].desired == "Running"


@pytest.mark.slow
def test_killing_survives_its_own_cancellation(emulator: Emulator, supervised: Supervised) -> None:
    made = with_task(trigger(emulator, "long-t"))
    supervised("failed")
    emulator.faults.add("slow", seconds=300, path="/api/v1/workloads/*", method="GET")

    async def impatient() -> None:
        killing = asyncio.create_task(made.on_kill())
        await eventually(lambda: not emulator.faults.planned(), "the look at the workload")
        killing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await killing
        assert deletes(emulator) == 0, "the slow answer is still under way"
        emulator.faults.clear()
        await eventually(lambda: deletes(emulator) > 0)
        await _rest()

    asyncio.run(impatient())
    assert deletes(emulator) == 1


async def _rest() -> None:
    """Let what runs in the background come to its end."""
    others: list[Awaitable[Any]] = [
        t for t in asyncio.all_tasks() if t is not asyncio.current_task()
    ]
    await asyncio.gather(*others, return_exceptions=True)


@pytest.mark.slow
def test_kill_is_tried_until_the_control_plane_and_airflow_answer(
    emulator: Emulator, supervised: Supervised
) -> None:
    made = with_task(trigger(emulator, "long-t"))
    supervised(OSError("Airflow's own API server is away"), "failed")
    emulator.faults.add("status", status=401, path="/api/v1/workloads/*")
    emulator.faults.add("status", status=503, path="/api/v1/workloads/*")
    asyncio.run(made.on_kill())
    assert deletes(emulator) == 1
    assert emulator.workloads_named("long-t")[0].desired == "Deleted"


@pytest.mark.slow
def test_answer_404_alone_does_not_end_a_kill(emulator: Emulator, supervised: Supervised) -> None:
    made = with_task(trigger(emulator, "long-t"))
    supervised("failed")
    emulator.faults.add("hide", name="long-t", times=None, lasts=2)
    asyncio.run(made.on_kill())
    assert deletes(emulator) == 1


@pytest.mark.slow
def test_deletion_that_is_lost_is_repeated(emulator: Emulator, supervised: Supervised) -> None:
    made = with_task(trigger(emulator, "long-t"))
    supervised("failed")
    emulator.faults.add("status", status=404, method="DELETE")
    asyncio.run(made.on_kill())
    assert deletes(emulator) == 2
    assert emulator.workloads_named("long-t")[0].desired == "Deleted"


@pytest.mark.slow
def test_workload_of_a_task_that_is_cleared_while_the_kill_looks_is_left_to_the_next_try(
    emulator: Emulator, supervised: Supervised
) -> None:
    made = with_task(trigger(emulator, "long-t"))
    supervisor = supervised("failed", None)
    asyncio.run(made.on_kill())
    assert len([m for m in supervisor.asked if isinstance(m, GetTaskStates)]) == 2
    assert deletes(emulator) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("when_suspended", "spared"), [("end", True), ("wait", False)])
def test_late_kill_spares_what_a_person_suspended_if_that_ended_the_task(
    emulator: Emulator, supervised: Supervised, when_suspended: str, spared: bool
) -> None:
    policy: dict[str, Any] = {"when_suspended": when_suspended}
    made, person = with_task(trigger(emulator, "long-t", policy=policy)), Person(emulator)
    supervised("failed")
    person.steer(suspend, "long-t")
    person.wait_for("long-t", "Stopped")
    asyncio.run(made.on_kill())
    assert deletes(emulator) == (0 if spared else 1)


def test_workload_that_has_long_been_absent_is_gone(
    emulator: Emulator, supervised: Supervised
) -> None:
    made = with_task(trigger(emulator, "long-t"))
    supervised("failed")
    emulator.faults.add("hide", name="long-t", times=None)
    workload = Workload.from_json(made.workload)
    kill = Kill(
        made.task_instance,
        "runai_default",
        workload,
        "stop",
        spare_suspended=False,
        absent_since=1.0,
    )
    asyncio.run(kill.until_done())
    assert deletes(emulator) == 0
