"""
The interface of a runtime: it runs workloads as real processes, or by a script.

The engine never waits: it asks for the state at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from airflow_runai.emulator.records import EmulatedWorkload


class Runtime(Protocol):
    """Starts, watches and stops the pods of workloads."""

    def start(self, workload: EmulatedWorkload, now: float) -> None:
        """Start all pods of the workload's present incarnation."""
        ...

    def exits(self, workload: EmulatedWorkload, now: float) -> Sequence[int | None]:
        """Return the exit code of each pod, None while it runs; empty if none was started."""
        ...

    def complaint(self, workload: EmulatedWorkload) -> tuple[str, str] | None:
        """Return reason and message of what its node says about a failure, if anything."""
        ...

    def terminate(self, workload: EmulatedWorkload, now: float) -> None:
        """Ask all pods to end (SIGTERM)."""
        ...

    def kill(self, workload: EmulatedWorkload, now: float) -> None:
        """End all pods at once (SIGKILL)."""
        ...

    def discard(self, workload: EmulatedWorkload) -> None:
        """Forget the incarnation and wipe its node-local disk."""
        ...

    def due(self, workload: EmulatedWorkload) -> float | None:
        """Return when something will happen by itself, in epoch seconds; None if unknown."""
        ...
