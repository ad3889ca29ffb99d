"""What a project may and can have on a cluster: from queues, pods and nodes, as far as rights go."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.backends.kubernetes.capacity.capacity import KubernetesCapacity
from airflow_runai.core.quota import Quota
from airflow_runai.core.room import IDLE, NODES, PROJECT, QUOTA, WORKLOADS, Need
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.errors import Forbidden, NotResolved, Unauthorized
from tests.backends.kubernetes.staged import TEAM, Client, cluster_of
from tests.model import resources as kinds
from tests.model.conftest import JOB_PATH, Stage, job
from tests.model.kubelet import Life
from tests.model.resources import CLUSTER_QUEUES, JOBS, LOCAL_QUEUES, PODS, QUEUES, Object

FOREVER = Life(run=1e6)
GPU = "nvidia.com/gpu"


def capacity(dialect: str | None = None) -> KubernetesCapacity:
    return KubernetesCapacity(cluster_of(dialect))


def spec(gpus: float = 1, **more: Any) -> WorkloadSpec:
    compute = {"gpu_portion": gpus} if gpus < 1 else {"gpu_devices": int(gpus)}
    return WorkloadSpec.from_mapping({"image": "a", "compute": compute, **more})


def prospects(stage: Stage, asked: WorkloadSpec, dialect: str | None = None) -> list[str]:
    found = Client(stage).ask(capacity(dialect).prospects(TEAM, asked))
    return [reason.sentence for reason in found]


def edit(stage: Stage, name: str, **parts: Any) -> None:
    queue = stage.cluster.store.get(QUEUES, "", name)
    stage.cluster.store.change(QUEUES, queue, lambda one: one.update(parts))


def amounts(gpu: Object, cpu: Object | None = None) -> Object:
    free = {"quota": -1, "limit": -1}
    return {"gpu": gpu, "cpu": free if cpu is None else cpu, "memory": free}


def with_kueue(stage: Stage, nominal: str = "2", cohort: str = "", **quota: str) -> Stage:
    amount = {"name": GPU, "nominalQuota": nominal, **quota}
    flavors = [{"name": "default", "resources": [{"name": "cpu", "nominalQuota": "32"}, amount]}]
    spec: Object = {"resourceGroups": [{"coveredResources": ["cpu", GPU], "flavors": flavors}]}
    spec |= {"cohort": cohort} if cohort else {}
    store = stage.cluster.store
    store.create(CLUSTER_QUEUES, {"metadata": {"name": "all"}, "spec": spec})
    door = {"metadata": {"name": "team-b", "namespace": "team-b"}, "spec": {"clusterQueue": "all"}}
    store.create(LOCAL_QUEUES, door)
    return stage


def reserve(stage: Stage, total: str) -> None:
    queue = stage.cluster.store.get(CLUSTER_QUEUES, "", "all")
    usage = [
        {
            "name": "default",
            "resources": [{"name": "cpu", "total": "1"}, {"name": GPU, "total": total}],
        }
    ]
    stage.cluster.store.change(
        CLUSTER_QUEUES, queue, lambda one: one.update(status={"flavorsReservation": usage})
    )


def test_the_one_cluster_tells_its_version(stage: Stage) -> None:
    (found,) = Client(stage).ask(capacity().clusters())
    assert (found.id, found.name, found.version, found.state) == (
        "model",
        "model",
        "v1.34.4",
        "Connected",
    )
    stage.cluster.server.tokens_are_bad = True
    with pytest.raises(Unauthorized):
        Client(stage).ask(capacity().clusters())


def test_nothing_but_the_training_itself_bounds_its_time(stage: Stage) -> None:
    client = Client(stage)
    assert client.ask(capacity().limits(TEAM)).time_limits == {}
    assert client.ask(capacity().policy(TEAM, "trainings")) == {}


@pytest.mark.parametrize(
    ("gpu", "above", "quota"),
    [
        ({"quota": 1, "limit": 4}, {"limit": -1}, Quota(1.0, 4.0)),
        ({"quota": 1.5, "limit": -1}, {"limit": 2}, Quota(1.5, 2.0)),
        ({"quota": -1, "limit": -1}, {"limit": -1}, Quota(None, None)),
        ({}, {"limit": -1}, Quota(0.0, 0.0)),
        ({"quota": "many", "limit": None}, {"limit": -1}, Quota(0.0, 0.0)),
    ],
    ids=str,
)
def test_a_queue_of_kai_is_bounded_by_those_above_it(
    stage: Stage, gpu: Object, above: Object, quota: Quota
) -> None:
    edit(stage, "team-b", spec={"parentQueue": "pool", "resources": amounts(gpu)})
    edit(stage, "pool", spec={"resources": amounts({"quota": 2, **above})})
    assert Client(stage).ask(capacity().limits(TEAM)).quota == quota


@pytest.mark.parametrize(
    ("given", "quota"),
    [
        ({}, Quota(2.0, 2.0)),
        ({"cohort": "pool"}, Quota(2.0, None)),
        ({"cohort": "pool", "borrowingLimit": "3"}, Quota(2.0, 5.0)),
        ({"nominal": "0", "cohort": "pool", "borrowingLimit": "0"}, Quota(0.0, 0.0)),
    ],
    ids=str,
)
def test_a_cluster_queue_of_kueue_may_borrow_in_its_cohort(
    stage: Stage, given: dict[str, str], quota: Quota
) -> None:
    with_kueue(stage, **given)
    assert Client(stage).ask(capacity("kueue").limits(TEAM)).quota == quota


def test_a_queue_that_does_not_exist_is_named(stage: Stage) -> None:
    client = Client(stage)
    edit(stage, "team-b", spec={"parentQueue": "nosuch", "resources": amounts({})})
    with pytest.raises(NotResolved, match="Queue 'nosuch' doesn't exist"):
        client.ask(capacity().limits(TEAM))
    with pytest.raises(NotResolved, match="LocalQueue 'team-b' doesn't exist"):
        client.ask(capacity("kueue").limits(TEAM))


def test_room_is_what_pods_and_jobs_leave(stage: Stage) -> None:
    stage.submit("runs", FOREVER)
    stage.submit("waits", FOREVER, gpus=2)
    stage.submit("theirs", FOREVER, team="team-a")
    stage.submit("paused", FOREVER, gpus=2, suspend=True)
    stage.clock.advance(5.0)
    found = Client(stage).ask(capacity().room(TEAM))
    assert found.quota == Quota(1.0, None)
    assert (found.held, found.queued) == (1.0, 2.0)
    assert (found.free, found.total) == (0.0, 2.0)
    assert found.workloads == {"runs", "waits", "paused"}
    assert found.unread == ()


def test_the_queue_itself_knows_best_what_it_holds(stage: Stage) -> None:
    stage.submit("runs", FOREVER)
    stage.clock.advance(5.0)
    client = Client(stage)
    assert client.ask(capacity().gpus_in_use(TEAM)) == 1.0
    edit(stage, "team-b", status={"allocated": {GPU: "500m"}})
    edit(stage, "pool", status={"allocated": {GPU: "500m"}})
    assert client.ask(capacity().gpus_in_use(TEAM)) == 0.5
    found = client.ask(capacity().room(TEAM))
    assert (found.held, found.free) == (0.5, 1.5)
    assert client.ask(capacity().gpus_of_nodes("model")) == (2.0, 1.5)
    edit(stage, "team-b", status={"requested": {GPU: "2"}})
    assert client.ask(capacity().gpus_in_use(TEAM)) == 0.0


def test_parts_of_gpus_count_as_parts(stage: Stage) -> None:
    for number, part in enumerate(("0.25", "0.5")):
        half = job(f"half-{number}", "team-b", 0)
        half["spec"]["template"]["metadata"] |= {"annotations": {"gpu-fraction": part}}
        half["spec"]["template"]["spec"]["containers"][0]["resources"] = {}
        stage.lives[f"half-{number}"] = [FOREVER]
        stage.ask("POST", JOB_PATH.format("team-b"), half)
    stage.clock.advance(1.0)
    for pod in (*stage.pods("half-0"), *stage.pods("half-1")):
        # The model's scheduler has nobody who shares GPUs, as a cluster without reservations.
        stage.cluster.store.change(PODS, pod, lambda one: one["spec"].update(nodeName="node-0"))
    # One by which KAI keeps a GPU for those two.
    container = {"name": "main", "resources": {"limits": {GPU: "1"}}}
    labels = {"batch.kubernetes.io/job-name": "reservation"}
    name = {"name": "gpu-reservation-node-0-x", "namespace": "kai-resource-reservation"}
    spec = {"nodeName": "node-0", "containers": [container]}
    stage.cluster.store.create(PODS, {"metadata": {**name, "labels": labels}, "spec": spec})
    stage.clock.advance(5.0)
    found = Client(stage).ask(capacity().room(TEAM))
    assert (found.held, found.free) == (0.75, 1.25)


def test_a_node_that_is_closed_or_lost_has_nothing_free(stage: Stage) -> None:
    stage.cluster.add_node("closed", 4)
    node = stage.cluster.store.get(kinds.NODES, "", "closed")
    stage.cluster.store.change(
        kinds.NODES, node, lambda one: one["spec"].update(unschedulable=True)
    )
    stage.cluster.add_node("lost", 8)
    stage.cluster.lose_node("lost")
    assert Client(stage).ask(capacity().gpus_of_nodes("model")) == (14.0, 2.0)


def test_a_node_pool_has_its_own_room(stage: Stage) -> None:
    stage.cluster.add_node("node-1", 4)
    node = stage.cluster.store.get(kinds.NODES, "", "node-1")
    label = {"kai.scheduler/node-pool": "h100"}
    stage.cluster.store.change(
        kinds.NODES, node, lambda one: one["metadata"]["labels"].update(label)
    )
    client = Client(stage)
    found = client.ask(capacity().room(TEAM, "h100"))
    assert (found.held, found.free, found.total) == (0.0, 4.0, 4.0)
    with pytest.raises(
        NotResolved, match="'a100': the cluster has no such node pool; it has: h100"
    ):
        client.ask(capacity().room(TEAM, "a100"))
    with pytest.raises(NotResolved, match="dialect plain have no node pools"):
        client.ask(capacity("plain").room(TEAM, "a100"))


def test_what_has_just_ended_is_named_for_those_who_wait(stage: Stage) -> None:
    stage.submit("early", Life(run=1.0))
    stage.clock.advance(100.0)
    stage.submit("late", Life(run=1.0))
    stage.clock.advance(10.0)
    found = Client(stage).ask(capacity().room(TEAM, ended_within=30.0))
    assert found.ended == {"late"}
    assert found.workloads == frozenset()
    assert Client(stage).ask(capacity().room(TEAM)).ended == frozenset()


def test_kueue_tells_what_it_has_given_away(stage: Stage) -> None:
    with_kueue(stage)
    client = Client(stage)
    queue = {"kueue.x-k8s.io/queue-name": "team-b"}
    made = stage.submit("waits", FOREVER, gpus=2, suspend=True)
    stage.cluster.store.change(JOBS, made, lambda one: one["metadata"]["labels"].update(queue))
    assert client.ask(capacity("kueue").room(TEAM)).held == 0.0
    reserve(stage, "1")
    found = client.ask(capacity("kueue").room(TEAM))
    assert found.quota == Quota(2.0, 2.0)
    # What Kueue keeps suspended waits for its turn.
    assert (found.held, found.queued, found.free, found.total) == (1.0, 2.0, 1.0, 2.0)
    assert found.workloads == {"waits"}
    assert not Need(QUOTA, 1).fits(found)


def test_where_there_are_no_queues_only_nodes_are_known(stage: Stage) -> None:
    found = Client(stage).ask(capacity("plain").room(TEAM))
    assert found.missing(QUOTA) == (PROJECT,)
    assert found.missing(IDLE) == ()
    assert (found.free, found.total) == (2.0, 2.0)


@pytest.mark.parametrize(
    ("forbidden", "missing"),
    [
        ("queues", {PROJECT}),
        ("jobs", {WORKLOADS}),
        ("pods", {WORKLOADS, NODES}),
        ("nodes", {NODES}),
    ],
)
def test_what_is_forbidden_is_not_known(stage: Stage, forbidden: str, missing: set[str]) -> None:
    stage.cluster.server.forbidden.add(("*", forbidden))
    found = Client(stage).ask(capacity().room(TEAM))
    assert set(found.unread) == missing


def test_a_quota_that_may_not_be_read_leaves_the_pods_to_be_counted(stage: Stage) -> None:
    stage.submit("runs", FOREVER)
    stage.clock.advance(5.0)
    stage.cluster.server.forbidden.add(("*", "queues"))
    client = Client(stage)
    assert client.ask(capacity().gpus_in_use(TEAM)) == 1.0
    with pytest.raises(Forbidden):
        client.ask(capacity().limits(TEAM))


def test_what_can_never_start_is_said_before_it_waits(stage: Stage) -> None:
    (never,) = prospects(stage, spec(3))
    assert "asks for 3 GPUs; the cluster has 2" in never
    stage.cluster.add_node("node-1", 2)
    (never,) = prospects(stage, spec(3))
    assert "each pod asks for 3 GPUs; the largest node has 2" in never
    (never,) = prospects(stage, spec(2, parallelism=3, completions=3))
    assert "asks for 6 GPUs; the cluster has 4" in never
    edit(stage, "pool", spec={"resources": amounts({"quota": 2, "limit": 1})})
    (never,) = prospects(stage, spec(2))
    assert "asks for 2 GPUs; the project's limit is 1" in never
    assert prospects(stage, spec(1)) == []


def test_a_queue_without_cpu_lets_nothing_through(stage: Stage) -> None:
    edit(stage, "pool", spec={"resources": amounts({"quota": 2, "limit": -1}, cpu={"quota": 1})})
    (never,) = prospects(stage, spec(1))
    assert never == (
        "it can never start: queue pool allows no CPU; "
        "have `resources.cpu.limit` of that queue set, to -1 for no limit"
    )


def test_a_queue_that_is_gone_lets_nothing_through(stage: Stage) -> None:
    stage.cluster.store.remove(QUEUES, stage.cluster.store.get(QUEUES, "", "team-b"))
    (never,) = prospects(stage, spec(1))
    assert never.startswith("its queue does not exist: project: Queue 'team-b' doesn't exist; ")


def test_a_cluster_queue_that_has_no_gpus_lets_none_through(stage: Stage) -> None:
    with_kueue(stage, nominal="0")
    (never,) = prospects(stage, spec(2), "kueue")
    assert "asks for 2 GPUs; the project's limit is 0" in never


@pytest.mark.parametrize(("forbidden", "known"), [("queues", 1), ("nodes", 0)])
def test_prospects_that_cannot_be_read_say_nothing(
    stage: Stage, forbidden: str, known: int
) -> None:
    stage.cluster.server.forbidden.add(("*", forbidden))
    assert len(prospects(stage, spec(3))) == known
    stage.cluster.server.tokens_are_bad = True
    assert prospects(stage, spec(3)) == []
