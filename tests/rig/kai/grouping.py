"""
Which PodGroup a pod belongs to, how it looks, and how it follows its owner. Pure.

One per pod of a Job: so an evicted Job loses its age. One per JobSet, with all its pods, for the
life of the set; where its members start in order, one per member. Else one per owner.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

__all__ = ["Object", "group_for", "updated"]

Object = dict[str, Any]
VERSION = "scheduling.run.ai/v2alpha2"
QUEUE = "kai.scheduler/queue"
#: Names the queue where no other label does.
PROJECT = "project"
PRIORITY = "priorityClassName"
PREEMPTIBILITY = "kai.scheduler/preemptibility"
#: Empty leaves it to the priority.
PREEMPTIBILITIES = ("", "preemptible", "non-preemptible")
DEFAULT_QUEUE = "default-queue"
DEFAULT_PRIORITY = "train"
#: What the grouper leaves as it is in a group that it has made.
KEPT = ("queue", "markUnschedulable", "schedulingBackoff")
MEMBER = "jobset.sigs.k8s.io/replicatedjob-name"


def group_for(pod: Object, owner: Object, priorities: Container[str]) -> Object:
    """
    Make the PodGroup of a pod.

    :param owner: the topmost owner that says what the pod is part of: Job, JobSet, or the pod
        itself.
    :param priorities: names of the priority classes that exist.
    """
    metadata = owner["metadata"]
    name, minimum = _shape(pod, owner)
    spec = {
        "minMember": minimum,
        "priorityClassName": _priority(pod, owner, priorities),
        "queue": _label(QUEUE, owner, pod) or _label(PROJECT, owner, pod) or DEFAULT_QUEUE,
        "topologyConstraint": {},
    }
    if preemptibility := _preemptibility(owner, pod):
        spec["preemptibility"] = preemptibility
    reference = {key: owner[key] for key in ("apiVersion", "kind")} | {
        key: metadata[key] for key in ("name", "uid")
    }
    return {
        "apiVersion": VERSION,
        "kind": "PodGroup",
        "metadata": {
            "name": name,
            "namespace": pod["metadata"]["namespace"],
            "labels": dict(metadata.get("labels") or {}),
            "annotations": {
                **(metadata.get("annotations") or {}),
                "kai.scheduler/top-owner-metadata": _as_yaml(owner),
            },
            "ownerReferences": [reference],
        },
        "spec": spec,
    }


def updated(group: Object, wanted: Object) -> Object:
    """
    Make of a group what its owner says by now, at the next look at one of its pods.

    What the owner no longer says stays, and so does the queue: a gang cannot be moved by a label.

    :param wanted: the group as it would be made now.
    """
    before, metadata = group["metadata"], wanted["metadata"]
    labels = {**(before.get("labels") or {}), **metadata["labels"]}
    if queue := (before.get("labels") or {}).get(QUEUE):
        labels[QUEUE] = queue
    annotations = {**(before.get("annotations") or {}), **metadata["annotations"]}
    owners = {"ownerReferences": metadata["ownerReferences"]}
    kept = {key: group["spec"][key] for key in KEPT if key in group["spec"]}
    return {
        **group,
        "metadata": {**before, "labels": labels, "annotations": annotations, **owners},
        "spec": {**wanted["spec"], **kept},
    }


def _shape(pod: Object, owner: Object) -> tuple[str, int]:
    """Tell the group's name, and how many pods start together."""
    kind, uid = owner["kind"], owner["metadata"]["uid"]
    if kind == "Job":
        return f"pg-{pod['metadata']['name']}-{uid}", 1
    name = f"pg-{owner['metadata']['name']}-{uid}"
    if kind != "JobSet":
        return name, 1
    members = owner["spec"]["replicatedJobs"]
    if (owner["spec"].get("startupPolicy") or {}).get("startupPolicyOrder") == "AnyOrder":
        return name, sum(_pods(member) for member in members)
    mine = (pod["metadata"].get("labels") or {}).get(MEMBER, "")
    return f"{name}-{mine}", sum(_pods(member) for member in members if member["name"] == mine)


def _pods(member: Mapping[str, Any]) -> int:
    job = member["template"]["spec"]
    parallel = int(job.get("parallelism", 1))
    return int(member.get("replicas", 1)) * min(parallel, int(job.get("completions") or parallel))


def _priority(pod: Object, owner: Object, priorities: Container[str]) -> str:
    """KAI takes the first that is told, and its default if no such class exists."""
    told = _label(PRIORITY, owner, pod) or pod["spec"].get("priorityClassName") or DEFAULT_PRIORITY
    return told if told in priorities else DEFAULT_PRIORITY


def _preemptibility(*things: Object) -> str:
    """Read the first label with a word that KAI knows; of others it says nothing."""
    labels = (thing["metadata"].get("labels") or {} for thing in things)
    found = (str(one[PREEMPTIBILITY]) for one in labels if PREEMPTIBILITY in one)
    return next((word for word in found if word in PREEMPTIBILITIES), "")


def _label(name: str, *things: Object) -> str:
    found = (str((thing["metadata"].get("labels") or {}).get(name, "")) for thing in things)
    return next((value for value in found if value), "")


def _as_yaml(owner: Object) -> str:
    group, _, version = owner["apiVersion"].rpartition("/")
    metadata = owner["metadata"]
    lines = {
        "name": metadata["name"],
        "uid": metadata["uid"],
        "group": group or '""',
        "version": version,
    }
    return "".join(f"{key}: {value}\n" for key, value in [*lines.items(), ("kind", owner["kind"])])
