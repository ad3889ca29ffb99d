"""
The phases of a Run:ai workload and their meaning for a wait.

One table; the documentation's table is made from it. The client never enforces transitions: the
server is right. A phase that is not in the table (a newer server, a gateway's invention) is
:attr:`Meaning.UNKNOWN` and never final. Source of the names: the control plane's API, versions
2.18–3.0.
"""

from __future__ import annotations

from enum import Enum


class Meaning(Enum):
    """What a phase says about the workload."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    LEAVING = "leaving"
    SUSPENDED = "suspended"
    DELETING = "deleting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


PHASES: dict[str, tuple[Meaning, str]] = {
    "Creating": (Meaning.WAITING, "accepted; its objects are being made"),
    "Pending": (Meaning.WAITING, "queued for resources, the first time or after a preemption"),
    "Resuming": (Meaning.WAITING, "resumed by someone; queued until pods exist"),
    "Initializing": (Meaning.STARTING, "placed on a node; the image is being pulled"),
    "Running": (Meaning.RUNNING, "all pods are ready"),
    "Degraded": (Meaning.RUNNING, "some pods are missing or unhealthy; goes on by itself"),
    "Updating": (Meaning.RUNNING, "its scale is being changed"),
    "Terminating": (Meaning.LEAVING, "pods are going down: an eviction, or the end"),
    "Stopping": (Meaning.SUSPENDED, "being suspended"),
    "Suspending": (Meaning.SUSPENDED, "being suspended (newer servers)"),
    "Stopped": (Meaning.SUSPENDED, "suspended; keeps its objects, holds no GPU"),
    "Suspended": (Meaning.SUSPENDED, "suspended (other spelling)"),
    "Deleting": (Meaning.DELETING, "being removed by someone"),
    "Completed": (Meaning.SUCCEEDED, "ended with success"),
    "Failed": (Meaning.FAILED, "ended with failure, after its own restarts"),
    "Unknown": (Meaning.UNKNOWN, "the control plane lost sight of the cluster"),
}

FINAL = frozenset({Meaning.SUCCEEDED, Meaning.FAILED})
#: Its pods are going down.
GOING = frozenset({Meaning.LEAVING, Meaning.DELETING})
#: Nothing will run under this workload any more: it has ended, or is being removed.
OVER = FINAL | {Meaning.DELETING}


def meaning(phase: str) -> Meaning:
    """Return the meaning of a phase in the server's spelling; of others :attr:`Meaning.UNKNOWN`."""
    known = PHASES.get(phase)
    return known[0] if known else Meaning.UNKNOWN
