"""What a cluster says of one training, as rows that ``core/reasons`` searches for known causes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.kubernetes.endings import DEADLINE, FAILED, INFRASTRUCTURE
from airflow_runai.core.kubernetes.incarnations import PodIncarnation
from airflow_runai.core.kubernetes.objects import at, conditions, holds, moment, rows, word
from airflow_runai.core.texts import printable

#: Ends that are a reason; others are told with the phase.
_TELLING = (FAILED, INFRASTRUCTURE, DEADLINE)
_IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff")
#: What controllers say of races among themselves, on nearly every healthy pod.
_NOISE = re.compile(r"the object has been modified|podgroups\.\S+ \S+ already exists")
_OVER = ("FailureTarget", "Failed")
#: Characters of an event that are searched for noise.
_SEARCHED = 1024


def training_item(training: object, queued: object, more: Iterable[JsonObject] = ()) -> JsonObject:
    """
    Return what is said of a training as a whole.

    :param training: its Job or JobSet.
    :param queued: its Workload of Kueue's, if it has one.
    :param more: messages that nobody but us says.
    """
    known, queue = conditions(training), conditions(queued)
    said = [known[one] for one in _OVER if holds(known.get(one))]
    reserved = queue.get("QuotaReserved")
    said += [reserved] if reserved is not None and not holds(reserved) else []
    return {"pendingSchedulingMessages": list(more), "conditions": said}


def ended_row(one: PodIncarnation) -> Iterator[JsonObject]:
    """Yield why an incarnation ended, if that explains anything."""
    if one.ended in _TELLING:
        code = "" if one.exit_code is None else f"exit code {one.exit_code}"
        words = ". ".join(text for text in (code, one.words) if text)
        yield _row(one.name, one.node, one.reason, words, completedAt=one.end)


def waiting_rows(pod: Mapping[str, Any]) -> Iterator[JsonObject]:
    """Yield why a pod does not start: its containers first, then its place."""
    name, node = word(pod, "metadata", "name"), word(pod, "spec", "nodeName")
    for key in ("initContainerStatuses", "containerStatuses"):
        for status in rows(pod, "status", key):
            waiting = at(status, "state", "waiting")
            if reason := word(waiting, "reason"):
                yield _row(name, node, reason, _waits(reason, waiting, status))
    scheduled = conditions(pod).get("PodScheduled")
    if scheduled is not None and not holds(scheduled):
        yield _row(name, node, word(scheduled, "reason"), at(scheduled, "message"))


def event_rows(events: Sequence[Mapping[str, Any]]) -> list[JsonObject]:
    """Return events as rows, those left out that say nothing to anybody."""
    return [_event(one) for one in events if not _NOISE.search(_words(one)[:_SEARCHED])]


def _event(event: Mapping[str, Any]) -> JsonObject:
    times = (moment(event, key) for key in ("lastTimestamp", "eventTime", "firstTimestamp"))
    return {
        "type": event.get("type"),
        "reason": event.get("reason"),
        "message": _words(event),
        "involvedObject": at(event, "involvedObject") or at(event, "regarding"),
        "createdAt": next((when for when in times if when), None),
    }


def _words(event: Mapping[str, Any]) -> str:
    # The two APIs for events have different names for the same.
    return str(event.get("message") or event.get("note") or "")


def _waits(reason: str, waiting: object, status: Mapping[str, Any]) -> str:
    """Return a container's message; of an image with its name, in the words of the kubelet."""
    message = at(waiting, "message")
    text = message if isinstance(message, str) else ""
    image = printable(str(status.get("image") or ""), 256)
    is_named = text.startswith(("Failed to pull", "Back-off pulling"))
    if reason in _IMAGE_REASONS and image and not is_named:
        return (
            f'Failed to pull image "{image}": {text}'
            if text
            else f'Back-off pulling image "{image}"'
        )
    return text


def _row(name: str, node: str, reason: str, message: object, **more: Any) -> JsonObject:
    row = {"name": name, "nodeName": node, "k8sPhase": reason, "k8sPhaseMessage": message}
    return {**row, **more}
