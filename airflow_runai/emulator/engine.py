"""
The controller: each step brings each workload closer to its desired state.

Level-triggered like the real one: it compares the actual state with the desired one and never
relies on having seen a change. It never waits or sleeps; its owner calls :meth:`Engine.tick`.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_runai.emulator import lifecycle, phases, scheduler
from airflow_runai.emulator.agenda import ALWAYS, Agenda
from airflow_runai.emulator.job_board import JobBoard
from airflow_runai.emulator.records import Departure, EmulatedWorkload
from airflow_runai.emulator.runtime import Runtime
from airflow_runai.emulator.scripted import ScriptedRuntime
from airflow_runai.emulator.settings import EmulatorSettings
from airflow_runai.emulator.store import Store
from airflow_runai.emulator.world import EmulatedCluster, World


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
        self._real = real
        self._store = store
        self._agenda = Agenda(world.workloads, self._look_at)
        self._board = JobBoard(world)
        self._dirty = True
        self.closing = False
        scripted.when_set(self._agenda.note_all)

    def tick(self, now: float) -> None:
        """Take one step with each workload, schedule, save."""
        ready = self._agenda.take(now)
        for workload in filter(_is_active, ready):
            self._step(workload, now)
        self._agenda.plan(ready)
        # The scheduler's decisions depend on workloads only, so it runs after a change only.
        if self._dirty and not self.closing:
            self._dirty = False
            self._board.renew()
            for cluster in self.world.clusters:
                self._schedule(cluster, now)
        self._store.save()

    def changed(self, workload: EmulatedWorkload) -> None:
        """Record that a workload has changed: it is saved, and all jobs are scheduled anew."""
        self._changed(workload)
        self._store.touch(workload)

    def created(self, workload: EmulatedWorkload, now: float) -> None:
        """Write the first line of a workload's history."""
        self._enter(workload, phases.CREATING, "Accepted", now)

    def apply_user_action(self, workload: EmulatedWorkload, now: float) -> None:
        """Act at once on what a user desires, so that the next read already shows it."""
        self._step(workload, now)

    def next_due(self) -> float | None:
        """Return when something will happen by itself, in epoch seconds; None if nothing will."""
        return self._agenda.next_due()

    def preempt(self, workload: EmulatedWorkload, message: str, now: float) -> bool:
        """Preempt a workload as the platform does; False if it holds nothing."""
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
        self.closing = True
        for workload in self._active():
            if workload.live_pods and not workload.departure:
                self._depart(workload, "restart", phases.PENDING, message, now)

    @property
    def busy(self) -> bool:
        """Whether any pod is alive."""
        return any(workload.live_pods for workload in self._active())

    def _active(self) -> list[EmulatedWorkload]:
        return list(filter(_is_active, self.world.workloads.values()))

    def _changed(self, workload: EmulatedWorkload) -> None:
        self._dirty = True
        self._agenda.note(workload)
        self._board.note(workload)

    def _runtime(self, workload: EmulatedWorkload) -> Runtime:
        if self._real is None or self.scripted.scenario(workload.name) is not None:
            return self.scripted
        return self._real

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
            case phases.STOPPED:
                self._enter(workload, phases.RESUMING, "Resumed by the user", now)
            case phases.RESUMING if now >= self._ready_at(workload):
                self._enter(workload, phases.PENDING, "Waiting in the queue after resuming", now)
            case phases.PENDING if 0 < workload.not_before <= now:
                workload.not_before = 0.0
                self._changed(workload)
            case phases.INITIALIZING if now >= self._ready_at(workload):
                self._runtime(workload).start(workload, now)
                lifecycle.started(workload, now)
                self.changed(workload)
            case phases.RUNNING:
                self._watch(workload, now)

    def _watch(self, workload: EmulatedWorkload, now: float) -> None:
        """Check whether a running workload has ended or failed, or its scenario preempts it."""
        exits = self._runtime(workload).exits(workload, now)
        lifecycle.exited(workload, exits)
        failed = [code for code in exits if code]
        preemption = self._scripted_preemption(workload)
        if failed or not exits:
            self._failed(workload, failed[0] if failed else 1, now)
        elif _is_completed(workload, exits):
            self._end(workload, phases.COMPLETED, "Completed", now)
        elif preemption is not None and now >= preemption:
            self.preempt(workload, "Preempted: node maintenance", now)

    def _failed(self, workload: EmulatedWorkload, code: int, now: float) -> None:
        limit = workload.backoff_limit
        if workload.failures >= limit:
            message = f"Failed with exit code {code} after {workload.failures} of {limit} retries"
            self._end(workload, phases.FAILED, message, now)
            return
        workload.failures += 1
        # Exponential as in Kubernetes, up to 20 times the first pause.
        pause = self.settings.backoff_seconds * min(2 ** (workload.failures - 1), 20)
        workload.not_before = now + pause
        retry = f"retry {workload.failures} of {limit} in {pause:g} s"
        message = f"Pod failed with exit code {code}; {retry}"
        lifecycle.note(workload, "BackOff", message, now, workload.live_pods[0], bad=True)
        self._clear(workload, "Failed", now)
        self._enter(workload, phases.PENDING, message, now)

    def _end(self, workload: EmulatedWorkload, phase: str, message: str, now: float) -> None:
        completed = phase == phases.COMPLETED
        self._clear(workload, "Succeeded" if completed else "Failed", now)
        reason = "Completed" if completed else "BackoffLimitExceeded"
        lifecycle.note(workload, reason, message, now, bad=not completed)
        workload.departure = None
        self._enter(workload, phase, message, now)

    def _clear(self, workload: EmulatedWorkload, pods: str, now: float) -> None:
        """End what still runs of an incarnation, and wipe its local disk."""
        self._runtime(workload).kill(workload, now)
        self._runtime(workload).discard(workload)
        lifecycle.pods_end(workload, pods, now)

    def _depart(
        self, workload: EmulatedWorkload, why: str, next_phase: str, message: str, now: float
    ) -> None:
        """Begin to stop the pods; :meth:`_departed` goes on to ``next_phase``."""
        deadline = now + workload.grace_seconds(self.settings.grace)
        departure = Departure(why, next_phase, message, deadline)
        if why == "deleted" and workload.phase in phases.ENDED:
            departure.next_phase = workload.phase
        lifecycle.depart(workload, _LEAVING_PHASES[why], departure, now)
        self._runtime(workload).terminate(workload, now)
        self.changed(workload)

    def _leave(self, workload: EmulatedWorkload, departure: Departure, now: float) -> None:
        """Wait for the pods of a departure to end; kill them at its deadline."""
        exits = self._runtime(workload).exits(workload, now)
        # A deletion overtakes any other departure.
        if workload.desired == "Deleted" and departure.why != "deleted":
            departure.why, departure.next_phase = "deleted", phases.DELETING
            self._enter(workload, phases.DELETING, "Deleted by the user", now)
        if None in exits:
            if now >= departure.deadline and not departure.killed:
                departure.killed = True
                self._runtime(workload).kill(workload, now)
            return
        lifecycle.exited(workload, exits)
        # A training that used its grace period to finish is complete, not preempted.
        if departure.by_platform and not departure.killed and _all_zero(exits):
            message = "Completed while it was being stopped by the platform"
            self._end(workload, phases.COMPLETED, message, now)
            return
        self._runtime(workload).discard(workload)
        self._departed(workload, departure, now)

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

    def _enter(self, workload: EmulatedWorkload, phase: str, message: str, now: float) -> None:
        lifecycle.enter(workload, phase, message, now)
        self.changed(workload)

    def _ready_at(self, workload: EmulatedWorkload) -> float:
        return workload.phase_at + self.settings.initializing_seconds

    def _scripted_preemption(self, workload: EmulatedWorkload) -> float | None:
        scenario = self.scripted.scenario(workload.name)
        if scenario is None or not scenario.preempt_every or workload.phase != phases.RUNNING:
            return None
        return workload.phase_at + scenario.preempt_every

    def _look_at(self, workload: EmulatedWorkload) -> float | None:
        """Return when to look at a workload next; None if only a change can make it necessary."""
        if not _is_active(workload):
            return None
        # A process ends whenever it likes.
        if workload.live_pods and self._runtime(workload) is self._real:
            return ALWAYS
        return self._due(workload)

    def _due(self, workload: EmulatedWorkload) -> float | None:
        ends = self._runtime(workload).due(workload)
        if workload.departure is not None:
            return min(workload.departure.deadline, workload.phase_at if ends is None else ends)
        if workload.desired == "Running" and workload.phase == phases.PENDING:
            return workload.not_before or None
        if workload.desired == "Running" and workload.phase == phases.RUNNING:
            times = (ends, self._scripted_preemption(workload))
            return min((at for at in times if at is not None), default=None)
        return self._ready_at(workload)

    def _schedule(self, cluster: EmulatedCluster, now: float) -> None:
        projects = [one for one in self.world.projects if one.cluster_id == cluster.id]
        queues = [project.queue for project in projects]
        jobs = self._board.jobs_to_schedule(cluster.id)
        for decision in scheduler.schedule(cluster.nodes, queues, jobs):
            self._apply(decision, self.world.workloads[decision.job], now)

    def _apply(self, decision: scheduler.Decision, workload: EmulatedWorkload, now: float) -> None:
        # What the scheduler itself has decided is no reason to ask it again.
        match decision:
            case scheduler.Assign():
                workload.claims = False
                lifecycle.place(workload, decision.slots, now)
                self._agenda.note(workload)
                self._board.note(workload)
                self._store.touch(workload)
            case scheduler.Evict():
                workload.claims = decision.claims
                self.preempt(workload, decision.message, now)
            case scheduler.StayQueued():
                self._leave_queued(workload, decision)

    def _leave_queued(self, workload: EmulatedWorkload, decision: scheduler.StayQueued) -> None:
        if workload.claims != decision.claims:
            workload.claims = decision.claims
            self._board.note(workload)
        lifecycle.explain(workload, decision.reason, decision.message)


#: The phase shown while the pods stop, by the reason of the departure.
_LEAVING_PHASES = {
    "deleted": phases.DELETING,
    "suspended": phases.STOPPING,
    "preempted": phases.TERMINATING,
    "restart": phases.TERMINATING,
}


def _is_active(workload: EmulatedWorkload) -> bool:
    """Whether anything may still happen to a workload without its user."""
    return workload.deleted_at is None and not workload.is_at_rest


def _is_completed(workload: EmulatedWorkload, exits: Sequence[int | None]) -> bool:
    """Whether a workload is complete: with its master if it has one, else with all its pods."""
    return exits[0] == 0 if workload.has_master else _all_zero(exits)


def _all_zero(exits: Sequence[int | None]) -> bool:
    return bool(exits) and all(code == 0 for code in exits)
