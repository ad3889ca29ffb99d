"""
The emulator's own table of workload phases.

It is written from the vendor's documents and shares nothing with the client's table: a referee who
copies the player's rules cannot find a wrong rule.
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
LEAVING = frozenset({TERMINATING, STOPPING, DELETING})
# What the Kubernetes side would call the same moment (``k8sPhase`` is a free string).
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
# What a control plane newer than its client may call them (the ``future`` fault).
RENAMED = {STOPPING: "Suspending", TERMINATING: "Quiescing"}
