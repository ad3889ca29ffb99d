"""
The controller: each step brings each workload closer to its desired state.

Level-triggered like the real one: it compares the actual state with the desired one and never
relies on having seen a change. It never waits or sleeps; its owner calls :meth:`Engine.tick`.
"""

from __future__ import annotations

from airflow_runai.emulator import lifecycle, phases
from airflow_runai.emulator.agenda import Agenda
from airflow_runai.emulator.completion import is_completed, is_finished
from airflow_runai.emulator.dispatch import Dispatcher
from airflow_runai.emulator.due_times import DueTimes, is_active
from airflow_runai.emulator.obstacles import missing_claim, obstacles, unschedulable
from airflow_runai.emulator.records import Departure, EmulatedWorkload
from airflow_runai.emulator.runtime import Runtime
from airflow_runai.emulator.scripted import ScriptedRuntime
from airflow_runai.emulator.settings import EmulatorSettings
from airflow_runai.emulator.store import Store
from airflow_runai.emulator.world import World


class Engine:
    """
    Moves the world.

    :param real: runs workloads without a scenario; None scripts those, too.
    """

    def __init__(
        self,
        world: World,
        settings: EmulatorSettings,
        scripted: ScriptedRuntime,
        real: Runtime | None,
        store: Store,
    ) -> None:
        self.world = world
        self.settings = settings
        self.scripted = scripted
        self._times = DueTimes(settings, scripted, real)
        self._store = store
        self._agenda = Agenda(world.workloads, self._times.next_look)
        self._dispatcher = Dispatcher(world, self.preempt, self._placed)
        self.closing = False
        scripted.when_set(self._agenda.note_all)

    def tick(self, now: float) -> None:
        """Take one step with each workload, schedule, save."""
        ready = self._agenda.take(now)
        for workload in filter(is_active, ready):
            self._step(workload, now)
        self._agenda.plan(ready)
        if not self.closing:
            self._dispatcher.schedule(now)
        self._store.save()

    def changed(self, workload: EmulatedWorkload) -> None:
        """Record that a workload has changed: it is saved, and all jobs are scheduled anew."""
        self._changed(workload)
        self._store.touch(workload)

    def created(self, workload: EmulatedWorkload, now: float) -> None:
        """Write the first line of a workload's history."""
        workload.missing_claim = missing_claim(self.settings, workload)
        self._enter(workload, phases.CREATING, "Accepted", now)

    def apply_user_action(self, workload: EmulatedWorkload, now: float) -> None:
        """Act at once on what a user desires, so that the next read already shows it."""
        self._step(workload, now)

    def next_due(self) -> float | None:
        """Return when something will happen by itself, in epoch seconds; None if nothing will."""
        return self._agenda.next_due()

    def preempt(self, workload: EmulatedWorkload, message: str, now: float) -> bool:
        """Preempt a workload as the platform does; False if it holds nothing."""
        # Who is leaving already cannot be preempted again.
        if workload.departure or not workload.live_pods:
            return False
        self._depart(workload, "preempted", phases.PENDING, message, now)
        return True

    def requeue_all(self, message: str, now: float) -> None:
        """Queue each workload that has pods again: after a crash, or before an orderly end."""
        for workload in self._active():
            if not workload.live_pods:
                continue
            # A new emulator cannot take over a process, so the incarnation is lost.
            self._runtime(workload).discard(workload)
            departure = workload.departure
            if departure is None:
                lifecycle.enter(workload, phases.TERMINATING, message, now)
                departure = Departure("restart", phases.PENDING, message, now)
            self._departed(workload, departure, now)

    def stop_all(self, message: str, now: float) -> None:
        """Ask all processes to end, each with its grace period, and start no more."""
        # Without this, the scheduler would start the next ones on the GPUs that become free.
        self.closing = True
        for workload in self._active():
            if workload.live_pods and not workload.departure:
                self._depart(workload, "restart", phases.PENDING, message, now)

    @property
    def busy(self) -> bool:
        """Whether any pod is alive."""
        return any(workload.live_pods for workload in self._active())

    def _active(self) -> list[EmulatedWorkload]:
        return list(filter(is_active, self.world.workloads.values()))

    def _changed(self, workload: EmulatedWorkload) -> None:
        self._agenda.note(workload)
        self._dispatcher.note(workload)

    def _placed(self, workload: EmulatedWorkload) -> None:
        self._agenda.note(workload)
        self._store.touch(workload)

    def _runtime(self, workload: EmulatedWorkload) -> Runtime:
        return self._times.runtime(workload)

    def _step(self, workload: EmulatedWorkload, now: float) -> None:
        if workload.departure is not None:
            self._leave(workload, workload.departure, now)
        elif workload.desired == "Deleted":
            self._depart(workload, "deleted", phases.DELETING, "Deleted by the user", now)
        elif workload.desired == "Stopped" and workload.phase not in phases.HALTED:
            self._depart(workload, "suspended", phases.STOPPED, "Suspended by the user", now)
        elif workload.desired == "Running":
            self._advance(workload, now)

    def _advance(self, workload: EmulatedWorkload, now: float) -> None:
        match workload.phase:
            case phases.CREATING:
                self._enter(workload, phases.PENDING, "Waiting in the queue", now)
                for words in unschedulable(workload.missing_claim):
                    lifecycle.note(workload, *words, now, bad=True)
            case phases.STOPPED:
                self._enter(workload, phases.RESUMING, "Resumed by the user", now)
            case phases.RESUMING if now >= self._times.starts_at(workload):
                self._enter(workload, phases.PENDING, "Waiting in the queue after resuming", now)
            case phases.PENDING if 0 < workload.not_before <= now:
                workload.not_before = 0.0
                self._changed(workload)
            case phases.INITIALIZING if now >= self._times.starts_at(workload):
                self._start(workload, now)
            case phases.RUNNING:
                self._watch(workload, now)

    def _start(self, workload: EmulatedWorkload, now: float) -> None:
        workload.not_before = 0.0
        if words := obstacles(self.settings, workload):
            lifecycle.hold(workload, words, now)
        else:
            self._runtime(workload).start(workload, now)
            lifecycle.started(workload, now)
        self.changed(workload)

    def _watch(self, workload: EmulatedWorkload, now: float) -> None:
        """Check whether a running workload has ended or failed, or its scenario preempts it."""
        exits = self._runtime(workload).exits(workload, now)
        lifecycle.exited(workload, exits)
        preemption = self._times.scripted_preemption(workload)
        if any(exits) or not exits:
            self._failed(workload, now)
        elif is_completed(workload, exits):
            self._go_on(workload, now)
        elif preemption is not None and now >= preemption:
            self.preempt(workload, "Preempted: node maintenance", now)

    def _go_on(self, workload: EmulatedWorkload, now: float) -> None:
        """Start the next pods of a set; after the last, the workload is complete."""
        if workload.is_last_wave:
            self._end(workload, phases.COMPLETED, "Completed", now)
            return
        self._runtime(workload).discard(workload)
        lifecycle.next_wave(workload, now)
        self._runtime(workload).start(workload, now)
        lifecycle.pods_start(workload, now)
        self.changed(workload)

    def _failed(self, workload: EmulatedWorkload, now: float) -> None:
        # No exit code: the real API has none. The emulator's own page shows it.
        if words := self._runtime(workload).complaint(workload):
            lifecycle.note(workload, *words, now, workload.live_pods[0], bad=True)
        if workload.failures >= workload.backoff_limit:
            self._end(workload, phases.FAILED, "Job has reached the specified backoff limit", now)
            return
        message = lifecycle.back_off(workload, self.settings.backoff_seconds, now)
        # A gang fails as a whole: the other pods cannot go on without this one.
        self._clear(workload, "Failed", now)
        self._enter(workload, phases.PENDING, message, now)

    def _end(
        self,
        workload: EmulatedWorkload,
        phase: str,
        message: str,
        now: float,
    ) -> None:
        completed = phase == phases.COMPLETED
        self._clear(workload, "Succeeded" if completed else "Failed", now)
        reason = "Completed" if completed else "BackoffLimitExceeded"
        lifecycle.note(workload, reason, message, now, bad=not completed)
        # It may have ended while it was being stopped.
        workload.departure = None
        self._enter(workload, phase, message, now)

    def _clear(self, workload: EmulatedWorkload, pods: str, now: float) -> None:
        """End what still runs of an incarnation, and wipe its local disk."""
        self._runtime(workload).kill(workload, now)
        self._runtime(workload).discard(workload)
        lifecycle.pods_end(workload, pods, now)

    def _depart(
        self,
        workload: EmulatedWorkload,
        why: str,
        next_phase: str,
        message: str,
        now: float,
    ) -> None:
        """Begin to stop the pods; :meth:`_departed` goes on to ``next_phase``."""
        workload.not_before = 0.0  # of a start that was tried again and again
        deadline = now + workload.grace_seconds(self.settings.grace)
        departure = Departure(why, next_phase, message, deadline)
        if why == "deleted" and workload.phase in phases.ENDED:
            # The deleted list goes on showing how it ended.
            departure.next_phase = workload.phase
        lifecycle.depart(workload, _LEAVING_PHASES[why], departure, now)
        self._runtime(workload).terminate(workload, now)
        self.changed(workload)

    def _leave(self, workload: EmulatedWorkload, departure: Departure, now: float) -> None:
        """Wait for the pods of a departure to end; kill them at its deadline."""
        exits = self._runtime(workload).exits(workload, now)
        # A deletion overtakes any other departure.
        if workload.desired == "Deleted" and departure.why != "deleted":
            departure.why = "deleted"
            departure.next_phase = phases.DELETING
            self._enter(workload, phases.DELETING, "Deleted by the user", now)
        if None in exits:
            self._kill_at_deadline(workload, departure, now)
            return
        lifecycle.exited(workload, exits)
        # A training that used its grace period to finish is complete, not preempted.
        if departure.by_platform and not departure.killed and is_finished(workload, exits):
            message = "Completed while it was being stopped by the platform"
            self._end(workload, phases.COMPLETED, message, now)
            return
        self._runtime(workload).discard(workload)
        self._departed(workload, departure, now)

    def _kill_at_deadline(
        self, workload: EmulatedWorkload, departure: Departure, now: float
    ) -> None:
        # A process that even SIGKILL does not end at once is not signalled again and again.
        if now >= departure.deadline and not departure.killed:
            departure.killed = True
            self._runtime(workload).kill(workload, now)

    def _departed(self, workload: EmulatedWorkload, departure: Departure, now: float) -> None:
        """Go on to the purpose of a departure, once all pods have ended."""
        workload.departure = None
        lifecycle.pods_end(workload, "Deleted", now)
        terminates = bool(workload.spec.get("terminateAfterPreemption"))
        if departure.why == "deleted":
            # The deleted list shows an end that was reached before; other phases mean nothing now.
            workload.deleted_at = now
            workload.phase = departure.next_phase
        elif departure.why == "suspended":
            self._enter(workload, phases.STOPPED, "Suspended by the user", now)
        elif departure.why == "preempted" and terminates:
            message = f"{departure.message} (terminateAfterPreemption is set)"
            self._end(workload, phases.FAILED, message, now)
        else:
            self._enter(workload, phases.PENDING, f"Queued again. {departure.message}", now)
        self.changed(workload)

    def _enter(
        self,
        workload: EmulatedWorkload,
        phase: str,
        message: str,
        now: float,
    ) -> None:
        lifecycle.enter(workload, phase, message, now)
        self.changed(workload)


#: The phase shown while the pods stop, by the reason of the departure.
_LEAVING_PHASES = {
    "deleted": phases.DELETING,
    "suspended": phases.STOPPING,
    "preempted": phases.TERMINATING,
    "restart": phases.TERMINATING,
}
