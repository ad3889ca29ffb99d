"""A training of one pod: what every Job has, and what only some dialects have."""

from __future__ import annotations

import pytest

from airflow_runai.core.manifests import DIALECTS, ClusterTerms, ManifestRequest, render
from airflow_runai.core.spec import WorkloadSpec
from tests.core.manifests.requests import (
    BASE,
    KINDS,
    manifests,
    pods,
    problems,
    request_of,
    variables,
    workload,
)

OURS = {
    "app.kubernetes.io/managed-by": "airflow-runai",
    "airflow-runai/identity": "0123456789",
    "airflow-runai/generation": "1",
    "airflow-runai/dag": "nightly",
    "airflow-runai/task": "train",
    "airflow-runai/try": "1",
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_job_restarts_uncharged_and_never_writes_twice(dialect: str) -> None:
    job = workload({"backoff_limit": 3}, dialect)
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert job["metadata"]["name"] == f"{BASE}-g1"
    assert job["spec"]["backoffLimit"] == 23
    assert job["spec"]["podReplacementPolicy"] == "Failed"
    taken = {"type": "DisruptionTarget", "status": "True"}
    rules = [{"action": "Ignore", "onPodConditions": [taken]}]
    assert job["spec"]["podFailurePolicy"] == {"rules": rules}
    (pod,) = pods(job)
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 30
    assert "activeDeadlineSeconds" not in {**job["spec"], **pod["spec"]}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", KINDS)
def test_objects_and_pods_say_whose_they_are(dialect: str, kind: str) -> None:
    made = workload({**KINDS[kind], "labels": {"team": "a"}, "annotations": {"note": "n"}}, dialect)
    for metadata in (made["metadata"], *(pod["metadata"] for pod in pods(made))):
        assert {**OURS, "team": "a"}.items() <= metadata["labels"].items()
        assert metadata["annotations"]["note"] == "n"
    assert (
        made["metadata"]["annotations"]["airflow-runai/fingerprint"]
        == (
            request_of({**KINDS[kind], "labels": {"team": "a"}, "annotations": {"note": "n"}})
        ).spec.fingerprint()
    )


SCHEDULING = {
    "kai": ("kai-scheduler", {"kai.scheduler/queue": "team-a", "kai.scheduler/preemptibility": "preemptible"}),
    "runai": ("runai-scheduler", {"runai/queue": "team-a", "project": "team-a", "kai.scheduler/preemptibility": "preemptible"}),
    "kueue": (None, {"kueue.x-k8s.io/queue-name": "team-a"}),
    "plain": (None, {}),
}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_dialect_tells_its_scheduler(dialect: str, kind: str) -> None:
    made = workload(KINDS[kind], dialect)
    scheduler, labels = SCHEDULING[dialect]
    foreign = {key: text for key, text in made["metadata"]["labels"].items() if key not in OURS}
    foreign.pop("airflow-runai/run")
    assert foreign == labels
    for pod in pods(made):
        assert pod["spec"].get("schedulerName") == scheduler
        on_pods = labels if dialect in ("kai", "runai") else {}
        assert set(pod["metadata"]["labels"]) - set(OURS) - {"airflow-runai/run"} == set(on_pods)
    assert made["spec"].get("suspend") is (True if dialect == "kueue" else None)


def test_a_container_is_told_what_run_ai_tells_it() -> None:
    (pod,) = pods(workload({"compute": {"gpu_devices": 2}, "termination_grace_period": 90}))
    told_to_it = variables(pod)
    assert told_to_it["JOB_NAME"] == told_to_it["RUNAI_JOB_NAME"] == f"{BASE}-g1"
    assert told_to_it["RUNAI_PROJECT"] == "team-a"
    assert (told_to_it["RUNAI_NUM_OF_GPUS"], told_to_it["RUNAI_GRACE_SECONDS"]) == ("2", "90")
    assert told_to_it["POD_INDEX"] == "0"
    assert told_to_it["POD_UUID"] == {"fieldRef": {"fieldPath": "metadata.uid"}}
    assert told_to_it["NODE_NAME"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
    uid = "metadata.labels['batch.kubernetes.io/controller-uid']"
    assert told_to_it["JOB_UUID"] == {"fieldRef": {"fieldPath": uid}}


def test_variables_of_the_author_win_and_those_of_the_provider_are_there() -> None:
    source = {
        "environment": {
            "JOB_NAME": "mine",
            "TOKEN": {"secret": {"name": "s", "key": "k"}},
            "MODE": {"config_map": {"name": "m", "key": "k"}},
            "IP": {"pod_field": "status.podIP"},
        }
    }
    (pod,) = pods(workload(source, variables={"AIRFLOW_RUNAI_TRY": "1"}))
    given = variables(pod)
    assert given["JOB_NAME"] == "mine"
    assert given["AIRFLOW_RUNAI_TRY"] == "1"
    assert given["TOKEN"] == {"secretKeyRef": {"name": "s", "key": "k"}}
    assert given["MODE"] == {"configMapKeyRef": {"name": "m", "key": "k"}}
    assert given["IP"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    names = [entry["name"] for entry in pod["spec"]["containers"][0]["env"]]
    assert len(names) == len(set(names))


def test_words_of_the_command_are_those_that_a_shell_would_see() -> None:
    (pod,) = pods(workload({"command": "python train.py --name 'a b'", "args": '"$HOME" x'}))
    (main,) = pod["spec"]["containers"]
    assert main["command"] == ["python", "train.py", "--name", "a b"]
    assert main["args"] == ["$HOME", "x"]


def test_several_runs_have_an_index() -> None:
    job = workload({"completions": 4, "parallelism": 2})
    assert job["spec"]["completionMode"] == "Indexed"
    index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert variables(pods(job)[0])["POD_INDEX"] == {"fieldRef": {"fieldPath": index}}


def test_the_first_preemption_may_be_the_end() -> None:
    (rule,) = workload({"terminate_after_preemption": True})["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"


@pytest.mark.parametrize(("given", "seconds"), [(None, 604800), (0, 0), (60, 60)])
def test_ended_jobs_are_removed_after_a_time(given: int | None, seconds: int) -> None:
    assert workload({"auto_deletion": given})["spec"]["ttlSecondsAfterFinished"] == seconds


@pytest.mark.parametrize(
    ("compute", "annotation", "limits"),
    [
        ({"gpu_portion": 0.5}, {"gpu-fraction": "0.5"}, None),
        ({"gpu_portion": 1e-7}, {"gpu-fraction": "0.0000001"}, None),
        ({"gpu_portion": 1}, None, {"nvidia.com/gpu": "1"}),
        ({"gpu_memory": "10G"}, {"gpu-memory": "9537"}, None),
        ({"gpu_memory": "1Gi", "gpu_devices": 1}, {"gpu-memory": "1024"}, None),
        ({"gpu_devices": 0}, None, None),
        (
            {"gpu_devices": 8, "extended_resources": {"rdma/hca": 1}},
            None,
            {"nvidia.com/gpu": "8", "rdma/hca": "1"},
        ),
    ],
)
def test_gpus_are_whole_or_a_share(compute: object, annotation: object, limits: object) -> None:
    (pod,) = pods(workload({"compute": compute}))
    assert pod["metadata"].get("annotations") == annotation
    (main,) = pod["spec"]["containers"]
    assert main.get("resources", {}).get("limits") == limits


def test_a_new_claim_is_made_before_and_outlives_the_generation() -> None:
    pvc = [
        {"claim": "kept", "path": "/a", "existing": False, "size": "10K"},
        {"path": "/b", "size": "1Ti"},
    ]
    made = manifests({"storage": {"pvc": [*pvc, {"claim": "old", "path": "/c"}]}})
    assert [claim["metadata"]["name"] for claim in made.claims] == ["kept", f"{BASE}-1"]
    assert made.claims[0]["spec"]["resources"] == {"requests": {"storage": "10k"}}
    assert made.claims[0]["spec"]["accessModes"] == ["ReadWriteMany"]
    assert "airflow-runai/generation" not in made.claims[0]["metadata"]["labels"]
    volumes = pods(made.workload)[0]["spec"]["volumes"]
    names = [volume["persistentVolumeClaim"]["claimName"] for volume in volumes]
    assert names == ["kept", f"{BASE}-1", "old"]


def test_a_claim_of_the_pod_is_no_object_of_its_own() -> None:
    made = manifests({"storage": {"pvc": [{"path": "/a", "ephemeral": True, "size": "1G"}]}})
    assert made.claims == ()
    (volume,) = pods(made.workload)[0]["spec"]["volumes"]
    assert volume["ephemeral"]["volumeClaimTemplate"]["spec"]["resources"]["requests"] == {
        "storage": "1G"
    }


def test_a_repository_is_cloned_by_words_that_no_shell_reads() -> None:
    git = {
        "repository": "https://x/$(id)",
        "path": "/src",
        "branch": "b; rm -rf /",
        "revision": "r",
    }
    (pod,) = pods(workload({"storage": {"git": [git]}}))
    (clone,) = pod["spec"]["initContainers"]
    assert clone["image"] == "registry.example/git:2"
    assert not any(text in " ".join(clone["command"]) for text in ("rm -rf", "https"))
    given = {entry["name"]: entry["value"] for entry in clone["env"]}
    assert given["BRANCH"] == "b; rm -rf /"


@pytest.mark.parametrize(
    ("dialect", "needed"),
    [
        ("kai", [("queues", "team-a", "project"), ("priorityclasses", "build", "spec.priority")]),
        ("runai", [("priorityclasses", "build", "spec.priority")]),
        ("kueue", [("localqueues", "team-a", "project"), ("workloadpriorityclasses", "build", "spec.priority")]),
        ("plain", [("priorityclasses", "build", "spec.priority")]),
    ],
)  # fmt: skip
def test_what_a_server_would_miss_in_silence_is_to_be_looked_up(
    dialect: str, needed: object
) -> None:
    terms = ClusterTerms(priority_classes={"high": "build"})
    made = manifests({"priority": "high"}, dialect, terms=terms)
    found = [(one.registry.resource, one.name, one.place) for one in made.preconditions]
    assert found == needed


def test_the_connection_names_the_service_account() -> None:
    (pod,) = pods(workload({}, terms=ClusterTerms(service_account="trainer")))
    assert pod["spec"]["serviceAccountName"] == "trainer"


@pytest.mark.parametrize("dialect", ["kai", "runai", "kueue"])
def test_a_queue_is_needed_where_there_are_queues(dialect: str) -> None:
    (problem,) = problems({}, dialect, queue=None)
    assert problem == f"project: missing; the dialect '{dialect}' needs the name of a queue"
    request = ManifestRequest(WorkloadSpec.from_mapping({"image": "a:1"}), BASE, 1, "team-a")
    assert render(request, DIALECTS["plain"]).preconditions == ()
