"""Suspend, resume, delete: by name and by id, and twice without harm."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_runai.emulator import Emulator
from airflow_runai.operators.lifecycle import (
    RunaiDeleteWorkloadOperator,
    RunaiResumeWorkloadOperator,
    RunaiSuspendWorkloadOperator,
)
from tests.airflow.running import Person, Run, dag_of
from tests.support.waiting import wait_until

Runner = Callable[..., Run]


@pytest.mark.slow
@pytest.mark.parametrize("by", ["name", "id"])
def test_suspended_resumed_and_deleted_each_twice(run: Runner, emulator: Emulator, by: str) -> None:
    person = Person(emulator)
    made = person.submit("team-a", "long-theirs")
    person.wait_for("long-theirs", "Running")
    who = "long-theirs" if by == "name" else made.id
    found = emulator.workloads_named("long-theirs")[0]

    def twice(kind: type) -> Run:
        return run(dag_of(*(lambda n=n: kind(task_id=f"t{n}", workload=who) for n in (1, 2))))

    done = twice(RunaiSuspendWorkloadOperator)
    assert done.state == "success"
    assert done.xcom(task_id="t1") == {
        "workload_id": made.id,
        "name": "long-theirs",
        "phase": "Running",
    }
    # One look shows that it took effect.
    calls = [(seen.method, seen.path) for seen in emulator.requests if made.id in seen.path]
    suspended = calls.index(("POST", f"/api/v1/workloads/trainings/{made.id}/suspend"))
    assert calls[suspended + 1] == ("GET", f"/api/v1/workloads/{made.id}")
    wait_until(lambda: found.phase == "Stopped")
    assert twice(RunaiResumeWorkloadOperator).state == "success"
    person.wait_for("long-theirs", "Running")
    assert twice(RunaiDeleteWorkloadOperator).state == "success"
    wait_until(lambda: found.deleted_at)
    done = twice(RunaiDeleteWorkloadOperator)
    assert done.state == "success"
    assert done.xcom(task_id="t2")["workload_id"] is None


@pytest.mark.slow
def test_what_is_not_there_or_has_ended_is_told_without_retry(
    run: Runner, emulator: Emulator
) -> None:
    missing = run(
        dag_of(lambda: RunaiSuspendWorkloadOperator(task_id="task", workload="nobody", retries=2))
    )
    assert "workload 'nobody': project 'team-a' has none of this name or id" in missing.words
    assert missing.task().try_number == 1
    person = Person(emulator)
    person.submit("team-a", "short-theirs")
    person.wait_for("short-theirs", "Completed")
    ended = run(
        dag_of(
            lambda: RunaiSuspendWorkloadOperator(task_id="task", workload="short-theirs", retries=2)
        )
    )
    assert "is Completed; allowed: one that has not ended" in ended.words
    assert ended.task().try_number == 1
    assert (
        run(
            dag_of(lambda: RunaiDeleteWorkloadOperator(task_id="task", workload="short-theirs"))
        ).state
        == "success"
    )
