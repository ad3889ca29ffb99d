"""What KAI's stand-in makes of objects that the real KAI had before it, beside what the real one made of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import recordings
from tests.recording_forms import Line, Recording
from tests.rig.kai.actions import Evict, Explain
from tests.rig.kai.correlator import Correlator, Happening
from tests.rig.kai.cycle import decide
from tests.rig.kai.grouping import group_for
from tests.rig.kai.reading import take

Object = dict[str, Any]
PRIORITIES = {"train": 50, "build-preemptible": 75, "build": 100, "inference": 125}
#: In the two others the client has no right to see pods and groups, or looks again when all is
#: over.
WITH_GROUPS = [
    name
    for name in recordings.names()
    if name.startswith("kai") and not name.startswith(("kai/25", "kai/26"))
]


ROOM = {"cpu": "64", "memory": "256Gi", "nvidia.com/gpu": "2"}
READY = {"type": "Ready", "status": "True"}
NODE: Object = {
    "metadata": {"name": "node-0"},
    "spec": {},
    "status": {"allocatable": ROOM, "conditions": [READY]},
}


def _queue(name: str, quota: int, parent: str | None) -> Object:
    unlimited = {"quota": -1, "limit": -1, "overQuotaWeight": 1}
    resources = {"gpu": unlimited | {"quota": quota}, "cpu": unlimited, "memory": unlimited}
    metadata = {"name": name, "creationTimestamp": "2026-11-26T13:17:24Z"}
    return {"metadata": metadata, "spec": {"parentQueue": parent, "resources": resources}}


QUEUES = [_queue("parent", -1, None), _queue("team-a", 1, "parent"), _queue("team-b", 1, "parent")]
CLASSES = [{"metadata": {"name": name}, "value": value} for name, value in PRIORITIES.items()]


@pytest.mark.parametrize("name", WITH_GROUPS)
def test_every_pod_group_looks_as_the_real_one_made_it(name: str) -> None:
    seen = list(_seen(recordings.named(name)))
    owners = {thing["metadata"]["uid"] for thing in seen if thing["kind"] in ("Job", "JobSet")}
    groups = _first_states(seen, "PodGroup")
    ours = [group for group in groups if group["metadata"]["ownerReferences"][0]["uid"] in owners]
    assert ours
    for real in ours:
        pod = next(one for one in seen if one["kind"] == "Pod" and _is_of(one, real))
        made = group_for(pod, _owner_before(seen, real), PRIORITIES)
        # It may run when first seen.
        real["metadata"]["annotations"].pop("kai.scheduler/last-start-timestamp", None)
        assert made["spec"] == real["spec"]
        assert {key: real["metadata"][key] for key in made["metadata"]} == made["metadata"]


@pytest.mark.parametrize(
    ("name", "words", "free"),
    [
        ("kai/16-unknown-queue-then-fixed", "'team-nlp' does not exist", 2),
        ("kai/17-non-preemptible-over-quota", "NonPreemptibleOverQuota", 2),
        ("kai/30-queued-long-then-reclaimed", "Resources were not found", 0),
        ("kai-jobset/gang-waits-then-runs", "Resources were found for 1 pods", 1),
        ("kai-jobset/gang-reclaimed-and-resumed", "Resources were found for 1 pods", 1),
    ],
)
def test_why_a_group_waits_is_told_as_the_real_one_told_it(
    name: str, words: str, free: int
) -> None:
    """``free`` GPUs are left on the only node."""
    seen = list(_seen(recordings.named(name)))
    groups = (thing for thing in seen if thing["kind"] == "PodGroup")
    group = next(one for one in groups if words in _condition(one).get("message", ""))
    pods = [
        pod for pod in seen if pod["kind"] == "Pod" and _is_of(pod, group) and _why_unbound(pod)
    ]
    waiting = list({pod["metadata"]["uid"]: pod for pod in pods}.values())
    picture = take([NODE], QUEUES, [group], [*waiting, _stranger(gpus=2 - free)], CLASSES)
    (explain,) = decide(picture, now=0, grace=5)
    assert isinstance(explain, Explain)
    (reason,) = _condition(group)["reasons"]
    assert explain.reason.message == _condition(group)["message"]
    assert explain.reason.text == reason["message"]
    assert dict(explain.reason.details) == reason.get("details", {})
    # Which member of a gang gets which of the two texts is chance.
    assert sorted(text for _, text in explain.pods) == sorted(_why_unbound(pod) for pod in waiting)


@pytest.mark.parametrize(
    ("name", "priority"),
    [
        ("kai/08-reclaim-and-resume", "train"),
        ("kai/10-priority-preempt", "build-preemptible"),
        ("kai-jobset/gang-reclaimed-and-resumed", "train"),
    ],
)
def test_a_victim_is_told_why_as_the_real_one_told_it(name: str, priority: str) -> None:
    """The rival is another team's; this client saw its name only."""
    recording = recordings.named(name)
    seen = list(_seen(recording))
    told = [event for _, event in _told(recording, "kai-scheduler") if event["reason"] == "Evict"]
    annotations = told[0]["metadata"]["annotations"]
    group = next(
        thing for thing in seen if thing["metadata"].get("uid") == told[0]["involvedObject"]["uid"]
    )
    pods = [
        pod
        for pod in seen
        if pod["kind"] == "Pod" and any(pod["metadata"]["name"] in one["message"] for one in told)
    ]
    running = {
        pod["metadata"]["uid"]: pod for pod in pods if "deletionTimestamp" not in pod["metadata"]
    }
    rival = _rival(
        annotations["evictor-pod-group-name"], annotations["evictor-pod-group-namespace"], priority
    )
    picture = take(
        [NODE], QUEUES, [group, rival], [*running.values(), _only_pod_of(rival, pods[0])], CLASSES
    )
    (evict,) = (action for action in decide(picture, now=0, grace=5) if isinstance(action, Evict))
    assert sorted(evict.messages.values()) == sorted(event["message"] for event in told)
    assert (evict.by, str(evict.count)) == (
        annotations["evictor-action-type"],
        annotations["num-evicted-pods"],
    )
    assert evict.cause is not None
    assert evict.cause.name == annotations["evictor-pod-group-name"]


@pytest.mark.parametrize("name", WITH_GROUPS)
def test_events_are_counted_as_the_real_one_counted_them(name: str) -> None:
    correlators = {
        component: Correlator() for component in ("kai-scheduler", "binder", "pod-grouper")
    }
    told = list(_told(recordings.named(name), *correlators))
    assert told
    for moment, event in told:
        admitted = correlators[event["source"]["component"]].admit(_happening(event), moment)
        assert admitted is not None
        assert admitted.count == event["count"]


def test_the_eviction_of_a_training_that_queued_for_long_is_not_told() -> None:
    """The real scheduler was seen to evict this pod: what it had told before had used up what it may tell."""
    correlator = Correlator()
    for moment, event in _told(
        recordings.named("kai/30-queued-long-then-reclaimed"), "kai-scheduler"
    ):
        correlator.admit(_happening(event), moment)
        if event["reason"] == "Unschedulable" and event["involvedObject"]["kind"] == "PodGroup":
            group = _on(event["involvedObject"])
    assert (
        correlator.admit(
            Happening.of(group, "Normal", "Evict", "Pod team-b/p was preempted"), now=15.9
        )
        is None
    )
    another = (*group[:3], "another")
    assert correlator.admit(
        Happening.of(another, "Normal", "Evict", "Pod team-b/q was preempted"), now=15.9
    )


def _watched(recording: Recording) -> Iterator[tuple[float, Object]]:
    for entry in recording.entries:
        if (
            isinstance(entry, Line)
            and not isinstance(entry.line, str)
            and entry.line.type in ("ADDED", "MODIFIED")
        ):
            yield entry.t, entry.line.object


def _seen(recording: Recording) -> Iterator[Object]:
    return (thing for _, thing in _watched(recording))


def _told(recording: Recording, *components: str) -> Iterator[tuple[float, Object]]:
    for moment, thing in _watched(recording):
        if thing["kind"] == "Event" and thing["source"].get("component") in components:
            yield moment, thing


def _first_states(seen: list[Object], kind: str) -> list[Object]:
    found: dict[str, Object] = {}
    for thing in seen:
        if thing["kind"] == kind:
            found.setdefault(thing["metadata"]["uid"], thing)
    return list(found.values())


def _owner_before(seen: list[Object], group: Object) -> Object:
    """Give the owner as it was when the group was made."""
    uid, made = (
        group["metadata"]["ownerReferences"][0]["uid"],
        int(group["metadata"]["resourceVersion"]),
    )
    states = [thing["metadata"] for thing in seen if thing["metadata"]["uid"] == uid]
    versions = [
        int(state["resourceVersion"]) for state in states if int(state["resourceVersion"]) < made
    ]
    return next(
        thing for thing in seen if thing["metadata"]["resourceVersion"] == str(max(versions))
    )


def _is_of(pod: Object, group: Object) -> bool:
    annotations: Object = pod["metadata"].get("annotations") or {}
    return bool(annotations.get("pod-group-name") == group["metadata"]["name"])


def _condition(group: Object) -> Object:
    return next(iter((group.get("status") or {}).get("schedulingConditions") or []), {})


def _why_unbound(pod: Object) -> str:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return next((one["message"] for one in conditions if one.get("reason") == "Unschedulable"), "")


def _rival(name: str, namespace: str, priority: str) -> Object:
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": "rival",
        "creationTimestamp": "2026-11-26T23:00:00Z",
    }
    return {
        "metadata": metadata,
        "spec": {"minMember": 1, "priorityClassName": priority, "queue": namespace},
    }


def _only_pod_of(group: Object, like: Object) -> Object:
    (container,) = like["spec"]["containers"]
    asks = container["resources"]["requests"] | {"nvidia.com/gpu": "1"}
    metadata = {"name": "rival", "namespace": group["metadata"]["namespace"], "uid": "rival-pod"}
    return {
        "metadata": metadata | {"annotations": {"pod-group-name": group["metadata"]["name"]}},
        "spec": {
            "schedulerName": "kai-scheduler",
            "containers": [{"name": "main", "resources": {"requests": asks}}],
        },
        "status": {"phase": "Pending"},
    }


def _stranger(gpus: int) -> Object:
    asks = {"nvidia.com/gpu": str(gpus)}
    spec = {"nodeName": "node-0", "containers": [{"name": "main", "resources": {"requests": asks}}]}
    return {
        "metadata": {"name": "stranger", "namespace": "default", "uid": "stranger"},
        "spec": spec,
    }


def _happening(event: Object) -> Happening:
    annotations = event["metadata"].get("annotations")
    return Happening.of(
        _on(event["involvedObject"]), event["type"], event["reason"], event["message"], annotations
    )


def _on(involved: Object) -> tuple[str, str, str, str]:
    return (involved["kind"], involved["namespace"], involved["name"], involved["uid"])
