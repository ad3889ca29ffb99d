"""Which workloads nobody waits for."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.core.marks import Mark
from airflow_runai.core.origin import Origin
from airflow_runai.core.orphans import Owned, orphans
from airflow_runai.core.task_states import OVER_IN_AIRFLOW
from airflow_runai.core.workload import Workload

TASK = Origin("dag", "task", "run", -1)
STOP = Mark(-1, "stop")
UNFINISHED = (
    *(
        "none",
        "scheduled",
        "queued",
        "running",
        "restarting",
        "deferred",
        "up_for_retry",
        "up_for_reschedule",
    ),
    *("awaiting_input", "a word of a newer Airflow"),
)


def owned(
    name: str = "train-0123456789-g1", phase: str = "Running", mark: Mark | None = STOP, **more: Any
) -> Owned:
    origin = more.pop("origin", TASK)
    return Owned(Workload(name, name, phase, **{"created_at": 1000.0, **more}), origin, mark)


def names(*rows: Owned, state: str = "failed", **more: Any) -> list[str]:
    return [orphan.owned.workload.name for orphan in orphans(rows, {TASK: state}, **more)]


@pytest.mark.parametrize("state", sorted(OVER_IN_AIRFLOW))
@pytest.mark.parametrize("phase", ["Running", "Pending", "Terminating", "Unknown", "A newer phase"])
def test_what_goes_on_though_its_task_is_over_is_one(state: str, phase: str) -> None:
    assert names(owned(phase=phase), state=state) == ["train-0123456789-g1"]


@pytest.mark.parametrize("state", UNFINISHED)
def test_every_unfinished_state_protects(state: str) -> None:
    assert names(owned(), state=state) == []


def test_task_that_airflow_was_not_asked_about_protects() -> None:
    assert orphans([owned()], {}) == []
    assert orphans([owned("old-0123456789-g1"), owned("new-0123456789-g2")], {}) == []


@pytest.mark.parametrize(
    "phase", ["Completed", "Failed", "Deleting", "Stopping", "Stopped", "Suspended"]
)
def test_what_has_ended_or_is_suspended_is_none(phase: str) -> None:
    assert names(owned(phase=phase)) == []


@pytest.mark.parametrize("mark", [None, Mark(-1, "keep"), Mark(-1, "stop", awaited=False)])
def test_what_is_kept_on_purpose_or_awaited_by_nobody_from_the_start_is_none(
    mark: Mark | None,
) -> None:
    assert names(owned(mark=mark)) == []


def test_of_several_generations_an_unfinished_task_waits_for_the_newest_whatever_its_slug() -> None:
    first, second = owned("old-name-0123456789-g9"), owned("new-name-0123456789-g10")
    assert names(second, first, state="deferred") == ["old-name-0123456789-g9"]
    assert names(second, first, state="failed") == [
        "new-name-0123456789-g10",
        "old-name-0123456789-g9",
    ]


def test_of_two_slugs_with_one_generation_the_older_is_one_if_the_server_tells_their_age() -> None:
    first, second = (
        owned("old-0123456789-g1", created_at=1.0),
        owned("new-0123456789-g1", created_at=2.0),
    )
    assert names(second, first, state="deferred") == ["old-0123456789-g1"]
    ageless = owned("old-0123456789-g1", created_at=0.0)
    assert names(second, ageless, state="deferred") == []


def test_older_generation_of_another_task_is_none_of_this_one() -> None:
    other = owned("other-9876543210-g1", origin=Origin("dag", "task", "run", 3))
    assert names(owned("train-0123456789-g2"), other, state="deferred") == []


def test_age_counts_and_what_has_none_is_new() -> None:
    assert names(owned(created_at=400.0), made_before=400.0) == ["train-0123456789-g1"]
    assert names(owned(created_at=401.0), made_before=400.0) == []
    assert names(owned(created_at=0.0), made_before=400.0) == []


def test_workload_that_names_no_task_is_none() -> None:
    assert orphans([owned(origin=Origin())], {Origin(): "missing"}) == []
