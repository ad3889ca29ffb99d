"""
The emulator's own table of workload phases.

It is written from the vendor's documents and shares nothing with the client's table: sharing it
would test the client's assumptions against themselves.
"""

from __future__ import annotations

CREATING = "Creating"
PENDING = "Pending"
INITIALIZING = "Initializing"
RUNNING = "Running"
TERMINATING = "Terminating"
STOPPING = "Stopping"
STOPPED = "Stopped"
RESUMING = "Resuming"
DELETING = "Deleting"
COMPLETED = "Completed"
FAILED = "Failed"

ENDED = frozenset({COMPLETED, FAILED})
HALTED = ENDED | {STOPPED}
# The same phases as Kubernetes names them (``k8sPhase`` is a free string).
KUBERNETES = {
    CREATING: "Pending",
    PENDING: "Pending",
    INITIALIZING: "ContainerCreating",
    RUNNING: "Running",
    TERMINATING: "Terminating",
    STOPPING: "Terminating",
    STOPPED: "Suspended",
    RESUMING: "Pending",
    DELETING: "Terminating",
    COMPLETED: "Succeeded",
    FAILED: "Failed",
}
# Names that a control plane newer than its client might use (the ``future`` fault).
RENAMED = {
    STOPPING: "Suspending",
    TERMINATING: "Quiescing",
}
