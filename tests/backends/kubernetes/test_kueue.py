"""Trainings that Kueue queues: read with its word, stopped and resumed through it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_runai.backends.kubernetes.platform import KubernetesBackend
from airflow_runai.backends.kubernetes.settings import ClusterSettings
from airflow_runai.backends.termination import stop
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.flow import Reply, Request
from airflow_runai.core.kubernetes.history import TrainingHistory, write_history
from airflow_runai.core.kubernetes.incarnations import PodIncarnation
from airflow_runai.core.kubernetes.job_facts import FINGERPRINT, HISTORY
from airflow_runai.core.kubernetes.queue_facts import JOB_UID
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotQueued
from tests.backends.kubernetes.test_flows import play
from tests.backends.kubernetes.world import status
from tests.contract.model import ModelRig
from tests.contract.rig import Script
from tests.contract.waits import outcome_of, submit
from tests.model.merge_patches import merged
from tests.model.resources import JOBS, JOBSETS, WORKLOADS

JOB_PATH = "/apis/batch/v1/namespaces/team-a/jobs"
QUEUED = "/apis/kueue.x-k8s.io/v1beta2/namespaces/team-a/workloads"
SERVED = {"groups": [{"name": "kueue.x-k8s.io", "versions": [{"version": "v1beta2"}]}]}
TRAINING = Workload("u-1", "train-1", "", project_id="team-a", cluster_id="c", kind="Training")


class Kueue:
    """
    A suspended Job with the label of a queue, and Kueue's Workload for it.

    :param late: how often Workloads are listed before Kueue has made it.
    """

    def __init__(
        self, *, is_active: bool = True, is_forbidden: bool = False, late: int = 0
    ) -> None:
        self.is_forbidden, self.late = is_forbidden, late
        labels = {"kueue.x-k8s.io/queue-name": "team-a"}
        self.job: dict[str, Any] = {
            "metadata": {"uid": "u-1", "name": "train-1", "namespace": "team-a", "labels": labels}
            | {"resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"suspend": True},
        }
        waits = {"type": "QuotaReserved", "status": "False", "message": "no room for 1 GPU"}
        self.workload: dict[str, Any] = {
            "metadata": {"uid": "w-1", "name": "job-train-1", "resourceVersion": "8"}
            | {"labels": {"kueue.x-k8s.io/job-uid": "u-1"}},
            "spec": {"active": is_active},
            "status": {"conditions": [waits]},
        }

    @property
    def holds_back(self) -> bool:
        return self.workload["spec"]["active"] is False

    def __call__(self, request: Request) -> Reply:
        if request.path == "/apis":
            return Reply(200, 0.0, SERVED)
        if request.method == "PATCH":
            changed = self.job if request.path.startswith(JOB_PATH) else self.workload
            changed.update(merged(JOBS, changed, dict(request.json or {})))
        if request.path == QUEUED and self.is_forbidden:
            text = 'User "a" cannot list resource "workloads" in API group "kueue.x-k8s.io"'
            return Reply(403, 0.0, status(403, text, "Forbidden"))
        if request.decode:
            items = [self.workload] if request.path == QUEUED and self.late <= 0 else []
            self.late -= request.path == QUEUED
            page = {"metadata": {"resourceVersion": "9"}, "items": items}
            return Reply(200, 0.0, request.decode(json.dumps(page).encode()))
        found = self.job if request.path.startswith(JOB_PATH) else self.workload
        return Reply(200, 0.0, json.loads(json.dumps(found)))


def backend() -> KubernetesBackend:
    return KubernetesBackend(ClusterSettings("c", dialect="kueue"))


@pytest.mark.parametrize("wanted", [True, False])
def test_it_is_stopped_and_resumed_by_its_workload_alone(wanted: bool) -> None:
    server = Kueue(is_active=wanted)
    flow = backend().suspend(TRAINING) if wanted else backend().resume(TRAINING)
    _, asked = play(flow, server)
    assert server.workload["spec"]["active"] is not wanted
    changed = [one.path for _, one in asked if one.method == "PATCH"]
    assert changed == [f"{QUEUED}/job-train-1"]
    again = backend().suspend(TRAINING) if wanted else backend().resume(TRAINING)
    assert [one.method for _, one in play(again, server)[1]].count("PATCH") == 0


def test_what_kueue_does_not_know_yet_is_suspended_as_soon_as_it_does() -> None:
    server = Kueue(late=3)
    with pytest.raises(NotQueued, match="train-1: Kueue has no Workload for it yet, so noth"):
        play(backend().suspend(TRAINING), server)
    play(backend().resume(TRAINING), server)  # nothing holds it back
    said, asked = play(stop(backend(), TRAINING, "suspend"), server)
    assert server.holds_back
    assert said == "workload train-1 was suspended"
    assert [one.path for _, one in asked if one.method == "PATCH"] == [f"{QUEUED}/job-train-1"]


def test_what_kueue_never_knows_is_not_said_to_be_suspended() -> None:
    server = Kueue(late=1000)
    with pytest.raises(NotQueued):
        play(stop(backend(), TRAINING, "suspend"), server)
    assert not server.holds_back


def test_what_kueue_says_is_why_it_waits() -> None:
    found, _ = play(backend().reader(TRAINING).read("u-1"), Kueue())
    assert (found.phase, found.message) == ("Pending", "no room for 1 GPU")


def test_without_the_right_to_see_it_the_wait_goes_on() -> None:
    found, asked = play(backend().reader(TRAINING).read("u-1"), Kueue(is_forbidden=True))
    assert (found.phase, found.message) == ("Pending", "what Kueue says of it cannot be seen")
    assert QUEUED in [one.path for _, one in asked]


def evicted() -> Kueue:
    """A training that ends with its first preemption, which has just come."""
    server = Kueue()
    life: dict[str, Any] = {
        "uid": "p-1",
        "name": "train-1-abcde",
        "made": 1767225601.0,
        "start": 1767225602.0,
    }
    lives = (PodIncarnation(**life),)
    marks = {FINGERPRINT: "0123456789abcdef", HISTORY: write_history(TrainingHistory(lives))}
    server.job["metadata"] |= {"annotations": marks}
    server.job["spec"] |= {
        "podFailurePolicy": {"rules": [{"action": "FailJob"}]},
        "backoffLimit": 20,
    }
    suspended = {
        "type": "Suspended",
        "status": "True",
        "lastTransitionTime": "2026-01-01T00:01:00Z",
    }
    server.job["status"] = {"conditions": [suspended]}
    words = {"reason": "Preempted", "message": "Preempted to accommodate a workload"}
    condition = {**suspended, **words, "type": "Evicted"}
    server.workload["status"]["conditions"].append(condition)
    return server


def test_whom_a_preemption_ends_kueue_admits_never_again() -> None:
    server = evicted()
    found, _ = play(backend().reader(TRAINING).read("u-1"), server)
    assert (server.workload["spec"]["active"], server.job["spec"]["suspend"]) == (False, True)
    assert (found.phase, "terminate_after_preemption" in found.message) == ("Failed", True)


def test_who_was_admitted_again_before_anybody_looked_is_suspended() -> None:
    server = evicted()
    server.job["spec"]["suspend"] = False
    found, _ = play(backend().reader(TRAINING).read("u-1"), server)
    assert (server.workload["spec"]["active"], server.job["spec"]["suspend"]) == (False, True)
    assert found.phase == "Failed"


def test_a_gang_whose_budget_is_spent_is_held_back_by_its_workload() -> None:
    rig = ModelRig()
    rig.play(Script(seconds=10, exit_code=7))
    made = submit(rig, distributed={"framework": "PyTorch", "workers": 1}, backoff_limit=1)
    store = rig.cluster.store
    queue = {"kueue.x-k8s.io/queue-name": "train"}
    (gang,) = store.all(JOBSETS)
    store.change(JOBSETS, gang, lambda one: one["metadata"]["labels"].update(queue))
    about = {"name": "jobset-1", "namespace": "team-a", "labels": {JOB_UID: made.id}}
    store.create(WORKLOADS, {"metadata": about, "spec": {"active": True}})
    assert outcome_of(rig, made, WaitPolicy(0.3)).status == "failed"
    (queued,) = store.all(WORKLOADS)
    assert queued["spec"]["active"] is False
