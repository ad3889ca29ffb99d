"""
What the engine asks of whatever makes workloads live: real processes, or a script.

The engine never waits: it asks at every step how things stand.
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
        """Tell the exit code of each pod, None while it runs; empty if nothing was ever started."""
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
        """Tell when something will happen by itself, if that can be known (epoch seconds)."""
        ...
