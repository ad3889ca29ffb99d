"""The reaper as a task: what it asks through Airflow, what it ends, and how it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_runai.core.marks import Mark
from airflow_runai.core.origin import Origin
from airflow_runai.deployment.task_states import states_for_worker
from airflow_runai.emulator import Emulator
from airflow_runai.operators.orphans import RunaiReapOrphansOperator
from tests.airflow.conftest import Minutes
from tests.airflow.running import Run, dag_of
from tests.airflow.test_dags import bag
from tests.cli.test_ps import set_state, submit

Runner = Callable[..., Run]


def reaping(**given: Any) -> Any:
    return dag_of(
        lambda: RunaiReapOrphansOperator(task_id="task", **{"older_than": 0, **given}),
        dag_id="reaping",
    )


@pytest.mark.slow
def test_worker_ends_what_nobody_waits_for(
    emulator: Emulator, run: Runner, minutes: Minutes
) -> None:
    orphan, mapped = (
        submit(emulator, "long"),
        submit(emulator, "long", dag_id="deleted", map_index=7),
    )
    awaited = submit(emulator, "long", dag_id="other")
    kept = submit(emulator, "long", dag_id="deleted", mark=Mark(-1, "keep"))
    set_state("skipped")
    set_state("up_for_retry", dag_id="other")
    done = run(reaping())
    assert done.state == "success", done.words
    assert [(row["name"], row["map_index"], row["outcome"]) for row in done.xcom()] == [
        (orphan, -1, "deleted"),
        (mapped, 7, "deleted"),
    ]
    assert minutes.slept == [60.0]
    assert {w.name for w in emulator.workloads_named("long") if w.desired == "Running"} == {
        awaited,
        kept,
    }


@pytest.mark.slow
def test_task_fails_if_one_could_not_be_ended_and_a_dry_run_only_tells(
    emulator: Emulator, run: Runner, minutes: Minutes
) -> None:
    name = submit(emulator, "long", dag_id="deleted")
    assert [row["outcome"] for row in run(reaping(dry_run=True)).xcom()] == ["would be ended"]
    emulator.faults.add("status", status=503, method="DELETE")
    failed = run(reaping())
    assert failed.state == "failed"
    assert f"1 of 1 orphan could not be ended: {name}" in failed.words


@pytest.mark.slow
def test_example_leaves_what_is_young(emulator: Emulator, run: Runner, minutes: Minutes) -> None:
    submit(emulator, "long", dag_id="deleted")
    done = run(bag().dags["reap_orphans"])
    assert (done.state, done.xcom(task_id="reap"), minutes.slept) == ("success", [], [])


class Asked:
    """A task instance that answers for others as Airflow 3.3 does."""

    def __init__(self, states: dict[tuple[str, str, int], str | None]) -> None:
        self.states = states

    def get_task_states(
        self, dag_id: str, task_ids: list[str], run_ids: list[str], map_index: int
    ) -> Any:
        answer: dict[str, dict[str, str | None]] = {}
        for (run, task, index), state in self.states.items():
            if run in run_ids and task in task_ids and index == map_index:
                answer.setdefault(run, {})[task if index < 0 else f"{task}_{index}"] = state
        return answer


def test_instance_1_of_a_mapped_task_is_not_taken_for_a_task_whose_name_ends_so() -> None:
    asked = Asked({("run", "a", 1): "failed", ("run", "a_1", -1): None})
    mapped, plain, none = (
        Origin("d", task, "run", index) for task, index in (("a", 1), ("a_1", -1), ("a", -1))
    )
    assert states_for_worker(asked, [mapped, plain, none, Origin()]) == {
        mapped: "failed",
        plain: "none",
        none: "missing",
    }


def test_many_runs_are_asked_for_in_several_calls() -> None:
    origins = [Origin("d", "t", f"run{n}", -1) for n in range(45)]
    asked = Asked({(f"run{n}", "t", -1): "deferred" for n in range(45)})
    assert set(states_for_worker(asked, origins).values()) == {"deferred"}
