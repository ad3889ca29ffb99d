"""The model's Job controller does what the real one was seen to do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.model.conftest import JOB_PATH, Stage, job
from tests.model.deletion import TRACKING
from tests.model.kubelet import Life

IGNORES_DISRUPTIONS = {
    "rules": [
        {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        }
    ]
}
FOREVER = Life(run=1e6)


def test_a_training_ends_well(stage: Stage) -> None:
    stage.submit("nightly")
    stage.clock.advance(3.0)
    assert stage.status("nightly")["active"] == 1
    stage.clock.advance(7.0)
    assert stage.is_true("nightly", "Complete") == "CompletionsReached"
    assert stage.status("nightly")["succeeded"] == 1
    assert "finalizers" not in stage.pods("nightly")[0]["metadata"]


def test_failures_are_repeated_up_to_the_limit(stage: Stage) -> None:
    stage.submit("broken", Life(run=1.0, exit_code=3), backoffLimit=1)
    stage.clock.advance(60.0)
    assert stage.is_true("broken", "Failed") == "BackoffLimitExceeded"
    assert (stage.status("broken")["failed"], len(stage.pods("broken"))) == (2, 2)


@pytest.mark.parametrize("counts", [True, False])
def test_each_failure_doubles_the_wait_also_if_it_does_not_count(
    stage: Stage, counts: bool
) -> None:
    policy: Any = (
        {}
        if counts
        else {
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [3]}}]
            }
        }
    )
    stage.submit("broken", Life(run=1.0, exit_code=3), **policy)
    assert stage.gaps("broken", 3) == [pytest.approx(wait, abs=1.6) for wait in (10, 20, 40)]
    assert stage.status("broken").get("failed", 0) == (3 if counts else 0)


def test_a_restart_of_the_controller_forgets_the_wait(stage: Stage) -> None:
    stage.submit("broken", Life(run=1.0, exit_code=3))
    stage.clock.advance(6.0)
    stage.cluster.jobs.restart()
    stage.clock.advance(0.5)
    assert len(stage.pods("broken")) == 2


def test_suspend_and_resume_do_not_shorten_the_wait(stage: Stage) -> None:
    stage.submit("broken", Life(run=1.0, exit_code=3))
    stage.clock.advance(5.0)
    stage.patch("broken", {"spec": {"suspend": True}})
    stage.clock.advance(1.0)
    stage.patch("broken", {"spec": {"suspend": False}})
    stage.clock.advance(5.0)
    assert len(stage.pods("broken")) == 1
    stage.clock.advance(4.0)
    assert len(stage.pods("broken")) == 2


@pytest.mark.parametrize("code", [0, 3, 143])
def test_what_a_suspend_ends_does_not_count(stage: Stage, code: int) -> None:
    stage.submit("paused", Life(run=1e6, on_sigterm=(1.0, code)))
    stage.clock.advance(5.0)
    started = stage.status("paused")["startTime"]
    stage.patch("paused", {"spec": {"suspend": True}})
    stage.clock.advance(0.5)
    (pod,) = stage.pods("paused")
    assert "finalizers" not in pod["metadata"]
    assert pod["status"]["phase"] == "Running"
    assert stage.is_true("paused", "Suspended") == "JobSuspended"
    assert (stage.status("paused")["terminating"], "active" in stage.status("paused")) == (1, False)
    stage.clock.advance(5.0)
    assert (stage.pods("paused"), stage.status("paused")["terminating"]) == ([], 0)
    assert not {"failed", "succeeded"} & set(stage.status("paused"))
    stage.patch("paused", {"spec": {"suspend": False}})
    stage.clock.advance(0.1)
    assert len(stage.pods("paused")) == 1
    assert stage.status("paused")["startTime"] > started


@pytest.mark.parametrize(("code", "ends"), [(0, "Complete"), (143, "")])
def test_an_eviction_counts_by_its_exit_code(stage: Stage, code: int, ends: str) -> None:
    stage.submit(
        "drained", Life(run=1e6, on_sigterm=(1.0, code)), podFailurePolicy=IGNORES_DISRUPTIONS
    )
    stage.clock.advance(5.0)
    (pod,) = stage.pods("drained")
    stage.cluster.drain(pod)
    stage.clock.advance(0.5)
    (pod,) = stage.pods("drained")
    assert pod["metadata"]["finalizers"] == [TRACKING]
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 4
    stage.clock.advance(5.0)
    assert bool(stage.is_true("drained", "Complete")) is bool(ends)
    assert stage.pods("drained") == []
    assert "failed" not in stage.status("drained")


def test_who_ignores_sigterm_is_killed_after_its_grace(stage: Stage) -> None:
    stage.submit("deaf", Life(run=1e6, on_sigterm=None))
    stage.clock.advance(5.0)
    stage.cluster.delete_pod(stage.pods("deaf")[0])
    stage.clock.advance(3.9)
    assert stage.pods("deaf")[0]["status"]["phase"] == "Running"
    stage.clock.advance(0.2)
    (pod,) = stage.pods("deaf")
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


def test_a_lowered_limit_ends_what_runs_and_counts_it(stage: Stage) -> None:
    stage.submit("limited", Life(run=1.0, exit_code=3), Life(run=1e6, on_sigterm=(3.0, 143)))
    stage.clock.advance(20.0)
    assert stage.status("limited")["failed"] == 1
    stage.patch("limited", {"spec": {"backoffLimit": 0}})
    stage.clock.advance(0.2)
    assert stage.is_true("limited", "FailureTarget")
    assert not stage.is_true("limited", "Failed")
    assert stage.status("limited")["failed"] == 2
    stage.clock.advance(6.0)
    assert stage.is_true("limited", "Failed") == "BackoffLimitExceeded"
    assert stage.status("limited")["failed"] == 2


def test_a_deadline_counts_the_queue(stage: Stage) -> None:
    stage.submit("before", FOREVER, gpus=2)
    stage.clock.advance(3.0)
    stage.submit("late", FOREVER, gpus=2, activeDeadlineSeconds=30)
    stage.clock.advance(40.0)
    assert stage.is_true("late", "Failed") == "DeadlineExceeded"


def test_a_rule_may_fail_the_job(stage: Stage) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    stage.submit("final", Life(run=1.0, exit_code=42), podFailurePolicy={"rules": [rule]})
    stage.clock.advance(8.0)
    assert stage.is_true("final", "Failed") == "PodFailurePolicy"


def test_indexes_are_each_done_once(stage: Stage) -> None:
    lives = [Life(run=2.0, exit_code=1), Life(run=2.0)]
    stage.submit("parts", *lives, completionMode="Indexed", completions=3, parallelism=2)
    stage.clock.advance(60.0)
    assert stage.is_true("parts", "Complete")
    assert stage.status("parts")["completedIndexes"] == "0,1,2"
    assert stage.status("parts")["failed"] == 1


def test_a_finished_job_is_removed_after_its_time(stage: Stage) -> None:
    stage.submit("brief", Life(run=1.0), ttlSecondsAfterFinished=60)
    stage.clock.advance(50.0)
    assert stage.cluster.job("team-b", "brief")
    stage.clock.advance(30.0)
    assert stage.cluster.job("team-b", "brief") is None
    assert stage.pods("brief") == []


def test_a_quota_of_pods_is_told_by_events_only(stage: Stage) -> None:
    stage.cluster.jobs.problem = "exceeded quota: gpus"
    stage.submit("poor")
    stage.clock.advance(5.0)
    events = stage.ask("GET", "/api/v1/namespaces/team-b/events")["items"]
    assert {one["reason"] for one in events} == {"FailedCreate"}
    assert stage.pods("poor") == []
    assert "conditions" not in stage.status("poor") or not stage.status("poor")["conditions"]
    stage.cluster.jobs.problem = ""
    stage.clock.advance(10.0)
    assert len(stage.pods("poor")) == 1


DELETIONS: dict[str, tuple[dict[str, Any], bool, bool, bool]] = {
    # options of the request: is the Job there at once, are its pods after their grace, do they run on?
    "Foreground": ({"propagationPolicy": "Foreground"}, True, False, False),
    "Background": ({"propagationPolicy": "Background"}, False, False, False),
    "Orphan": ({"propagationPolicy": "Orphan"}, False, True, True),
    "no policy": ({}, False, True, True),
}


@pytest.mark.parametrize(
    ("options", "stays", "has_pods", "runs"), DELETIONS.values(), ids=DELETIONS
)
def test_how_a_job_is_deleted_decides_about_its_pods(
    stage: Stage, options: dict[str, Any], stays: bool, has_pods: bool, runs: bool
) -> None:
    stage.submit("gone", Life(run=1e6, on_sigterm=(3.0, 0)))
    stage.clock.advance(5.0)
    stage.delete("gone", **options)
    stage.clock.advance(1.0)
    assert bool(stage.cluster.job("team-b", "gone")) is stays
    assert stage.pods("gone")[0]["status"]["phase"] == "Running"
    stage.clock.advance(5.0)
    assert stage.cluster.job("team-b", "gone") is None
    assert bool(stage.pods("gone")) is has_pods
    assert any(pod["status"]["phase"] == "Running" for pod in stage.pods("gone")) is runs
    assert all("ownerReferences" not in pod["metadata"] for pod in stage.pods("gone"))


def test_one_name_may_have_two_writers(stage: Stage) -> None:
    stage.submit("again", Life(run=1e6, on_sigterm=(4.0, 143)), Life(run=1e6))
    stage.clock.advance(5.0)
    stage.delete("again", propagationPolicy="Background")
    stage.ask("POST", JOB_PATH.format("team-b"), job("again", "team-b", 1))
    stage.clock.advance(3.0)
    assert [pod["status"]["phase"] for pod in stage.pods("again")] == ["Running", "Running"]
