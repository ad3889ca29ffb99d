"""
When something will happen to a workload by itself.

The engine acts on it, a stepped clock stops there, and between such times nobody has to look.
"""

from __future__ import annotations

from airflow_runai.emulator import phases
from airflow_runai.emulator.agenda import ALWAYS
from airflow_runai.emulator.records import Departure, EmulatedWorkload
from airflow_runai.emulator.runtime import Runtime
from airflow_runai.emulator.scripted import ScriptedRuntime
from airflow_runai.emulator.settings import EmulatorSettings


class DueTimes:
    """
    Computes instants, in epoch seconds.

    :param real: runs workloads without a scenario; None scripts those, too.
    """

    def __init__(
        self,
        settings: EmulatorSettings,
        scripted: ScriptedRuntime,
        real: Runtime | None,
    ) -> None:
        self._settings = settings
        self._scripted = scripted
        self._real = real

    def runtime(self, workload: EmulatedWorkload) -> Runtime:
        """Return the runtime that runs a workload."""
        if self._real is None or self._scripted.scenario(workload.name) is not None:
            return self._scripted
        return self._real

    def next_look(self, workload: EmulatedWorkload) -> float | None:
        """Return when to look at a workload again; None if only a change can make it necessary."""
        if not is_active(workload):
            return None
        # A process ends whenever it likes.
        if workload.live_pods and self.runtime(workload) is self._real:
            return ALWAYS
        return self._due(workload)

    def ready_at(self, workload: EmulatedWorkload) -> float:
        """Return when a phase that only takes its time is over."""
        return workload.phase_at + self._settings.initializing_seconds

    def starts_at(self, workload: EmulatedWorkload) -> float:
        """Return when a workload goes on: started on its node, or queued after a suspension."""
        return max(self.ready_at(workload), workload.not_before)

    def scripted_preemption(self, workload: EmulatedWorkload) -> float | None:
        """Return when its scenario preempts a workload; None for never."""
        scenario = self._scripted.scenario(workload.name)
        if scenario is None or not scenario.preempt_every:
            return None
        # Only running counts: a queue may be longer than the scenario's period.
        if workload.phase != phases.RUNNING:
            return None
        return workload.phase_at + scenario.preempt_every

    def _due(self, workload: EmulatedWorkload) -> float | None:
        if workload.departure is not None:
            return self._departed_at(workload, workload.departure)
        # What its user no longer desires to run has nothing to wait for.
        if workload.desired != "Running":
            return self.ready_at(workload)
        if workload.phase == phases.PENDING:
            # The scheduler ends the wait in the queue; only a pause after a failure ends by itself.
            return workload.not_before or None
        if workload.phase == phases.RUNNING:
            return self._stops_at(workload)
        if workload.phase in (phases.INITIALIZING, phases.RESUMING):
            return self.starts_at(workload)
        return self.ready_at(workload)

    def _departed_at(self, workload: EmulatedWorkload, departure: Departure) -> float:
        ends = self.runtime(workload).due(workload)
        # Nothing is known to run any more: the next step finishes the departure.
        if ends is None:
            ends = workload.phase_at
        return min(departure.deadline, ends)

    def _stops_at(self, workload: EmulatedWorkload) -> float | None:
        times = (
            self.runtime(workload).due(workload),
            self.scripted_preemption(workload),
        )
        return min((at for at in times if at is not None), default=None)


def is_active(workload: EmulatedWorkload) -> bool:
    """Whether anything may still happen to a workload without its user."""
    return workload.deleted_at is None and not workload.is_at_rest
