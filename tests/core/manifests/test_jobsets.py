"""A distributed training: one gang that starts, is taken and returns as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.core.manifests import DIALECTS
from tests.core.manifests.requests import (
    BASE,
    SEVERAL,
    manifests,
    pods,
    problems,
    variables,
    workload,
)

NAME = f"{BASE}-g1"


def gang(**more: Any) -> dict[str, Any]:
    return {"distributed": {**SEVERAL["distributed"], **more}}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_gang_restarts_as_a_whole_and_uncharged_when_a_member_is_taken(dialect: str) -> None:
    made = workload({**SEVERAL, "backoff_limit": 2}, dialect)
    assert (made["apiVersion"], made["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    policy = made["spec"]["failurePolicy"]
    assert (policy["maxRestarts"], policy["restartStrategy"]) == (22, "BlockingRecreate")
    (rule,) = policy["rules"]
    assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    assert made["spec"]["startupPolicy"] == {"startupPolicyOrder": "AnyOrder"}
    assert made["spec"]["successPolicy"] == {"operator": "All"}
    assert made["spec"]["ttlSecondsAfterFinished"] == 604800


def test_each_pod_is_a_job_that_never_retries_by_itself() -> None:
    made = workload(SEVERAL)
    replicated = made["spec"]["replicatedJobs"]
    assert [(one["name"], one["replicas"]) for one in replicated] == [("master", 1), ("worker", 2)]
    for one in replicated:
        job = one["template"]["spec"]
        assert (job["backoffLimit"], job["completions"], job["parallelism"]) == (0, 1, 1)
        assert job["podReplacementPolicy"] == "Failed"
        taken, terminated = job["podFailurePolicy"]["rules"]
        assert taken == {
            "action": "FailJob",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        }
        assert terminated == {
            "action": "FailJob",
            "onExitCodes": {"containerName": "main", "operator": "In", "values": [143]},
        }


@pytest.mark.parametrize("dialect", ["kai", "kueue"])
def test_child_jobs_carry_the_queue_only_where_the_scheduler_reads_it_there(dialect: str) -> None:
    (queue,) = DIALECTS[dialect].queue_labels
    made = workload(SEVERAL, dialect)
    assert made["metadata"]["labels"][queue] == "team-a"
    children = [one["template"]["metadata"]["labels"] for one in made["spec"]["replicatedJobs"]]
    assert [queue in labels for labels in children] == [dialect == "kai"] * 2


def test_the_ranks_find_each_other() -> None:
    made = workload(SEVERAL)
    for pod in pods(made):
        given = variables(pod)
        rank = {"fieldRef": {"fieldPath": "metadata.labels['jobset.sigs.k8s.io/job-global-index']"}}
        assert given["RANK"] == given["PET_NODE_RANK"] == given["POD_INDEX"] == rank
        assert given["WORLD_SIZE"] == given["PET_NNODES"] == "3"
        assert given["MASTER_ADDR"] == given["PET_MASTER_ADDR"] == f"{NAME}-master-0-0.{NAME}"
        assert given["MASTER_PORT"] == "23456"
    assert made["spec"]["network"] == {"enableDNSHostnames": True, "publishNotReadyAddresses": True}


def test_the_first_preemption_may_be_the_end_of_the_gang() -> None:
    (rule,) = workload({**SEVERAL, "terminate_after_preemption": True})["spec"]["failurePolicy"][
        "rules"
    ]
    assert rule["action"] == "FailJobSet"


def test_a_master_differs_only_where_it_says_so() -> None:
    source = {
        "command": "./worker.sh",
        "environment": {"A": "1", "B": "1"},
        "compute": {"gpu_devices": 2, "cpu_cores": 8},
        "labels": {"role": "w"},
        **gang(master={"command": "./master.sh", "environment": {"B": "2"}, "compute": {"gpu_devices": "0"}, "labels": {"role": "m"}}),
    }  # fmt: skip
    master, worker = pods(workload(source))
    assert master["spec"]["containers"][0]["command"] == ["./master.sh"]
    assert worker["spec"]["containers"][0]["command"] == ["./worker.sh"]
    assert (variables(master)["A"], variables(master)["B"], variables(worker)["B"]) == (
        "1",
        "2",
        "1",
    )
    assert master["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "8"}}
    assert worker["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert (master["metadata"]["labels"]["role"], worker["metadata"]["labels"]["role"]) == (
        "m",
        "w",
    )


def test_a_masters_answer_on_gpus_is_the_whole_answer() -> None:
    source = {"compute": {"gpu_portion": 0.5}, **gang(master={"compute": {"gpu_devices": 1}})}
    master, worker = pods(workload(source))
    assert master["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert "annotations" not in master["metadata"]
    assert worker["metadata"]["annotations"] == {"gpu-fraction": "0.5"}


def test_one_claim_serves_all_members() -> None:
    made = manifests({**SEVERAL, "storage": {"pvc": [{"path": "/ckpt", "size": "1T"}]}})
    assert [claim["metadata"]["name"] for claim in made.claims] == [f"{BASE}-0"]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"master": {"priority": "train"}}, "spec.distributed.master.priority: 'train'; allowed: belongs to all pods together; set it beside 'distributed'"),
        ({"master": {"storage": {"s3": [{"bucket": "b"}]}}}, "spec.distributed.master.storage.s3: 1 entry; allowed: only with a connection"),
        ({"master": {"termination_grace_period": "9999999999"}}, "spec.distributed.master.termination_grace_period: 9999999999; allowed: at most 2147483647"),
        ({"master": {"args": "'open"}}, "spec.distributed.master.args: a quote is open"),
        ({"framework": "MPI"}, "spec.distributed.framework: 'MPI'; allowed: 'PyTorch'"),
        ({"workers": None}, "spec.distributed.workers: missing; allowed: a whole number from 1"),
    ],
)  # fmt: skip
def test_what_a_gang_cannot_have_is_named(more: dict[str, Any], sentence: str) -> None:
    (problem,) = problems(gang(**more))
    assert problem.startswith(sentence)


def test_a_mistake_that_the_master_inherits_is_said_once() -> None:
    (problem,) = problems({"args": "'open", **gang(master={"command": "./m.sh"})})
    assert problem.startswith("spec.args: ")
