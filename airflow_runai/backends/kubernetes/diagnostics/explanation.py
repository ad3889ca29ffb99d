"""
Why a training waits, does not start or has failed: read once, told by ``core/reasons``.

Its object and pods say most. Events are asked for only while it is not running or has failed, a
queue's own words only where it has one. Nothing depends on the answer, so what cannot be read is
left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airflow_runai.backends.kubernetes.api.paths import EVENTS, KUEUE_WORKLOADS
from airflow_runai.backends.kubernetes.api.writes import Object
from airflow_runai.backends.kubernetes.capacity import node_gpus
from airflow_runai.backends.kubernetes.capacity.prospects import over_node
from airflow_runai.backends.kubernetes.known_cluster import KnownCluster
from airflow_runai.backends.kubernetes.trainings.training_look import (
    TrainingLook,
    if_readable,
    look,
    rows_of,
)
from airflow_runai.core.flow import Flow, now
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.kubernetes.clues import (
    ended_row,
    event_rows,
    training_item,
    waiting_rows,
)
from airflow_runai.core.kubernetes.gpus import GPU, gpus_of_pod
from airflow_runai.core.kubernetes.objects import moment, word
from airflow_runai.core.kubernetes.queue_facts import JOB_UID
from airflow_runai.core.phases import FINAL, meaning
from airflow_runai.core.reasons import Evidence, Reason, needs_reason, reasons
from airflow_runai.core.workload import Workload
from airflow_runai.errors import RunaiError, Unreachable

_QUEUE_LABEL, _GROUP_ANNOTATION = "kueue.x-k8s.io/queue-name", "pod-group-name"
#: Pods whose events are asked for.
_MOST_ASKED = 2
#: Seconds within which Kueue makes its Workload for a Job.
_TAKEN_UP = 10.0


def explain(
    cluster: KnownCluster, workload: Workload, since: float = 0.0
) -> Flow[tuple[Reason, ...]]:
    """
    Return the reasons, the most helpful first; none if nothing is known.

    :param since: epoch seconds; what was said before explains nothing.
    """
    try:
        seen = yield from look(workload)
    except Unreachable:
        return ()
    return (yield from explain_look(cluster, workload, seen, since))


def explain_look(
    cluster: KnownCluster, workload: Workload, seen: TrainingLook, since: float
) -> Flow[tuple[Reason, ...]]:
    """
    Return the reasons for what one look has seen.

    :param workload: its project's id is the namespace.
    """
    if not needs_reason(seen.phase):
        return ()
    try:
        return reasons((yield from _evidence(cluster, workload, seen, since)))
    except Unreachable:
        return ()  # the rest would not come either, and each try may take as long as a time-out


def _evidence(
    cluster: KnownCluster, workload: Workload, seen: TrainingLook, since: float
) -> Flow[Evidence]:
    rows = [row for one in reversed(seen.lives) for row in ended_row(one)]
    waiting = [row for pod in _waiting(seen) for row in waiting_rows(pod)]
    more = yield from _own_messages(seen, waiting)
    queued, remark = yield from _queued(cluster, workload, seen)
    said = {row["k8sPhaseMessage"] for row in waiting}
    events = yield from _events(workload, seen, is_silent=not any(said))
    # The scheduler says the same in a pod's condition and in its event.
    shown = [row for row in event_rows(events) if row["message"] not in said]
    item = training_item(seen.training, queued, [*more, *remark])
    return Evidence.gather(seen.phase, item, shown, [*waiting, *rows], since)


def _waiting(seen: TrainingLook) -> list[Object]:
    """Return the pods that have not started."""
    return [pod for pod in seen.pods if word(pod, "status", "phase") == "Pending"]


def _queued(
    cluster: KnownCluster, workload: Workload, seen: TrainingLook
) -> Flow[tuple[Object | None, list[JsonObject]]]:
    """Return what Kueue says of it, and a remark if Kueue says nothing at all."""
    if not word(seen.training, "metadata", "labels", _QUEUE_LABEL):
        return None, []
    kind = yield from cluster.kind(KUEUE_WORKLOADS)
    path = kind.collection(workload.project_id)
    found = yield from if_readable(rows_of(path, ("labelSelector", f"{JOB_UID}={workload.id}")))
    made = moment(seen.training, "metadata", "creationTimestamp") or 0.0
    is_late = (yield from now()) - made > _TAKEN_UP
    if found == [] and is_late and meaning(seen.phase) not in FINAL:
        return None, [{"phaseReason": "NotQueued"}]
    return (found[-1] if found else None), []


def _own_messages(seen: TrainingLook, waiting: Sequence[JsonObject]) -> Flow[list[JsonObject]]:
    """Say that no node is as large as a pod that waits, which a scheduler may not tell."""
    if not any(GPU in str(row["k8sPhaseMessage"]) for row in waiting):
        return []
    try:
        largest = node_gpus.largest((yield from node_gpus.nodes()))
    except RunaiError:
        return []
    figures = over_node(max(map(gpus_of_pod, _waiting(seen)), default=0.0), largest)
    return [{"phaseReason": "MoreGpusThanNode", "userMessage": figures}] if figures else []


def _events(workload: Workload, seen: TrainingLook, *, is_silent: bool) -> Flow[list[Object]]:
    """
    Return what was said of the training and of its pods that do not start.

    :param is_silent: the pods themselves do not say why; then their group may.
    """
    found: list[Object] = []
    for fields in _asked(workload, seen, is_silent=is_silent):
        selector = ("fieldSelector", fields)
        path = EVENTS.collection(workload.project_id)
        found += (yield from if_readable(rows_of(path, selector))) or []
    return found


def _asked(workload: Workload, seen: TrainingLook, *, is_silent: bool) -> Iterator[str]:
    yield f"involvedObject.uid={workload.id}"
    pods = _waiting(seen)[:_MOST_ASKED]
    for pod in pods:
        yield f"involvedObject.kind=Pod,involvedObject.uid={word(pod, 'metadata', 'uid')}"
    groups = {word(pod, "metadata", "annotations", _GROUP_ANNOTATION) for pod in pods} - {""}
    for group in sorted(groups) if is_silent else ():
        yield f"involvedObject.kind=PodGroup,involvedObject.name={group}"
