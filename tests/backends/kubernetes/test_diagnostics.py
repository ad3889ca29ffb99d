"""Why a training waits or failed, its pods and its logs, as a cluster tells them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.backends.kubernetes.diagnostics.diagnostics import KubernetesDiagnostics
from airflow_runai.core.incarnations import nodes_of
from airflow_runai.core.kubernetes.history import TrainingHistory, write_history
from airflow_runai.core.kubernetes.incarnations import PodIncarnation
from airflow_runai.core.kubernetes.job_facts import HISTORY
from airflow_runai.core.usage import Incarnation
from airflow_runai.core.workload import Workload
from airflow_runai.errors import Unauthorized
from tests.backends.kubernetes.staged import Client, cluster_of, workload
from tests.model.conftest import Stage
from tests.model.kubelet import Life
from tests.model.resources import EVENTS, JOBS, PODS, QUEUES, WORKLOADS, Object

FOREVER = Life(run=1e6)
PULL = 'failed to pull and unpack image "reg.example/a:typo": reg.example/a:typo: not found'


def told(stage: Stage, one: Workload, since: float = 0.0) -> list[str]:
    found = Client(stage).ask(KubernetesDiagnostics(cluster_of()).explain(one, since))
    return [reason.code for reason in found]


def sentences(stage: Stage, one: Workload) -> list[str]:
    found = Client(stage).ask(KubernetesDiagnostics(cluster_of()).explain(one))
    return [reason.sentence for reason in found]


def say(stage: Stage, about: Object, reason: str, message: str, **more: Any) -> None:
    meta = about["metadata"]
    involved = {"kind": about["kind"], "namespace": meta["namespace"]}
    involved |= {"name": meta["name"], "uid": meta["uid"]}
    number = len(list(stage.cluster.store.all(EVENTS)))
    event = {"involvedObject": involved, "reason": reason, "message": message, "type": "Warning"}
    name = {"name": f"event-{number}", "namespace": meta["namespace"]}
    stage.cluster.store.create(EVENTS, {"metadata": name, **event, **more})


def remember(stage: Stage, job: Object, *lives: PodIncarnation) -> None:
    text = write_history(TrainingHistory(lives))
    stage.cluster.store.change(
        JOBS, job, lambda one: one["metadata"].update(annotations={HISTORY: text})
    )


def test_a_training_that_runs_needs_no_reason_whatever_was_seen_last(stage: Stage) -> None:
    one = workload(stage.submit("runs", FOREVER), "Pending")
    stage.clock.advance(5.0)
    client = Client(stage)
    assert client.ask(KubernetesDiagnostics(cluster_of()).explain(one)) == ()
    assert len(client.asked) == 2


@pytest.mark.parametrize(
    ("gpus", "queue", "code"),
    [
        (3, "team-b", "larger-than-nodes"),
        (1, "nosuch", "queue-missing"),
        (1, "team-b", "no-free-gpus"),
    ],
)
def test_a_training_without_a_place_says_why(
    stage: Stage, gpus: int, queue: str, code: str
) -> None:
    stage.submit("before", FOREVER, gpus=2, team="team-b")
    stage.clock.advance(3.0)
    if queue == "nosuch":
        stage.cluster.store.remove(QUEUES, stage.cluster.store.get(QUEUES, "", "team-b"))
    one = workload(stage.submit("waits", FOREVER, gpus=gpus))
    stage.clock.advance(3.0)
    assert told(stage, one) == [code]


def test_an_image_that_cannot_be_pulled_is_named(stage: Stage) -> None:
    one = workload(stage.submit("typo", Life(never=("ErrImagePull", PULL))))
    stage.clock.advance(5.0)
    (pod,) = stage.pods("typo")

    def add_image(found: Object) -> None:
        found["status"]["containerStatuses"][0]["image"] = "reg.example/a:typo"

    stage.cluster.store.change(PODS, pod, add_image)
    (sentence,) = sentences(stage, one)
    assert sentence == (
        "image 'reg.example/a:typo' cannot be pulled: its registry has no such name or tag "
        f"(pod {pod['metadata']['name']} on node-0); "
        "correct `image` in the specification, or push the image"
    )


@pytest.mark.parametrize(
    ("reason", "message", "code"),
    [
        ("CreateContainerConfigError", 'secret "dataset-access" not found', "secret-missing"),
        ("CreateContainerConfigError", 'configmap "conf" not found', "secret-missing"),
        ("ImagePullBackOff", "", "image-waiting"),
    ],
)
def test_what_a_container_waits_for_is_named(
    stage: Stage, reason: str, message: str, code: str
) -> None:
    one = workload(stage.submit("waits", Life(never=(reason, message))))
    stage.clock.advance(5.0)
    assert told(stage, one) == [code]


@pytest.mark.parametrize(
    ("life", "code", "part"),
    [
        (Life(run=2.0, exit_code=137, reason="OOMKilled"), "out-of-memory", "out of memory"),
        (Life(run=2.0, exit_code=3), "exit-code", "ended with exit code 3"),
    ],
)
def test_a_failure_has_its_exit_code(stage: Stage, life: Life, code: str, part: str) -> None:
    one = workload(stage.submit("fails", life, backoffLimit=0), "Failed")
    stage.clock.advance(10.0)
    assert told(stage, one) == [code]
    assert part in sentences(stage, one)[0]


def test_a_failure_whose_pod_is_gone_is_remembered(stage: Stage) -> None:
    job = stage.submit("fails", Life(run=2.0, exit_code=9), backoffLimit=0)
    stage.clock.advance(10.0)
    (pod,) = stage.pods("fails")
    failed = PodIncarnation("u-1", "fails-x", "node-7", 1.0, 2.0, 3.0, 41, "Error", "failed")
    remember(stage, job, failed)
    stage.cluster.store.remove(PODS, pod)
    (sentence,) = sentences(stage, workload(job, "Failed"))
    assert sentence.startswith("the command ended with exit code 41 (pod fails-x on node-7)")


def test_what_was_said_before_the_last_run_is_an_older_story(stage: Stage) -> None:
    one = workload(stage.submit("fails", Life(run=2.0, exit_code=3), backoffLimit=0), "Failed")
    stage.clock.advance(10.0)
    assert told(stage, one, since=stage.clock.now() + 60) == ["crashes"]


def test_pods_that_the_cluster_refuses_are_explained_by_events(stage: Stage) -> None:
    job = stage.submit("barred", FOREVER, parallelism=0)
    stage.cluster.store.change(JOBS, job, lambda one: one["spec"].update(parallelism=1))
    words = 'Error creating: pods "x-" is forbidden: no PriorityClass with name nosuch was found'
    say(stage, job, "FailedCreate", words)
    for pod in stage.pods("barred"):
        stage.cluster.store.remove(PODS, pod)
    assert told(stage, workload(job, "Creating")) == ["priority-missing"]


def test_races_of_the_pod_grouper_are_no_reason(stage: Stage) -> None:
    job = stage.submit("waits", Life(never=("ContainerCreating", "")))
    stage.clock.advance(5.0)
    (pod,) = stage.pods("waits")
    race = 'podgroups.scheduling.run.ai "pg-x": the object has been modified; please apply your changes'
    say(stage, pod, "PodGrouperWarning", f"Operation cannot be fulfilled on {race}")
    say(stage, pod, "PodGrouperWarning", 'podgroups.scheduling.run.ai "pg-x" already exists')
    assert told(stage, workload(job)) == []
    say(stage, pod, "BindingError", "failed to reserve GPUs")
    assert sentences(stage, workload(job))[0].startswith("the platform says: BindingError: failed")


def test_secrets_in_what_a_cluster_says_are_hidden(stage: Stage) -> None:
    job = stage.submit("waits", Life(never=("ContainerCreating", "")))
    stage.clock.advance(5.0)
    (pod,) = stage.pods("waits")
    say(stage, pod, "FailedMount", "mount --password=hunter2hunter2 failed\x1b[31m")
    (sentence,) = sentences(stage, workload(job))
    assert "hunter2" not in sentence
    assert sentence.isprintable()


def test_kueue_says_why_it_does_not_admit(stage: Stage) -> None:
    job = stage.submit("queued", suspend=True)
    label = {"kueue.x-k8s.io/queue-name": "train"}
    stage.cluster.store.change(JOBS, job, lambda one: one["metadata"]["labels"].update(label))
    assert told(stage, workload(job)) == [], "Kueue is still looking at it"
    stage.clock.advance(60.0)
    assert told(stage, workload(job)) == ["not-queued"]
    uid = {"kueue.x-k8s.io/job-uid": job["metadata"]["uid"]}
    meta = {"name": "job-queued-1", "namespace": "team-b", "labels": uid}
    words = "LocalQueue train doesn't exist"
    waits = {"type": "QuotaReserved", "status": "False", "reason": "Inadmissible", "message": words}
    stage.cluster.store.create(WORKLOADS, {"metadata": meta, "status": {"conditions": [waits]}})
    assert told(stage, workload(job)) == ["queue-missing"]


@pytest.mark.parametrize("lost", ["jobs", "pods", "events", "nodes"])
def test_what_is_forbidden_is_left_out_at_once(stage: Stage, lost: str) -> None:
    one = workload(stage.submit("waits", FOREVER, gpus=3))
    stage.clock.advance(3.0)
    stage.cluster.server.forbidden.add(("*", lost))
    client = Client(stage)
    found = client.ask(KubernetesDiagnostics(cluster_of()).explain(one))
    assert [reason.code for reason in found] == ([] if lost == "pods" else ["larger-than-nodes"])
    assert len(client.asked) == len({(one.path, tuple(one.params)) for one in client.asked}), (
        "nothing is asked twice"
    )


def test_a_cluster_that_does_not_answer_is_asked_once(stage: Stage) -> None:
    one = workload(stage.submit("waits", FOREVER, gpus=3))
    client = Client(stage)
    client.is_away = True
    assert client.ask(KubernetesDiagnostics(cluster_of()).explain(one)) == ()
    assert len(client.asked) == 1


def rows(stage: Stage, one: Workload, *, gone: bool = False) -> list[Any]:
    return Client(stage).ask(KubernetesDiagnostics(cluster_of()).pods(one, gone=gone))


def test_the_present_pod_says_when_and_where_it_lived(stage: Stage) -> None:
    job = stage.submit("fails", Life(start=1.0, run=4.0, exit_code=5), backoffLimit=0)
    begin = stage.clock.now()
    stage.clock.advance(20.0)
    (row,) = rows(stage, workload(job))
    assert (row["nodeName"], row["k8sPhase"], row["ended"]) == ("node-0", "Failed", "failed")
    assert row["containers"][0] == {
        "startedAt": pytest.approx(begin + 2, abs=1.1),
        "exitCode": 5,
        "reason": "Error",
    }
    assert row["completedAt"] == pytest.approx(begin + 6, abs=1.1)
    assert "deletedAt" not in row


def test_pods_that_are_gone_come_from_the_history(stage: Stage) -> None:
    job = stage.submit("resumed", FOREVER)
    stage.clock.advance(5.0)
    made = stage.clock.now() - 1000
    before = PodIncarnation(
        "u-1",
        "resumed-x",
        "node-7",
        made,
        made + 5,
        made + 50,
        143,
        "Error",
        "preempted",
        "reclaim",
    )
    remember(stage, job, before)
    (present,) = rows(stage, workload(job))
    assert "deletedAt" not in present
    first, second = rows(stage, workload(job), gone=True)
    assert (first["deletedAt"], first["by"]) == (made + 50, "reclaim")
    assert second == present
    lives = [Incarnation(made + 5, made + 50), Incarnation(stage.clock.now() - 4, 1e12)]
    assert nodes_of([first, second], lives) == ["node-7", "node-0"]


def test_pods_are_found_without_a_right_to_their_job(stage: Stage) -> None:
    job = stage.submit("runs", FOREVER)
    stage.clock.advance(5.0)
    stage.cluster.server.forbidden.add(("*", "jobs"))
    (row,) = rows(stage, workload(job))
    assert row["nodeName"] == "node-0"
    stage.cluster.server.forbidden.add(("*", "pods"))
    assert rows(stage, workload(job)) == []


def test_the_api_server_has_the_logs_and_answers(stage: Stage) -> None:
    client = Client(stage)
    assert client.ask(KubernetesDiagnostics(cluster_of()).log_server("model")) == (
        "the API server of model"
    )
    stage.cluster.server.tokens_are_bad = True
    with pytest.raises(Unauthorized):
        client.ask(KubernetesDiagnostics(cluster_of()).log_server("model"))


def test_nothing_measures_gpus_here(stage: Stage) -> None:
    one = workload(stage.submit("runs"))
    client = Client(stage)
    assert client.ask(KubernetesDiagnostics(cluster_of()).gpu_utilization(one, 0.0, 1.0)) == ()
    assert client.asked == []
