"""
The vendor's own client, runapy 1.224, against the emulator: one test per call of the conformance list.

The numbers are those of the list. What runapy does wrong by itself is asserted, too, so that a
change in it is noticed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import urllib3
from runai import models
from runai.api_client import ApiClient
from runai.configuration import Configuration
from runai.exceptions import (
    BadRequestException,
    ForbiddenException,
    NotFoundException,
    ServiceException,
)
from runai.runai_client import RunaiClient

from airflow_runai.emulator import Emulator, EmulatorSettings, Scenario, SteppedClock, serve
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SETTINGS = EmulatorSettings(
    clock=SteppedClock(),
    projects=("team-a:2", "team-b:2", "twin:0", "twin@second:0", "capped:1,limit=2,weight=0.5"),
    clusters=("embedded", "second"),
    scenarios={"endless": Scenario(run_seconds=None)},
    policy_max_gpus=8,
)


def connect(emulator: Emulator, **configuration: Any) -> RunaiClient:
    """Log in as the vendor's client does, without its blind retries."""
    settings = Configuration(
        client_id=emulator.client_id,
        client_secret=emulator.client_secret,
        runai_base_url=emulator.url,
        **{"retry_enabled": False, **configuration},
    )
    return RunaiClient(ApiClient(settings))


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(replace(SETTINGS, clock=SteppedClock())) as running:
        yield running


@pytest.fixture
def runai(emulator: Emulator) -> RunaiClient:
    return connect(emulator)


@pytest.fixture
def create(runai: RunaiClient, emulator: Emulator) -> Callable[..., str]:
    def make(name: str, project: str = "team-a", gpus: int = 1, **spec: Any) -> str:
        answer = runai.workloads.trainings.create_training1(
            body(emulator, name, project, gpus, **spec)
        )
        return str(answer.data["workloadId"])

    return make


def body(
    emulator: Emulator, name: str, project: str = "team-a", gpus: int = 1, **spec: Any
) -> dict[str, Any]:
    found = next(one for one in emulator.world.projects if one.name == project)
    spec = {"image": "repo/train:1", "compute": {"gpuDevicesRequest": gpus}, **spec}
    return {"name": name, "projectId": found.id, "clusterId": found.cluster_id, "spec": spec}


def phase_updates(runai: RunaiClient, workload_id: str) -> list[str]:
    records = runai.workloads.events.get_workload_history(workload_id, limit=500).data["records"]
    return [
        r["spec"]["phaseUpdate"]["phase"]
        for r in reversed(records)
        if r["meta"]["type"] == "PhaseUpdate"
    ]


def test_01_constructor_logs_in_with_app_token(runai: RunaiClient, emulator: Emulator) -> None:
    assert runai.api_client._token.count(".") == 2
    assert runai.api_client.token_refresher._token_expiry > time.time() + 3000
    assert [(seen.path, seen.status) for seen in emulator.requests] == [("/api/v1/token", 200)]


def test_02_grant_token_with_client_credentials(runai: RunaiClient, emulator: Emulator) -> None:
    request = {
        "grantType": "client_credentials",
        "clientID": emulator.client_id,
        "clientSecret": emulator.client_secret,
    }
    answer = runai.authentication_and_authorization.tokens.grant_token(request)
    assert models.TokenResponse.from_dict(answer.data).expires_in == 3600


def test_03_token_v2_is_a_form_which_runapy_does_not_send(
    runai: RunaiClient, emulator: Emulator
) -> None:
    with pytest.raises(BadRequestException):
        runai.authentication_and_authorization.tokens.grant_token_v2(
            "client_credentials", "airflow", "airflow-local"
        )
    form = {
        "grant_type": "client_credentials",
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
    }
    answer = httpx.post(f"{emulator.url}/api/v2/token", data=form)
    assert models.OAuth2TokenResponse.from_dict(answer.json()).token_type == "Bearer"


def test_04_expired_token_is_refreshed_exactly_once() -> None:
    with serve(replace(SETTINGS, clock=SteppedClock(), token_seconds=61.5)) as emulator:
        runai = connect(emulator)

        def refreshed() -> bool:
            runai.organizations.clusters.get_clusters()  # refreshes when less than 60 s are left
            return emulator.plane.tokens.issued > 1

        wait_until(refreshed)
        assert emulator.plane.tokens.issued == 2
        assert all(seen.status == 200 for seen in emulator.requests)


def test_05_clusters_are_a_bare_list(runai: RunaiClient) -> None:
    clusters = runai.organizations.clusters.get_clusters(verbosity="metadata").data
    assert [cluster["name"] for cluster in clusters] == ["embedded", "second"]
    assert models.DisplayedCluster.from_dict({**clusters[0], "status": None}).version == "2.24.0"


@pytest.mark.parametrize(("name", "hits"), [("nobody", 0), ("team-a", 1), ("twin", 2)])
def test_06_projects_by_name(runai: RunaiClient, name: str, hits: int) -> None:
    answer = runai.organizations.projects.get_projects(filter_by=[f"name=={name}"]).data
    assert len(answer["projects"]) == hits
    assert all(
        project["id"].isdecimal() and project["status"]["namespace"]
        for project in answer["projects"]
    )


def test_06_project_name_and_cluster_together_are_one(runai: RunaiClient) -> None:
    cluster = runai.organizations.clusters.get_clusters().data[1]["uuid"]
    wanted = ["name==twin", f"clusterId=={cluster}"]
    assert len(runai.organizations.projects.get_projects(filter_by=wanted).data["projects"]) == 1


@pytest.mark.parametrize(
    ("name", "deserved", "limit", "weight"), [("team-a", 2, -1, 1), ("capped", 1, 2, 0.5)]
)
def test_06_project_tells_quota_limit_and_weight(
    runai: RunaiClient, name: str, deserved: float, limit: float, weight: float
) -> None:
    [found] = runai.organizations.projects.get_projects(filter_by=[f"name=={name}"]).data[
        "projects"
    ]
    gpu = models.Resource.from_dict(found["resources"][0]["gpu"])
    assert gpu == models.Resource(deserved=deserved, limit=limit, over_quota_weight=weight)
    assert models.TotalResources.from_dict(found["totalResources"]).gpu_quota == deserved


def test_07_departments(runai: RunaiClient) -> None:
    found = runai.organizations.departments.get_departments(filter_by=["name==default"]).data[
        "departments"
    ]
    assert [one["name"] for one in found] == ["default", "default"]


def test_08_node_pools(runai: RunaiClient) -> None:
    pools = runai.organizations.node_pools.get_nodepools().data["nodepools"]
    assert {pool["name"] for pool in pools} == {"default"}
    assert models.Nodepool.from_dict(pools[0]).is_default is True


def test_09_workload_types(runai: RunaiClient) -> None:
    types = runai.workloads.workload_properties.list_workload_types().data["types"]
    assert [one["name"] for one in types] == ["Training", "Distributed"]


def test_10_workload_priorities(runai: RunaiClient) -> None:
    listed = runai.workloads.workload_properties.get_workload_priorities().data["priorities"]
    assert [(one["name"], one["value"]) for one in listed][:2] == [("very-low", 25), ("low", 40)]
    assert len(listed) == 7


def test_11_create_training_from_a_model(runai: RunaiClient, emulator: Emulator) -> None:
    plain = body(emulator, "from-model")
    compute = models.SupersetSpecAllOfCompute(gpu_devices_request=1)
    spec = models.TrainingSpecSpec(
        image="repo/train:1", command="python", args="-m train", compute=compute
    )
    request = models.TrainingCreationRequest(
        name=plain["name"], project_id=plain["projectId"], cluster_id=plain["clusterId"], spec=spec
    )
    answer = runai.workloads.trainings.create_training1(request)
    assert answer.status_code == 202
    assert models.Training1.from_dict(answer.data).actual_phase == models.Phase.CREATING


def test_12_create_training_from_a_dict_keeps_an_unknown_key(
    runai: RunaiClient, create: Callable[..., str]
) -> None:
    created = create("unknown-key", notYetInvented={"a": [1]})
    assert runai.workloads.trainings.get_training(created).data["spec"]["notYetInvented"] == {
        "a": [1]
    }


@pytest.mark.parametrize("status", [400, 409])
def test_13_duplicate_name_is_refused(status: int) -> None:
    with serve(replace(SETTINGS, clock=SteppedClock(), duplicate_name_status=status)) as emulator:
        runai = connect(emulator)
        runai.workloads.trainings.create_training1(body(emulator, "twice"))
        with pytest.raises(Exception, match="already exists") as refused:
            runai.workloads.trainings.create_training1(body(emulator, "twice"))
        assert getattr(refused.value, "status", None) == status
        assert len(emulator.workloads_named("twice")) == 1


def test_14_breaking_a_policy_lists_compliance_issues(create: Callable[..., str]) -> None:
    with pytest.raises(BadRequestException) as refused:
        create("too-big", gpus=9)
    issue = refused.value.data["complianceIssues"][0]
    assert (
        models.ComplianceIssuesComplianceIssuesInner.from_dict(issue).var_field
        == "compute.gpuDevicesRequest"
    )
    assert issue["rule"] == "max"


def test_15_get_training_has_its_own_shape(runai: RunaiClient, create: Callable[..., str]) -> None:
    created = create("shape")
    found = runai.workloads.trainings.get_training(created).data
    assert found["workloadId"] == created
    assert found["desiredPhase"] == "Running"
    assert models.Training1.from_dict(found).actual_phase is not None


def test_16_get_workload_tells_why_it_waits(
    runai: RunaiClient, emulator: Emulator, create: Callable[..., str]
) -> None:
    created = create("too-firm", gpus=3, preemptibility="non-preemptible")
    emulator.advance(1)
    found = models.WorkloadDetailed.from_dict(runai.workloads.workloads.get_workload(created).data)
    assert found.id == created
    assert found.phase == models.Phase.PENDING
    assert found.pending_scheduling_messages[0].phase_reason == "NonPreemptibleOverQuota"


def test_16_get_workload_tells_that_its_project_is_at_its_limit(
    runai: RunaiClient, emulator: Emulator, create: Callable[..., str]
) -> None:
    created = create("too-many", project="capped", gpus=3)
    emulator.advance(1)
    found = models.WorkloadDetailed.from_dict(runai.workloads.workloads.get_workload(created).data)
    [message] = found.pending_scheduling_messages
    assert (message.phase_reason, message.reason) == ("OverLimit", "Over limit")
    assert "project capped may use 2 GPUs at most" in message.user_message


def test_16_get_workload_that_does_not_exist(runai: RunaiClient) -> None:
    with pytest.raises(NotFoundException):
        runai.workloads.workloads.get_workload("00000000-0000-0000-0000-000000000000")


def test_17_paging_over_more_than_a_thousand(runai: RunaiClient, emulator: Emulator) -> None:
    for number in range(1010):
        fields = {
            "name": f"w{number}",
            "kind": "training",
            "created_by": "x",
            "spec": {"image": "i"},
        }
        project = emulator.world.projects[0]
        emulator.world.add(
            fields | {"project_id": project.id, "cluster_id": project.cluster_id}, 1e9 + number
        )
    listing = runai.workloads.workloads.get_workloads
    first = listing().data
    assert (len(first["workloads"]), first["next"]) == (50, 50)
    assert len(listing(limit=501).data["workloads"]) == 500
    seen: list[str] = []
    page: dict[str, Any] = {"next": 0}
    while "next" in page:
        page = listing(limit=500, offset=page["next"], sort_by="createdAt", sort_order="asc").data
        seen += [item["name"] for item in page["workloads"]]
    assert seen == [f"w{number}" for number in range(1010)]
    newest = listing(sort_by="createdAt", sort_order="desc", limit=2).data["workloads"]
    assert [item["name"] for item in newest] == ["w1009", "w1008"]


def test_17_a_strict_server_refuses_501() -> None:
    with serve(replace(SETTINGS, clock=SteppedClock(), strict_limit=True)) as emulator:
        runai = connect(emulator)
        with pytest.raises(BadRequestException):
            runai.workloads.workloads.get_workloads(limit=501)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["name==one"], {"one"}),
        (["name!=one"], {"two", "three"}),
        (["name=@wo"], {"two"}),
        (["name!@o"], {"three"}),
        (["name=^t"], {"two", "three"}),
        (["name=$e"], {"one", "three"}),
        (["name=^t", "name=$o"], {"two"}),
        (["phase==Running"], {"one", "two", "three"}),
        (["phase!=Running"], set()),
        (["createdAt>=2026-01-01T00:00:09Z"], {"two", "three"}),
        (["createdAt<=2026-01-01T00:00:09Z"], {"one"}),
        (["phaseUpdatedAt>=2026-01-01T00:00:19Z"], {"three"}),
        (["projectId==4502"], {"three"}),
        (["allocatedGPU>=2"], {"two"}),
    ],
)
def test_18_filters(filters: list[str], expected: set[str]) -> None:
    with serve(
        replace(SETTINGS, clock=SteppedClock(), scenarios={"": Scenario(run_seconds=None)})
    ) as emulator:
        runai = connect(emulator)
        for name, project, gpus in (
            ("one", "team-a", 1),
            ("two", "team-a", 2),
            ("three", "team-b", 1),
        ):
            runai.workloads.trainings.create_training1(body(emulator, name, project, gpus))
            emulator.advance(10)
        found = runai.workloads.workloads.get_workloads(filter_by=filters).data["workloads"]
        assert {item["name"] for item in found} == expected
        # runapy joins and quotes them: the comma and the caret travel encoded.
        assert "%2C" in emulator.requests[-1].query or len(filters) == 1
        assert "%5E" in emulator.requests[-1].query or "^" not in "".join(filters)


def test_18_unknown_filter_is_refused(runai: RunaiClient) -> None:
    with pytest.raises(BadRequestException, match="unknown field"):
        runai.workloads.workloads.get_workloads(filter_by=["id==7"])


def test_19_deleted_workloads_are_listed_apart(
    runai: RunaiClient, emulator: Emulator, create: Callable[..., str]
) -> None:
    created = create("gone")
    create("stays")
    emulator.advance(100)
    runai.workloads.trainings.delete_training(created)
    emulator.advance(1)
    deleted = runai.workloads.workloads.get_workloads(deleted=True).data["workloads"]
    assert [(item["name"], item["phase"]) for item in deleted] == [("gone", "Completed")]
    assert deleted[0]["deletedAt"]
    assert [i["name"] for i in runai.workloads.workloads.get_workloads().data["workloads"]] == [
        "stays"
    ]


def test_20_count(runai: RunaiClient, create: Callable[..., str]) -> None:
    create("one")
    create("two", project="team-b")
    assert runai.workloads.workloads.count_workloads().data == {"count": 2}
    assert runai.workloads.workloads.count_workloads(filter_by=["name==two"]).data == {"count": 1}


def test_21_suspend_twice(
    runai: RunaiClient, emulator: Emulator, create: Callable[..., str]
) -> None:
    created = create("endless")
    emulator.advance(10)
    assert runai.workloads.trainings.suspend_training(created).status_code == 202
    assert runai.workloads.trainings.get_training(created).data["actualPhase"] == "Stopping"
    emulator.advance(1)
    assert runai.workloads.trainings.suspend_training(created).status_code == 202
    found = runai.workloads.trainings.get_training(created).data
    assert (found["actualPhase"], found["desiredPhase"]) == ("Stopped", "Stopped")
    assert phase_updates(runai, created)[-2:] == ["Stopping", "Stopped"]


def test_22_resume(runai: RunaiClient, emulator: Emulator, create: Callable[..., str]) -> None:
    created = create("endless")
    emulator.advance(10)
    runai.workloads.trainings.suspend_training(created)
    emulator.advance(10)
    assert runai.workloads.trainings.resume_training(created).status_code == 202
    assert runai.workloads.trainings.get_training(created).data["actualPhase"] == "Resuming"
    emulator.advance(10)
    assert phase_updates(runai, created)[-4:] == ["Resuming", "Pending", "Initializing", "Running"]


def test_23_delete_then_delete_again(
    runai: RunaiClient, emulator: Emulator, create: Callable[..., str]
) -> None:
    created = create("endless")
    emulator.advance(10)
    answer = runai.workloads.trainings.delete_training(created)
    assert (answer.status_code, answer.data["code"]) == (202, 202)
    assert runai.workloads.workloads.get_workload(created).data["phase"] == "Deleting"
    emulator.advance(1)
    with pytest.raises(NotFoundException):
        runai.workloads.trainings.delete_training(created)


def test_23_delete_on_an_old_control_plane_has_no_body() -> None:
    with serve(replace(SETTINGS, clock=SteppedClock(), control_plane_version="2.20")) as emulator:
        runai = connect(emulator)
        created = runai.workloads.trainings.create_training1(body(emulator, "old"))
        assert created.status_code == 200
        answer = runai.workloads.trainings.delete_training(created.data["workloadId"])
        assert (answer.status_code, answer.data) == (204, None)


def test_24_events_newest_first_and_paged(
    runai: RunaiClient, emulator: Emulator, create: Callable[..., str]
) -> None:
    created = create("short")
    emulator.advance(100)
    events = runai.workloads.events.get_workload_events
    everything = [models.Event2.from_dict(event) for event in events(created).data["events"]]
    assert [event.reason for event in everything] == ["Completed", "Started", "Scheduled"]
    assert everything == sorted(everything, key=lambda event: event.created_at, reverse=True)
    page = events(created, limit=2).data
    assert page["next"] == 2
    assert [event["reason"] for event in events(created, limit=2, offset=2).data["events"]] == [
        "Scheduled"
    ]


def test_25_history_of_a_forced_preemption(
    runai: RunaiClient, emulator: Emulator, create: Callable[..., str]
) -> None:
    created = create("endless")
    emulator.advance(10)
    assert emulator.preempt("endless")
    emulator.advance(10)
    updates = phase_updates(runai, created)
    assert updates[updates.index("Running") :] == [
        "Running",
        "Terminating",
        "Pending",
        "Initializing",
        "Running",
    ]
    records = runai.workloads.events.get_workload_history(created, limit=500).data["records"]
    parsed = [models.HistoryRecord1.from_dict(record) for record in records]
    messages = [one.spec.phase_update.phase_message for one in parsed if one.spec.phase_update]
    assert any(message.startswith("Preempted:") for message in messages)
    assert any(one.spec.event.reason == "Preempted" for one in parsed if one.spec.event)


def test_26_pods_and_deleted_pods_after_a_preemption(
    runai: RunaiClient, emulator: Emulator, create: Callable[..., str]
) -> None:
    created = create("endless")
    emulator.advance(10)
    before = runai.workloads.pods.get_workload_pods(created).data["pods"]
    emulator.preempt("endless")
    emulator.advance(10)
    after = runai.workloads.pods.list_pods(filter_by=[f"workloadId=={created}"]).data["pods"]
    deleted = runai.workloads.pods.get_workload_pods(created, deleted=True).data["pods"]
    assert [pod["id"] for pod in deleted] == [before[0]["id"]]
    assert models.Pod1.from_dict(after[0]).node_name != models.Pod1.from_dict(deleted[0]).node_name


def test_27_batch_with_mixed_result(
    runai: RunaiClient, create: Callable[..., str], emulator: Emulator
) -> None:
    created = create("endless")
    answer = runai.workloads.workloads_batch.batch_workloads(
        {"ids": [created, "nothing"], "action": "suspend"}
    )
    assert answer.status_code == 200
    result = models.BatchResponse.from_dict(answer.data)
    assert result.succeeded == [created]
    assert [(one.id, one.code) for one in result.failed] == [("nothing", 404)]
    with pytest.raises(BadRequestException):
        runai.workloads.workloads_batch.batch_workloads({"ids": ["x"] * 101, "action": "delete"})


@pytest.mark.parametrize(
    ("master", "pods"),
    [
        ({"masterSpecSameAsWorker": True}, 3),
        ({"masterSpec": {"compute": {"gpuDevicesRequest": 0}}}, 3),
        ({}, 2),
    ],
)
def test_28_distributed(
    runai: RunaiClient, emulator: Emulator, master: dict[str, Any], pods: int
) -> None:
    request = body(emulator, "endless-gang", distributedFramework="PyTorch", numWorkers=2) | master
    api = runai.workloads.distributed
    created = api.create_distributed(request)
    workload_id = created.data["workloadId"]
    assert created.status_code == 202
    emulator.advance(10)
    found = runai.workloads.workloads.get_workload(workload_id).data
    assert (found["phase"], found["runningPods"], found["type"]) == ("Running", pods, "Distributed")
    assert (
        models.DistributedWorkload.from_dict(api.get_distributed(workload_id).data).actual_phase
        == "Running"
    )
    api.suspend_distributed(workload_id)
    emulator.advance(1)
    assert api.get_distributed(workload_id).data["actualPhase"] == "Stopped"
    api.resume_distributed(workload_id)
    emulator.advance(10)
    assert api.get_distributed(workload_id).data["actualPhase"] == "Running"
    assert api.delete_distributed(workload_id).status_code == 202


@pytest.mark.parametrize(
    ("kinds", "status"), [("GPU_ALLOCATION,POD_COUNT", 200), ("GPU_ALLOCATION,CPU_UTIL", 207)]
)
def test_29_metrics(
    runai: RunaiClient, emulator: Emulator, create: Callable[..., str], kinds: str, status: int
) -> None:
    created = create("endless")
    emulator.advance(10)
    # The client cannot send a list of types; a string passes its serializer.
    answer = runai.workloads.workloads.get_workload_metrics(
        created, start="2026-01-01T00:00:00Z", end="2026-01-01T01:00:00Z", metric_type=kinds
    )
    assert answer.status_code == status
    assert answer.data["measurements"][0]["values"][0]["value"] == "1"


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (401, "UnauthorizedException"),
        (403, "ForbiddenException"),
        (429, "ApiException"),
        (503, "ServiceException"),
    ],
)
def test_30_errors_without_retries(
    runai: RunaiClient, emulator: Emulator, status: int, raised: str
) -> None:
    emulator.faults.add("status", path="/api/v1/workloads", status=status)
    with pytest.raises(Exception, match="planned fault") as seen:
        runai.workloads.workloads.get_workloads()
    assert (type(seen.value).__name__, getattr(seen.value, "status", None)) == (raised, status)
    assert isinstance(ServiceException(), Exception)
    assert issubclass(ForbiddenException, Exception)


def test_30_retries_lose_the_answer_and_repeat_a_create(emulator: Emulator) -> None:
    """Why the provider does not use this client: a lost answer makes it create again, blindly."""
    runai = connect(emulator, retry_enabled=True, retry_backoff_factor=0.01)
    emulator.faults.add(
        "status", path="/api/v1/workloads/trainings", method="POST", status=503, times=None
    )
    with pytest.raises(urllib3.exceptions.MaxRetryError):
        runai.workloads.trainings.create_training1(body(emulator, "again"))
    assert (
        sum(seen.method == "POST" and seen.path.endswith("trainings") for seen in emulator.requests)
        == 4
    )


def test_31_every_item_in_every_phase_passes_the_strict_model(
    runai: RunaiClient, emulator: Emulator, create: Callable[..., str]
) -> None:
    ids = [create(f"endless-{number}", gpus=gpus) for number, gpus in enumerate((1, 1, 2, 2, 0))]
    ids.append(
        create(
            "short",
            environmentVariables=[{"name": "A", "value": "1"}],
            command="python",
            args="-m x",
        )
    )
    ids.append(create("firm", gpus=9 - 1, preemptibility="non-preemptible"))
    phases = set()
    for second in range(0, 200, 10):
        if second == 50:
            runai.workloads.trainings.suspend_training(ids[0])
        if second == 90:
            runai.workloads.trainings.delete_training(ids[1])
        for item in runai.workloads.workloads.get_workloads().data["workloads"]:
            assert models.Workload.from_dict(item).id == item["id"]
            phases.add(item["phase"])
        emulator.advance(10)
    assert {
        "Creating",
        "Running",
        "Stopping",
        "Stopped",
        "Deleting",
        "Completed",
        "Pending",
    } <= phases


def test_31_an_old_server_and_a_newer_one_break_the_strict_model(
    emulator: Emulator, runai: RunaiClient
) -> None:
    runai.workloads.trainings.create_training1(body(emulator, "endless"))
    emulator.advance(10)
    emulator.preempt("endless")
    emulator.faults.add("future", times=1)
    newer = runai.workloads.workloads.get_workloads().data["workloads"][0]
    assert newer["phase"] == "Quiescing"
    emulator.faults.add("missing_fields", missing=["category"])
    older = runai.workloads.workloads.get_workloads().data["workloads"][0]
    for item in (newer, older):
        with pytest.raises(ValueError, match="validation error"):
            models.Workload.from_dict(item)
