"""
The rules of KAI's stand-in that no recording shows, on pictures of a cluster: no API, no clock.
"""

from __future__ import annotations

import pytest

from tests.rig.kai import reading
from tests.rig.kai.actions import Action, Bind, Evict, Explain, MarkStale, Pipeline, Remark
from tests.rig.kai.cycle import lacks_members
from tests.rig.kai_world import World, pod

STALE = "kai.scheduler/stale-podgroup-timestamp"


@pytest.fixture
def world() -> World:
    return World()


def _bound(actions: list[Action]) -> dict[str, str]:
    return {
        pod.name: node
        for action in actions
        if isinstance(action, Bind)
        for pod, node in action.places
    }


def _text(actions: list[Action]) -> str:
    (explain,) = (action for action in actions if isinstance(action, Explain))
    return explain.reason.message


def test_a_gang_starts_as_a_whole(world: World) -> None:
    world.group("gang", "", "", minimum=2)
    assert _bound(world.decide()) == {"gang-0": "node-0", "gang-1": "node-0"}


def test_a_gang_waits_for_the_members_that_do_not_exist_yet(world: World) -> None:
    world.group("gang", "", minimum=2)
    (remark,) = world.decide()
    text = "Job is not ready for scheduling. Waiting for 2 pods, currently 1 exist, 0 are gated"
    assert isinstance(remark, Remark)
    assert (remark.reason, remark.message) == ("NotReady", text)


def test_a_member_that_was_made_again_starts_beside_those_that_run(world: World) -> None:
    world.group("gang", "node-0", "", minimum=2)
    assert _bound(world.decide()) == {"gang-1": "node-0"}


def test_a_member_that_was_made_again_waits_for_ever_if_another_has_succeeded(world: World) -> None:
    """The deadlock of kai-jobset-facts §3, B."""
    world.group("gang", "", minimum=2)
    world.pods.append(pod("gang-done", "gang", "team-a", "node-0", 1, phase="Succeeded"))
    assert [type(action) for action in world.decide()] == [Remark]


def test_a_whole_gang_is_evicted_for_one_gpu(world: World) -> None:
    world.group("gang", "node-0", "node-0", queue="team-b", minimum=2)
    world.group("rival", "")
    (evict,) = (action for action in world.decide() if isinstance(action, Evict))
    assert [pod.name for pod in evict.pods] == ["gang-0", "gang-1"]
    assert (evict.by, evict.count) == ("reclaim", 2)


def test_who_evicts_is_kept_for_the_room_that_is_being_made(world: World) -> None:
    world.group("victim", "node-0", queue="team-b", gpus=2)
    world.group("rival", "")
    pipelined = [action for action in world.decide() if isinstance(action, Pipeline)]
    assert [(action.pod.name, action.node) for action in pipelined] == [("rival-0", "node-0")]
    world.pods[0]["metadata"]["deletionTimestamp"] = "2026-11-26T15:00:00Z"
    (still,) = world.decide()
    assert isinstance(still, Pipeline)


@pytest.mark.parametrize(
    ("queue", "text"),
    [
        ("nosuch", "QueueDoesNotExist: Queue 'nosuch' does not exist."),
        ("orphan", "QueueDoesNotExist: Queue 'orphan' does not exist."),
        ("parent", "Unable to schedule podgroup"),
        (
            "limited",
            "OverLimit: limited quota has reached the allowable limit of GPUs. Limit is 0 GPUs, currently 0 GPUs "
            "allocated and workload requested 1 GPUs.",
        ),
        (
            "below",
            "OverLimit: small quota has reached the allowable limit of GPUs. Limit is 0 GPUs, currently 0 GPUs "
            "allocated and workload requested 1 GPUs.",
        ),
    ],
)
def test_a_queue_that_can_give_nothing_says_so(world: World, queue: str, text: str) -> None:
    world.queue("orphan", parent="gone")
    world.queue("limited", limit=0)
    world.queue("small", limit=0)
    world.queue("below", parent="small")
    world.group("train", "", queue=queue)
    assert _text(world.decide()) == text


def test_a_limit_further_up_does_not_keep_a_queue_from_reclaiming(world: World) -> None:
    world.queue("parent", quota=2, limit=2, parent="")
    world.group("victim", "node-0", queue="team-b", gpus=2)
    world.group("rival", "")
    assert [action.by for action in world.decide() if isinstance(action, Evict)] == ["reclaim"]


def test_a_pod_that_no_node_could_ever_hold_is_told_the_largest(world: World) -> None:
    world.group("train", "", gpus=3)
    (explain,) = world.decide()
    assert isinstance(explain, Explain)
    ((_, text),) = explain.pods
    assert text == (
        "Scheduling conditions were not met for pod team-a/train-0:\n"
        "MaxNodePoolResources: The pod team-a/train-0 requires GPU: 3, CPU: 0.1 (cores), memory: 0.067 (GB), pods: 1. "
        "Max GPU resources available in a single node in the default node-pool is topped at 2.\n"
    )


def test_a_claim_that_does_not_exist_is_named(world: World) -> None:
    world.group(
        "train", "", volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "nosuch"}}]
    )
    (explain,) = world.decide()
    assert isinstance(explain, Explain)
    ((_, text),) = explain.pods
    assert text == (
        "Scheduling conditions were not met for pod team-a/train-0:\n"
        'VolumeBinding: persistentvolumeclaim "nosuch" not found.\n'
    )
    world.claims.append({"metadata": {"namespace": "team-a", "name": "nosuch"}})
    assert _bound(world.decide()) == {"train-0": "node-0"}


def test_a_node_selector_is_obeyed_and_explained(world: World) -> None:
    world.node("node-1", gpus=2)
    world.group("there", "", nodeSelector={"kubernetes.io/hostname": "node-1"})
    world.group("nowhere", "", nodeSelector={"kubernetes.io/hostname": "node-9"})
    actions = world.decide()
    assert _bound(actions) == {"there-0": "node-1"}
    assert "2 node(s) didn't match Pod's node affinity/selector." in _text(actions)


def test_who_may_run_on_one_node_only_takes_nothing_on_others(world: World) -> None:
    world.node("node-1", gpus=2)
    world.group("other", "node-1", queue="team-b", gpus=2)
    world.group("mine", "node-0", queue="team-b", gpus=2)
    world.group("rival", "", nodeSelector={"kubernetes.io/hostname": "node-0"})
    assert [action.group.name for action in world.decide() if isinstance(action, Evict)] == ["mine"]


def test_a_taint_keeps_away_who_does_not_tolerate_it(world: World) -> None:
    world.nodes.clear()
    world.node("node-0", gpus=2, taints=({"key": "broken", "effect": "NoSchedule"},))
    world.group("shy", "")
    world.group("bold", "", tolerations=[{"key": "broken", "operator": "Exists"}])
    actions = world.decide()
    assert _bound(actions) == {"bold-0": "node-0"}
    assert "had untolerated taint {broken: }" in _text(actions)


def test_without_cpu_a_free_gpu_is_of_no_use(world: World) -> None:
    world.group("train", "", cpu="65")
    assert "1 node(s) didn't have enough resources: CPU cores.." in _text(world.decide())


def test_gpus_that_pods_of_another_scheduler_hold_are_not_free(world: World) -> None:
    stranger = pod("stranger", "", "default", "node-0", gpus=2)
    del stranger["spec"]["schedulerName"]
    world.pods.append(stranger)
    world.group("train", "")
    assert "didn't have enough resources: GPUs" in _text(world.decide())


def test_who_still_ends_after_its_group_is_gone_is_waited_for(world: World) -> None:
    """A Job deleted in the background takes its group with it at once, its pods after their grace only."""
    world.pods.append(pod("old", "gone", "team-a", "-node-0", gpus=1))
    world.group("borrower", "node-0", queue="team-b")
    world.group("next", "", queue="team-a")
    (pipelined,) = world.decide()
    assert isinstance(pipelined, Pipeline)
    assert pipelined.pod.name == "next-0"


def test_a_pod_that_wants_part_of_a_gpu_waits_without_a_word(world: World) -> None:
    world.group("notebook", "", gpus=0.5)
    assert world.decide() == []


def test_a_node_that_is_not_ready_holds_nobody(world: World) -> None:
    world.nodes.clear()
    world.node("node-0", gpus=2, ready=False)
    world.group("train", "")
    assert _bound(world.decide()) == {}


def test_numbers_that_are_none_count_as_not_written(world: World) -> None:
    """The API server of the rig does not check these kinds."""
    world.group("train", "", "")
    world.groups[0]["spec"]["minMember"] = "two"
    world.queues[1]["spec"]["resources"]["gpu"] = {
        "quota": "all",
        "limit": float("nan"),
        "overQuotaWeight": None,
    }
    (group,), queue = world.picture.groups, world.picture.queues["team-a"]
    assert (group.minimum, queue.quota["gpu"], queue.limit, queue.weight) == (1, 0, None, 1)


def test_a_gang_that_lost_a_member_is_noted_then_told_then_ended(world: World) -> None:
    world.group("gang", "node-0", minimum=2)
    assert lacks_members(world.picture.groups[0])
    assert world.decide() == []
    (noted,) = world.decide(short=("team-a/gang",))
    assert isinstance(noted, MarkStale)
    world.groups[0]["metadata"]["annotations"] = {STALE: "2026-11-26T14:00:00Z"}
    since = reading.seconds("2026-11-26T14:00:00Z")
    (told,) = world.decide(since + 4, short=("team-a/gang",))
    assert isinstance(told, Remark)
    assert (told.reason, told.message) == (
        "StaleJob",
        "Job is stale. 1 pods are active, minMember is 2",
    )
    _, ended = world.decide(since + 5, short=("team-a/gang",))
    assert isinstance(ended, Evict)
    assert (ended.by, ended.cause, ended.count) == ("stalegangeviction", None, 1)
    assert ended.messages == {
        "gang-0": "Workload doesn't meet the minimum required number of pods (2), evicting remaining pod: team-a/gang-0"
    }


def test_a_member_that_succeeded_excuses_those_that_are_missing(world: World) -> None:
    world.group("gang", "node-0", minimum=2)
    world.pods.append(pod("gang-done", "gang", "team-a", "node-0", 1, phase="Succeeded"))
    assert world.decide(short=("team-a/gang",)) == []


def test_who_is_leaving_counts_for_the_gang_but_is_not_evicted_again(world: World) -> None:
    world.group("gang", "-node-0", minimum=2, annotations={STALE: "2026-11-26T14:00:00Z"})
    actions = world.decide(now=4e9, short=("team-a/gang",))
    assert [type(action) for action in actions] == [Remark]
