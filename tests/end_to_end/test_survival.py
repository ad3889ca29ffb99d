"""What once began a second training, none, or left one behind; and many instances of one task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_runai.core.naming import TaskIdentity
from tests.end_to_end.database import Database
from tests.end_to_end.installation import Airflow
from tests.end_to_end.rest import Run
from tests.end_to_end.site import Site, Start, begin, site
from tests.end_to_end.test_worker_killed import IN_WORKER, MOMENTS, kill_worker
from tests.support.waiting import wait_until

Runs = dict[str, tuple[Site, Run]]
#: How often a retry must have asked in vain.
REFUSALS = 3


@pytest.fixture(scope="module")
def runs(start: Start) -> Runs:
    """One training for each case; all at once to save time."""
    fault = MOMENTS["after the note"].fault
    started = {
        "refused": start(IN_WORKER, **fault),
        "renamed": start("waiting_renamed"),
        "deleted": start(),
    }
    here, run = started["refused"]
    here.is_hit("the worker is held")
    here.emulator.faults.add("status", status=401, times=None)
    kill_worker(run)
    return started


def test_retry_that_is_refused_waits_until_it_is_let_in_and_adopts(runs: Runs) -> None:
    here, run = runs["refused"]
    wait_until(
        lambda: run.task()["try_number"] == 2, "the dead worker is noticed, and the retry begins"
    )
    before = _refused(here)
    wait_until(lambda: _refused(here) >= before + REFUSALS, "the retry asks in vain")
    here.emulator.faults.clear()
    workload = here.runs_deferred(run, "running")
    here.finish()
    run.succeeds()
    assert (here.only_workload(run), run.task()["try_number"]) == (workload, 2)


def _refused(here: Site) -> int:
    return sum(seen.status == 401 for seen in here.emulator.requests)


def test_workload_of_an_edited_name_is_found_and_ended_before_another_begins(
    airflow: Airflow, runs: Runs
) -> None:
    here, run = runs["renamed"]
    first = here.runs_deferred(run)
    airflow.rest.post("/variables", {"key": "workload_name", "value": "after"})
    run.clear()
    second = wait_until(lambda: next(iter(here.workloads(run)[1:]), None), "a second generation")
    assert (first.name, second.name) == (
        _named(airflow, run, "before-{}-g1"),
        _named(airflow, run, "after-{}-g2"),
    )
    assert first.deleted_at is not None
    assert first.deleted_at <= second.created_at


def _named(airflow: Airflow, run: Run, form: str) -> str:
    """Fill in the hash, which is over the name that Airflow gave itself."""
    name = airflow.rest.get("/variables/runai_instance_name")["value"]
    return form.format(TaskIdentity(name, run.dag_id, run.run_id, "train").digest())


def test_run_that_is_deleted_and_made_again_trains_again(airflow: Airflow, runs: Runs) -> None:
    here, run = runs["deleted"]
    here.finish()
    run.succeeds()
    wait_until(lambda: run.state == "success", "the run ends")  # Airflow deletes none that goes on
    run.delete()
    again = Run.start(
        airflow.rest, run.dag_id, run_id=run.run_id, connection=f"runai_{here.emulator.port}"
    )
    again.succeeds()
    first, second = here.workloads(run)
    assert (first.name[-3:], second.name[-3:]) == ("-g1", "-g2")
    assert again.xcom()["workload_id"] == second.id
    assert second.phase == "Completed"


@pytest.fixture(scope="module", params=[12, pytest.param(50, marks=pytest.mark.qualify)])
def many(
    request: pytest.FixtureRequest, airflow: Airflow, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, Run, int]]:
    """So many instances of one task, all of which wait."""
    count: int = request.param
    with site(tmp_path_factory.mktemp("many") / "shared", gpus_per_node=8) as here:
        yield here, begin(airflow.rest, here, "waiting_in_numbers", instances=count), count


def test_of_many_instances_one_is_cleared_and_one_is_marked_and_the_others_go_on(
    many: tuple[Site, Run, int],
) -> None:
    here, run, count = many
    wait_until(lambda: _states(run).count("deferred") == count, "all instances are deferred")
    wait_until(lambda: all(_seen(run, index) for index in (7, 11)), "both are watched")
    run.clear(map_index=7)
    run.mark("failed", "train/11")
    wait_until(lambda: len(here.workloads(run)) == count + 1, "the cleared instance begins again")
    wait_until(
        lambda: _live(here, run) == count - 1, "what was marked and what was cleared are ended"
    )
    here.finish()
    wait_until(lambda: _states(run).count("success") == count - 1, "all others end well")
    assert _states(run).count("failed") == 1
    assert _live(here, run) == 0
    ended = [w for w in here.workloads(run) if w.phase != "Completed"]
    assert [w.deleted_at is not None for w in ended] == [True, True]


def _states(run: Run) -> list[str]:
    return [str(row["state"]) for row in run.tasks() if row["task_id"] == "train"]


def _seen(run: Run, index: int) -> Any:
    return run.xcom("train", "runai_timeline", map_index=index)


def _live(here: Site, run: Run) -> int:
    return sum(
        w.deleted_at is None and w.phase not in ("Completed", "Failed") for w in here.workloads(run)
    )


def test_lost_database_costs_neither_a_try_nor_what_was_seen(
    airflow: Airflow, database: Database, start: Start
) -> None:
    here, run = start()
    workload = here.runs_deferred(run)
    here.preempt(workload)
    # A scheduler that gives up waits for its workers, and these try for minutes to reach the API.
    wait_until(lambda: not airflow.executes_tasks(), "no worker has a task in hand")
    before = airflow.ended()
    database.lose()
    here.preempt(workload)
    lost = ("scheduler", "triggerer")
    wait_until(
        lambda: {component.arguments[0] for component in airflow.ended()} >= {*lost},
        f"{lost} give up",
    )
    database.come_back()
    airflow.start_again([component for component in airflow.ended() if component not in before])
    here.finish()
    run.succeeds()
    result = run.xcom()
    assert (here.only_workload(run), run.task()["try_number"]) == (workload, 1)
    assert (result["interruptions"], result["preemptions"]) == (2, 2)
