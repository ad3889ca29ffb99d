"""How KAI's stand-in groups pods, reads quantities and spends the budget of events; where no recording shows it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rig.kai import amounts
from tests.rig.kai.amounts import Amount
from tests.rig.kai.correlator import Correlator, Happening
from tests.rig.kai.grouping import group_for, updated

Object = dict[str, Any]
ON = ("PodGroup", "team-a", "pg-train", "uid")


@pytest.mark.parametrize(
    ("owner", "pod", "expected"),
    [
        ({"priorityClassName": "build"}, {"priorityClassName": "train"}, "build"),
        ({}, {"priorityClassName": "build"}, "build"),
        ({}, {}, "inference"),
        ({"priorityClassName": "nosuch"}, {}, "train"),
    ],
)
def test_the_priority_is_the_first_that_is_told_or_the_default(
    owner: Object, pod: Object, expected: str
) -> None:
    """kubernetes-facts §12: all four were tried; the pod's own class is ``inference`` here."""
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "uid": "u", "labels": owner},
        "spec": {},
    }
    body = {
        "metadata": {"name": "p", "namespace": "n", "labels": pod},
        "spec": {"priorityClassName": "inference"},
    }
    assert (
        group_for(body, job, {"train", "build", "inference"})["spec"]["priorityClassName"]
        == expected
    )


@pytest.mark.parametrize(
    ("told", "copied"),
    [("preemptible", True), ("non-preemptible", True), ("semi-preemptible", False)],
)
def test_an_unknown_preemptibility_is_dropped_without_a_word(told: str, copied: bool) -> None:
    labels = {"kai.scheduler/preemptibility": told}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "uid": "u", "labels": labels},
    }
    spec = group_for({"metadata": {"name": "p", "namespace": "n"}, "spec": {}}, job, ())["spec"]
    assert spec.get("preemptibility") == (told if copied else None)
    assert spec["queue"] == "default-queue"


def test_a_word_for_preemptibility_that_is_unknown_leaves_it_to_the_pods() -> None:
    labels = {"kai.scheduler/preemptibility": "semi-preemptible"}
    job = {"apiVersion": "batch/v1", "kind": "Job"}
    body = {"metadata": {"name": "p", "namespace": "n"}, "spec": {}}
    owner = {**job, "metadata": {"name": "j", "uid": "u", "labels": labels}}
    known = {"kai.scheduler/preemptibility": "preemptible"}
    pod = {**body, "metadata": {**body["metadata"], "labels": known}}
    assert group_for(pod, owner, ())["spec"]["preemptibility"] == "preemptible"


@pytest.mark.parametrize(
    ("labels", "queue"),
    [
        ({}, "default-queue"),
        ({"project": "nlp"}, "nlp"),
        ({"project": "nlp", "kai.scheduler/queue": "vision"}, "vision"),
    ],
)
def test_the_queue_is_named_by_its_own_label_or_by_that_of_the_project(
    labels: Object, queue: str
) -> None:
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "uid": "u"}}
    pod = {"metadata": {"name": "p", "namespace": "n", "labels": labels}, "spec": {}}
    assert group_for(pod, job, ())["spec"]["queue"] == queue


def test_a_group_follows_its_owner_but_not_into_another_queue() -> None:
    def owner(labels: Object, annotations: Object) -> Object:
        metadata = {"name": "j", "uid": "u", "labels": labels, "annotations": annotations}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata}

    pod = {"metadata": {"name": "p", "namespace": "n"}, "spec": {}}
    first = {"kai.scheduler/queue": "team-a", "priorityClassName": "train", "watched": "yes"}
    made = group_for(pod, owner(first, {"history": "1"}), {"train", "build"})
    made["metadata"] |= {"resourceVersion": "7"}
    made["spec"] |= {"markUnschedulable": True}
    later = {"kai.scheduler/queue": "team-b", "priorityClassName": "build"}
    group = updated(made, group_for(pod, owner(later, {"history": "2"}), {"train", "build"}))
    assert group["metadata"]["labels"] == {
        "kai.scheduler/queue": "team-a",
        "priorityClassName": "build",
        "watched": "yes",
    }
    assert group["metadata"]["annotations"]["history"] == "2"
    assert group["metadata"]["resourceVersion"] == "7"
    assert (group["spec"]["queue"], group["spec"]["priorityClassName"]) == ("team-a", "build")
    assert group["spec"]["markUnschedulable"] is True


@pytest.mark.parametrize(
    ("order", "name", "minimum"),
    [("AnyOrder", "pg-set-u", 5), ("InOrder", "pg-set-u-worker", 4), (None, "pg-set-u-worker", 4)],
)
def test_a_jobset_is_one_gang_unless_its_members_start_in_order(
    order: str | None, name: str, minimum: int
) -> None:
    member = {"replicas": 2, "template": {"spec": {"parallelism": 3, "completions": 2}}}
    master = {"name": "master", "template": {"spec": {}}}
    spec: Object = {"replicatedJobs": [master, {"name": "worker", **member}]}
    if order:
        spec["startupPolicy"] = {"startupPolicyOrder": order}
    owner = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": "set", "uid": "u"},
        "spec": spec,
    }
    labels = {"jobset.sigs.k8s.io/replicatedjob-name": "worker"}
    made = group_for(
        {"metadata": {"name": "p", "namespace": "n", "labels": labels}, "spec": {}}, owner, ()
    )
    assert (made["metadata"]["name"], made["spec"]["minMember"]) == (name, minimum)


def test_an_object_has_25_events_and_one_more_in_five_minutes() -> None:
    correlator = Correlator()
    happening = Happening(ON, "Normal", "Unschedulable", "no room")
    told = [correlator.admit(happening, now) for now in range(30)]
    assert [one is not None for one in told] == [True] * 25 + [False] * 5
    later = correlator.admit(happening, now=330)
    assert later is not None
    assert later.count == 31  # what was lost is counted
    assert correlator.admit(happening, now=331) is None
    assert correlator.admit(Happening(ON, "Warning", "Unschedulable", "no room"), now=331)


def test_from_the_tenth_message_on_those_of_one_reason_are_merged_without_annotations() -> None:
    """kai-jobset-facts §4: 13 members: 9 whole events, then one that counts to 4."""
    correlator = Correlator()
    told = []
    for number in range(13):
        happening = Happening.of(
            ON, "Normal", "Evict", f"Pod {number} was preempted", {"evictor-action-type": "reclaim"}
        )
        written = correlator.admit(happening, now=number / 100)
        assert written is not None
        told.append((written.count, written.happening.message, bool(written.happening.annotations)))
    assert told[:9] == [(1, f"Pod {number} was preempted", True) for number in range(9)]
    merged = "(combined from similar events): Pod"
    assert told[9:] == [
        (count, f"{merged} {number} was preempted", False)
        for count, number in enumerate(range(9, 13), 1)
    ]


@pytest.mark.parametrize(
    ("written", "amount", "again"),
    [
        ({"cpu": "100m", "memory": "64Mi", "nvidia.com/gpu": "2"}, Amount(100, 64 << 20, 2), None),
        ({"cpu": "2", "memory": "1536Ki"}, Amount(2000, 1536 << 10), None),
        (
            {"cpu": "0.5", "memory": "1G"},
            Amount(500, 10**9),
            {"cpu": "500m", "memory": "1000000000"},
        ),
        ({"cpu": "1e3m", "memory": "what?"}, Amount(1000), {"cpu": "1"}),
    ],
)
def test_quantities_are_read_and_written_as_kubernetes_does(
    written: Object, amount: Amount, again: Object
) -> None:
    assert amounts.of_list(written) == amount
    assert amount.as_list() == (again or written)
