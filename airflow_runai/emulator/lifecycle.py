"""
The life of one workload: all changes of its phase, pods and history.

``engine.py`` decides when, the scheduler which workload; this module only carries the change out.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from airflow_runai.emulator import phases
from airflow_runai.emulator.placement import Slot
from airflow_runai.emulator.records import Departure, EmulatedWorkload, Event, Pod, Record

_LONGEST_PAUSE = 300.0  # seconds, as in Kubernetes
_TICK = 0.001  # history lines never share an instant, so that sorting by time keeps their order


def enter(
    workload: EmulatedWorkload,
    phase: str,
    message: str,
    now: float,
) -> None:
    """Put a workload into a phase and record it."""
    _count_time(workload, now)
    workload.phase = phase
    workload.phase_message = message
    workload.phase_reason = ""
    workload.phase_at = now
    # It stays: a later deletion does not change when the work was done.
    if phase in phases.ENDED:
        workload.completed_at = now
    _write(workload, Record(now, phase, message))


def explain(workload: EmulatedWorkload, reason: str, message: str) -> None:
    """Show why a workload waits, without a new line of history."""
    workload.phase_reason = reason
    workload.phase_message = message


def note(
    workload: EmulatedWorkload,
    reason: str,
    message: str,
    now: float,
    pod: Pod | None = None,
    bad: bool = False,
) -> None:
    """Write an event, about a pod or about the workload."""
    event = Event(
        type="Warning" if bad else "Normal",
        reason=reason,
        message=message,
        source="kubelet" if pod else "runai-scheduler",
        object_kind="Pod" if pod else "RunaiJob",
        object_name=pod.name if pod else workload.name,
        object_id=pod.id if pod else workload.id,
    )
    _write(workload, Record(now, event=event))


def place(workload: EmulatedWorkload, slots: tuple[Slot, ...], now: float) -> None:
    """Begin an incarnation: make its pods on the given slots."""
    # Names of pods carry the number, so that no two incarnations share one.
    workload.incarnation += 1
    _add_pods(workload, slots, now)
    # The next incarnation prefers other nodes, so that tests see a training resume elsewhere.
    workload.last_nodes = sorted({slot.node for slot in slots})
    enter(workload, phases.INITIALIZING, f"Preparing on {', '.join(workload.last_nodes)}", now)


def next_wave(workload: EmulatedWorkload, now: float) -> None:
    """Go on with the next pods of a set, on the GPUs of those that have succeeded."""
    slots = [pod.slot for pod in workload.live_pods]
    workload.succeeded += len(slots)
    pods_end(workload, "Succeeded", now)
    _add_pods(workload, slots[: workload.wave], now)


def _add_pods(workload: EmulatedWorkload, slots: Sequence[Slot], now: float) -> None:
    for index, slot in enumerate(slots, start=workload.succeeded):
        role = "master" if workload.has_master and index == 0 else "worker"
        name = f"{workload.name}-{index}-{workload.incarnation - 1}"
        pod = Pod(str(uuid.uuid4()), name, index, role, slot.node, slot.gpus, slot.share, now)
        workload.pods.append(pod)
        note(workload, "Scheduled", f"Successfully assigned {name} to {slot.node}", now, pod)


def hold(workload: EmulatedWorkload, words: Sequence[tuple[str, str]], now: float) -> None:
    """Record why its pods cannot be started, and when that is tried again."""
    for reason, message in words:
        note(workload, reason, message, now, workload.live_pods[0], bad=True)
    # As long as it has lasted, so that the pauses double, as the kubelet's do.
    workload.not_before = now + min(max(1.0, now - workload.phase_at), _LONGEST_PAUSE)


def back_off(workload: EmulatedWorkload, first_pause: float, now: float) -> str:
    """Count a failure, and record when its pod is started again; return the words for it."""
    # Counted over all incarnations: a preemption in between is no success.
    workload.failures += 1
    # Exponential as in Kubernetes, up to 20 times the first pause.
    workload.not_before = now + first_pause * min(2 ** (workload.failures - 1), 20)
    pod = workload.live_pods[0]
    message = f"Back-off restarting failed container {workload.name} in pod {pod.name}"
    note(workload, "BackOff", message, now, pod, bad=True)
    return message


def started(workload: EmulatedWorkload, now: float) -> None:
    """Record that all pods of the incarnation run."""
    pods_start(workload, now)
    enter(workload, phases.RUNNING, f"Running on {', '.join(workload.last_nodes)}", now)


def pods_start(workload: EmulatedWorkload, now: float) -> None:
    """Record that the pods run, without a new phase."""
    for pod in workload.live_pods:
        pod.phase = "Running"
        pod.started_at = now
        note(workload, "Started", f"Started container {workload.name} on {pod.node}", now, pod)


def depart(
    workload: EmulatedWorkload,
    phase: str,
    departure: Departure,
    now: float,
) -> None:
    """Begin to stop the pods, on the way to ``departure.next_phase``."""
    workload.departure = departure
    # A user who stops a workload gets no warnings about it.
    if departure.why == "preempted":
        for pod in workload.live_pods:
            evicted = f"Pod {pod.name} was evicted from {pod.node}"
            note(workload, "Preempted", departure.message, now, pod, bad=True)
            note(workload, "Evict", evicted, now, pod, bad=True)
    enter(workload, phase, departure.message, now)


def exited(workload: EmulatedWorkload, codes: Sequence[int | None]) -> None:
    """Keep the exit codes of an incarnation's pods, as a container's status does (128 + signal)."""
    for pod, code in zip(workload.live_pods, codes, strict=False):
        pod.exit_code = code


def pods_end(workload: EmulatedWorkload, phase: str, now: float) -> None:
    """
    Record that the incarnation is over.

    :param phase: of its pods; ``Succeeded`` and ``Failed`` ones stay listed, ``Deleted`` ones do
        not.
    """
    for pod in workload.live_pods:
        pod.completed_at = now
        # Kubernetes has no phase for a pod that was deleted while it ran.
        pod.phase = "Failed" if phase == "Deleted" else phase
        if phase == "Deleted":
            pod.deleted_at = now
            note(workload, "Killing", f"Stopping container {workload.name}", now, pod)


def totals(workload: EmulatedWorkload, now: float) -> tuple[int, int]:
    """Return the whole seconds a workload has been pending and running so far."""
    # A stored workload may come from a clock that was ahead of this one.
    since = max(0.0, now - workload.phase_at)
    pending = workload.pending_seconds + (since if workload.phase == phases.PENDING else 0.0)
    running = workload.running_seconds + (since if workload.phase == phases.RUNNING else 0.0)
    return int(pending), int(running)


def phase_at(workload: EmulatedWorkload, instant: float) -> Record | None:
    """Look up the phase a workload had at an instant; None before it was created."""
    earlier = [record for record in workload.history if record.phase and record.at <= instant]
    return earlier[-1] if earlier else None


def _count_time(workload: EmulatedWorkload, now: float) -> None:
    since = max(0.0, now - workload.phase_at)
    if workload.phase == phases.PENDING:
        workload.pending_seconds += since
    elif workload.phase == phases.RUNNING:
        workload.running_seconds += since


def _write(workload: EmulatedWorkload, record: Record) -> None:
    if workload.history:
        record.at = max(record.at, workload.history[-1].at + _TICK)
    workload.history.append(record)
