"""A triggerer that freezes, dies or is replaced costs nothing: the workload goes on, and the clocks are right."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.end_to_end.component import Component
from tests.end_to_end.installation import Airflow
from tests.end_to_end.rest import Run
from tests.end_to_end.site import Start
from tests.support.waiting import wait_until

#: By the present rule a triggerer takes over after 8 s of silence; it asks every second.


@pytest.fixture
def triggerers(airflow: Airflow) -> Iterator[Airflow]:
    """Leave one triggerer behind, however a test ends."""
    yield airflow
    airflow.leave_one_triggerer()


def test_a_frozen_triggerer_that_wakes_up_does_not_stop_the_workload(
    triggerers: Airflow, start: Start
) -> None:
    here, run = start()
    workload = here.runs_deferred(run)
    frozen, owner = triggerers.triggerers[-1], _owner(run)
    frozen.freeze()
    triggerers.run_triggerer()
    wait_until(lambda: _owner(run) not in (None, owner), "another triggerer takes over")
    frozen.thaw()
    wait_until(
        lambda: "invoking on_kill" in triggerers.trigger_logs(run), "the first one is told to kill"
    )
    wait_until(
        lambda: "goes on" in triggerers.trigger_logs(run),
        "it asks Airflow, and leaves the workload alone",
    )
    assert run.task()["state"] == "deferred"
    here.finish()
    run.succeeds()
    assert here.only_workload(run) is workload
    assert workload.deleted_at is None
    assert here.phases(workload).count("Running") == 1


@pytest.mark.parametrize("end", [Component.kill, Component.ask_to_stop])
def test_a_triggerer_that_ends_loses_neither_clocks_nor_interruptions(
    triggerers: Airflow, start: Start, end: Callable[[Component], None]
) -> None:
    here, run = start()
    workload = here.runs_deferred(run)
    here.preempt(workload)
    end(triggerers.triggerers[-1])
    wait_until(lambda: not triggerers.triggerers[-1].running, "the triggerer ends")
    here.preempt(workload)
    triggerers.run_triggerer()
    here.finish()
    run.succeeds()
    result = run.xcom()
    assert here.only_workload(run) is workload
    assert (result["interruptions"], result["preemptions"]) == (2, 2)
    assert result["clocks"]["running"] == pytest.approx(workload.running_seconds, abs=0.5)


def test_a_training_that_ends_at_once_does_not_fail_its_task(start: Start) -> None:
    started = [start() for _ in range(3)]
    for here, _ in started:
        here.finish()
    for here, run in started:
        run.succeeds()
        assert run.task()["try_number"] == 1
        assert here.only_workload(run).phase == "Completed"


def _owner(run: Run) -> int | None:
    return (run.task()["trigger"] or {}).get("triggerer_id")
