"""
What an object says, as facts without names, uids and times: aspect → value.

An aspect is what can change for itself: a condition, a finalizer, a container, a counter. Absent
means absent. Numbers that only tell how fast the machine is (ports, addresses, versions,
generations) are no facts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

Fact: TypeAlias = tuple[str, str]
State: TypeAlias = Mapping[str, str]

#: Annotations that order the stand-in for the kubelet about; taken out of the recordings, too.
ORDERS = "rig.airflow-runai/"


def state(kind: str, found: Mapping[str, Any], plain: Callable[[str], str]) -> State:
    """
    Say what an object says.

    :param plain: takes names, uids and times out of a text.
    """
    told = [*_metadata(found["metadata"]), *(OF_KIND[kind](found) if kind in OF_KIND else ())]
    return {aspect: plain(value) for aspect, value in told if value != "None"}


def _metadata(metadata: Mapping[str, Any]) -> Iterator[Fact]:
    for finalizer in metadata.get("finalizers") or ():
        yield f"finalizer {finalizer}", "on"
    if "deletionTimestamp" in metadata:
        yield "deletion", f"with a grace of {metadata.get('deletionGracePeriodSeconds')} s"
    for form in ("annotations", "labels"):
        for key, value in (metadata.get(form) or {}).items():
            if not key.startswith(ORDERS):
                yield f"{form.removesuffix('s')} {key}", str(value)
    owners = sorted(
        f"{owner['kind']} {owner['name']}" for owner in metadata.get("ownerReferences") or ()
    )
    if owners:
        yield "owner", ", ".join(owners)


def _conditions(found: Any, word: str = "condition") -> Iterator[Fact]:
    for one in found or ():
        reasons = [reason.get("reason") or "" for reason in one.get("reasons") or ()]
        yield (
            f"{word} {one['type']}",
            " ".join([one["status"], one.get("reason") or "", *reasons]).strip(),
        )


def _pod(pod: Mapping[str, Any]) -> Iterator[Fact]:
    status = pod.get("status", {})
    yield "node", str(pod["spec"].get("nodeName"))
    yield "scheduler", str(pod["spec"].get("schedulerName"))
    yield "phase", str(status.get("phase"))
    yield "reason", str(status.get("reason"))
    yield from _conditions(status.get("conditions"))
    for container in (
        *status.get("initContainerStatuses", ()),
        *status.get("containerStatuses", ()),
    ):
        for form, details in container["state"].items():
            words = [form, *(str(details[key]) for key in ("reason", "exitCode") if key in details)]
            yield f"container {container['name']}", " ".join(words)
        yield f"restarts of {container['name']}", str(container["restartCount"])


def _job(job: Mapping[str, Any]) -> Iterator[Fact]:
    spec, status = job["spec"], job.get("status", {})
    for key in ("suspend", "backoffLimit", "parallelism"):
        yield key, str(spec.get(key))
    yield from _conditions(status.get("conditions"))
    for key in ("active", "ready", "terminating", "failed", "succeeded"):
        yield key, str(status.get(key))
    for end, uids in (status.get("uncountedTerminatedPods") or {}).items():
        yield f"uncounted {end}", str(len(uids))
    for key in ("startTime", "completionTime"):
        if key in status:
            yield key, "set"


def _jobset(jobset: Mapping[str, Any]) -> Iterator[Fact]:
    status = jobset.get("status", {})
    yield "suspend", str(jobset["spec"].get("suspend"))
    yield from _conditions(status.get("conditions"))
    for key in ("restarts", "restartsCountTowardsMax", "terminalState"):
        yield key, str(status.get(key))
    for member in status.get("replicatedJobsStatus") or ():
        for key in ("active", "ready", "succeeded", "failed", "suspended"):
            yield f"{key} of {member['name']}", str(member[key])


def _pod_group(group: Mapping[str, Any]) -> Iterator[Fact]:
    for key, value in group["spec"].items():
        yield key, json.dumps(value, sort_keys=True)
    status = group.get("status", {})
    yield from _conditions(status.get("schedulingConditions"), "scheduling condition")
    for key, amounts in (status.get("resourcesStatus") or {}).items():
        part = int(amounts.get("nvidia.com/gpu", 0)) < group["spec"]["minMember"]
        words = ", ".join(f"{resource}: {amount}" for resource, amount in sorted(amounts.items()))
        yield key, words + " for a part of the gang" * part


def _workload(workload: Mapping[str, Any]) -> Iterator[Fact]:
    spec, status = workload["spec"], workload.get("status", {})
    for key in ("active", "queueName", "priority"):
        yield key, str(spec.get(key))
    for pod_set in spec.get("podSets") or ():
        yield f"pods of {pod_set['name']}", str(pod_set["count"])
    yield from _conditions(status.get("conditions"))
    yield "admission", str((status.get("admission") or {}).get("clusterQueue"))
    for one in (status.get("schedulingStats") or {}).get("evictions", ()):
        yield (
            f"evictions for {one['reason']} {one.get('underlyingCause') or ''}".strip(),
            str(one["count"]),
        )


OF_KIND: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Fact]]] = {
    "Pod": _pod,
    "Job": _job,
    "JobSet": _jobset,
    "PodGroup": _pod_group,
    "Workload": _workload,
}
