"""
The stand-in for the kubelet: what clients see of its pods is what recordings of a cluster show.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.api import ApiError
from tests.rig.cluster import Cluster
from tests.rig.pods import PATIENT, Client
from tests.rig.waiting import until

pytestmark = [pytest.mark.rig, pytest.mark.slow]

READY = "PodReadyToStartContainers=T Initialized=T Ready=T ContainersReady=T"
UNREADY = "PodReadyToStartContainers=T Initialized=T Ready=F/ContainersNotReady ContainersReady=F/ContainersNotReady"
FAILED = "PodReadyToStartContainers=F Initialized=T Ready=F/PodFailed ContainersReady=F/PodFailed"
SUCCEEDED = "PodReadyToStartContainers=F Initialized=T/PodCompleted Ready=F/PodCompleted ContainersReady=F/PodCompleted"
BOUND = "Pending []"
CREATING = f"Pending [waiting ContainerCreating] {UNREADY}"
RUNNING = f"Running ip [running] {READY}"
BEGIN = [BOUND, CREATING, RUNNING]
PULL = 'failed to pull and unpack image "registry.example/train:1": failed to resolve reference'


@pytest.fixture
def client(rig_cluster: Cluster) -> Iterator[Client]:
    with Client(rig_cluster) as client:
        yield client


@pytest.mark.parametrize(
    ("last", "end"),
    [
        pytest.param("true", f"Succeeded ip [terminated 0 Completed] {SUCCEEDED}", id="succeeds"),
        pytest.param("exit 3", f"Failed ip [terminated 3 Error] {FAILED}", id="fails"),
        pytest.param(
            "kill -9 $$$$", f"Failed ip [terminated 137 Error] {FAILED}", id="kills itself"
        ),
    ],
)
def test_a_pod_that_ends_by_itself_is_seen_as_in_the_recordings(
    client: Client, last: str, end: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    client.run("p", f"until [ -e {gate} ]; do sleep 0.02; done; {last}")
    client.wait("p", "Running")
    gate.touch()
    client.wait("p", "Succeeded", "Failed")
    until(lambda: len(client.seen["p"]) == 4, "the end in the watch")
    assert client.seen["p"] == [*BEGIN, end]
    assert client.events("p") == ["Normal Started: Started container main"]


def test_a_container_can_be_ordered_to_take_too_much_memory(client: Client) -> None:
    client.run("p", PATIENT)
    client.wait("p", "Running")
    client.order("p", "oom-after", "0.1")
    client.wait("p", "Failed")
    until(lambda: len(client.seen["p"]) == 4, "the end in the watch")
    assert client.seen["p"] == [*BEGIN, f"Failed ip [terminated 137 OOMKilled] {FAILED}"]


def test_an_order_that_cannot_be_understood_is_said_on_the_pod(client: Client) -> None:
    client.run("p", PATIENT, {"oom-after": "soon"})
    until(lambda: client.events("p"), "the complaint")
    words = "annotation rig.airflow-runai/oom-after: 'soon' is not a number of seconds"
    assert client.events("p") == [f"Warning Failed: {words}"]


def test_a_deleted_pod_that_obeys_is_seen_ending_before_it_is_gone(client: Client) -> None:
    client.run("p", PATIENT)
    client.wait("p", "Running")
    client.delete("p")
    client.wait_gone("p")
    assert client.seen["p"] == [
        *BEGIN,
        f"deleted(60) {RUNNING}",
        f"deleted(60) Running ip [terminated 143 Error] {UNREADY}",
        f"deleted(60) Failed ip [terminated 143 Error] {FAILED}",
        f"deleted(0) Failed ip [terminated 143 Error] {FAILED}",
    ]
    assert client.events("p") == [
        "Normal Started: Started container main",
        "Normal Killing: Stopping container main",
    ]


def test_a_deleted_pod_that_does_not_obey_is_killed_after_its_grace(client: Client) -> None:
    client.run("p", "trap '' TERM; echo start; sleep 60", terminationGracePeriodSeconds=1)
    client.wait("p", "Running")
    until(lambda: client.log("p"), "the trap")
    client.delete("p")
    client.wait_gone("p")
    assert client.seen["p"] == [
        *BEGIN,
        f"deleted(1) {RUNNING}",
        f"deleted(1) Failed ip [terminated 137 Error] {FAILED}",
        f"deleted(0) Failed ip [terminated 137 Error] {FAILED}",
    ]


def test_an_image_that_cannot_be_pulled_alternates_and_its_pod_ends_unknown(client: Client) -> None:
    client.run("p", "true", {"image-error": "yes"})
    until(lambda: len(client.seen.get("p", [])) >= 3, "the error")
    words = "image can't be pulled|trying and failing to pull image"
    with pytest.raises(ApiError, match=f'400 .*"main" in pod "p" is waiting to start: ({words})'):
        client.log("p")
    until(lambda: len(client.seen["p"]) >= 4, "the back-off")
    client.delete("p")
    client.wait_gone("p")
    *waited, deleted, failed, gone = client.seen["p"]
    assert waited[:4] == [
        BOUND,
        CREATING,
        f"Pending [waiting ErrImagePull] {UNREADY}",
        f"Pending [waiting ImagePullBackOff] {UNREADY}",
    ]
    assert set(waited[4:]) <= {*waited[2:4]}
    assert deleted == f"deleted(60) {waited[-1]}"
    assert failed == f"deleted(60) Failed ip [terminated 137 ContainerStatusUnknown] {FAILED}"
    assert gone == f"deleted(0) Failed ip [terminated 137 ContainerStatusUnknown] {FAILED}"
    events = client.events("p")
    assert events[0].startswith(
        f'Warning Failed: Failed to pull image "registry.example/train:1": {PULL}'
    )
    assert events[1] == 'Warning BackOff: Back-off pulling image "registry.example/train:1"'


def test_a_missing_secret_is_named_and_waited_for(client: Client) -> None:
    source = {"secretKeyRef": {"name": "dataset-access", "key": "key"}}
    client.run("p", "echo $KEY", main={"env": [{"name": "KEY", "valueFrom": source}]})
    until(lambda: client.events("p"), "the complaint")
    client.make("secrets", "dataset-access", stringData={"key": "open sesame"})
    client.wait("p", "Succeeded")
    assert client.log("p") == "open sesame\n"
    assert client.events("p")[0] == 'Warning Failed: secret "dataset-access" not found'
    assert client.seen["p"][2] == f"Pending [waiting CreateContainerConfigError] {UNREADY}"


def test_a_pod_ordered_never_to_start_starts_when_the_order_is_taken_back(client: Client) -> None:
    client.run("p", "true", {"never-start": "yes"})
    until(lambda: len(client.seen.get("p", [])) == 2, "the creation")
    with pytest.raises(ApiError, match="is waiting to start: ContainerCreating"):
        client.log("p")
    client.order("p", "never-start", None)
    client.wait("p", "Succeeded")
    assert client.seen["p"][:2] == [BOUND, CREATING]


def test_a_container_that_fails_is_started_again_at_once_and_then_only_after_a_while(
    client: Client,
) -> None:
    client.run("p", "echo try; sleep 0.2; exit 7", restartPolicy="OnFailure")
    waiting = "Running ip [waiting CrashLoopBackOff restarts=1] " + UNREADY
    until(lambda: client.seen.get("p", [""])[-1] == waiting, "the back-off")
    status = client.main("p")
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 7
    assert client.log("p") == client.log("p", previous="true") == "try\n"


def test_init_containers_run_one_after_the_other_and_before_the_others(client: Client) -> None:
    first = [
        _init("one", "echo 1 >> /shared/order; sleep 0.2"),
        _init("two", "echo 2 >> /shared/order"),
    ]
    client.run(
        "p",
        "cat /shared/order",
        initContainers=first,
        volumes=SHARED,
        main={"volumeMounts": MOUNTED},
    )
    client.wait("p", "Succeeded")
    assert client.log("p") == "1\n2\n"
    assert client.seen["p"][1].startswith("Pending [waiting PodInitializing]")


def test_an_init_container_that_fails_fails_its_pod(client: Client) -> None:
    client.run("p", "echo never", initContainers=[_init("one", "exit 4")], volumes=SHARED)
    pod = client.wait("p", "Failed")
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
    assert client.main("p")["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_a_command_that_does_not_exist_is_a_start_error(client: Client) -> None:
    client.run("p", "", main={"command": ["/no/such/program"]})
    client.wait("p", "Failed")
    ended = client.main("p")["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert ended["message"] == "/no/such/program: No such file or directory"


def test_a_job_runs_to_completion(client: Client) -> None:
    jobs = client.path.replace("/api/v1", "/apis/batch/v1").replace("/pods", "/jobs")
    main = {"name": "main", "image": "any", "command": ["sh", "-c", "echo $JOB_COMPLETION_INDEX"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [main]}}
    spec = {"completions": 2, "parallelism": 2, "completionMode": "Indexed", "template": template}
    client.api.create(jobs, {"metadata": {"name": "j"}, "spec": spec})
    until(lambda: client.api.get(f"{jobs}/j")["status"].get("succeeded") == 2, "both pods' success")
    assert sorted(client.log(name) for name in client.seen) == ["0\n", "1\n"]


SHARED = [{"name": "shared", "emptyDir": {}}]
MOUNTED = [{"name": "shared", "mountPath": "/shared"}]


def _init(name: str, script: str) -> dict[str, object]:
    return {"name": name, "image": "any", "command": ["sh", "-c", script], "volumeMounts": MOUNTED}
