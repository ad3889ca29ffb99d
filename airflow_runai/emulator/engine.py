"""
The controller: at every step it brings each workload one stride nearer to what is desired of it.

Level-triggered like the real one: it compares what is with what should be and never relies on
having seen a change. It never waits and never sleeps; whoever owns it calls :meth:`Engine.tick`.
"""

from __future__ import annotations

from collections.abc import Iterable

from airflow_runai.emulator import lifecycle, phases, scheduler
from airflow_runai.emulator.records import Departure, EmulatedWorkload
from airflow_runai.emulator.runtime import Runtime
from airflow_runai.emulator.scripted import ScriptedRuntime
from airflow_runai.emulator.settings import EmulatorSettings
from airflow_runai.emulator.store import Store
from airflow_runai.emulator.world import EmulatedCluster, World

DEFAULT_GRACE = 30.0
DEFAULT_BACKOFF_LIMIT = 6


class Engine:
    """
    Moves the world.

    :param real: runs workloads that no scenario is written for; None scripts those, too.
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
        self._dirty = True
        self.closing = False

    def tick(self, now: float) -> None:
        """Take one step: look at every workload, schedule, save."""
        for workload in self._active():
            self._step(workload, now)
        if self._dirty and not self.closing:
            self._dirty = False
            for cluster in self.world.clusters:
                self._schedule(cluster, now)
        self._store.save()

    def changed(self, workload: EmulatedWorkload) -> None:
        """
        Take note that somebody changed a workload: it is saved, and everybody is scheduled anew.
        """
        self._dirty = True
        self._store.touch(workload)

    def created(self, workload: EmulatedWorkload, now: float) -> None:
        """Write the first line of a workload's history."""
        self._enter(workload, phases.CREATING, "Accepted", now)

    def apply_user_action(self, workload: EmulatedWorkload, now: float) -> None:
        """Act at once on what a user desires, so that the next look already shows it."""
        self._step(workload, now)

    def next_due(self) -> float | None:
        """Tell when something will happen by itself, if anything will (epoch seconds)."""
        times = [due for due in map(self._due, self._active()) if due is not None]
        return min(times, default=None)

    def preempt(self, workload: EmulatedWorkload, message: str, now: float) -> bool:
        """Let the platform preempt a workload; False if it holds nothing that could be taken."""
        if workload.departure or not workload.live_pods:
            return False
        self._depart(workload, "preempted", phases.PENDING, message, now)
        return True

    def requeue_all(self, message: str, now: float) -> None:
        """
        Put every workload that has pods back in the queue, after a crash or before an orderly end.
        """
        for workload in self._active():
            if not workload.live_pods:
                continue
            self._runtime(workload).discard(workload)
            if workload.departure is None:
                lifecycle.enter(workload, phases.TERMINATING, message, now)
                workload.departure = Departure("restart", phases.PENDING, message, now)
            self._departed(workload, now)

    def stop_all(self, message: str, now: float) -> None:
        """Ask every process to end, each with its grace period, and start nothing any more."""
        self.closing = True
        for workload in self._active():
            if workload.live_pods and not workload.departure:
                self._depart(workload, "restart", phases.PENDING, message, now)

    @property
    def busy(self) -> bool:
        """Whether any pod is alive."""
        return any(workload.live_pods for workload in self._active())

    # -- one workload
    # -------------------------------------------------------------------------------------

    def _active(self) -> list[EmulatedWorkload]:
        return [
            w for w in self.world.workloads.values() if w.deleted_at is None and not _at_rest(w)
        ]

    def _runtime(self, workload: EmulatedWorkload) -> Runtime:
        if self._real is None or self.scripted.scenario(workload.name) is not None:
            return self.scripted
        return self._real

    def _step(self, workload: EmulatedWorkload, now: float) -> None:
        if workload.departure is not None:
            self._leave(workload, now)
        elif workload.desired == "Deleted":
            self._depart(workload, "deleted", phases.DELETING, "Deleted by the user", now)
        elif workload.desired == "Stopped" and workload.phase not in phases.ENDED | {
            phases.STOPPED
        }:
            self._depart(workload, "suspended", phases.STOPPED, "Suspended by the user", now)
        elif workload.desired == "Running":
            self._advance(workload, now)

    def _advance(self, workload: EmulatedWorkload, now: float) -> None:
        if workload.phase == phases.CREATING:
            self._enter(workload, phases.PENDING, "Waiting in the queue", now)
        elif workload.phase == phases.STOPPED:
            self._enter(workload, phases.RESUMING, "Resumed by the user", now)
        elif workload.phase == phases.RESUMING and now >= self._ready_at(workload):
            self._enter(workload, phases.PENDING, "Waiting in the queue after resuming", now)
        elif workload.phase == phases.PENDING and 0 < workload.not_before <= now:
            workload.not_before = 0.0
            self._dirty = True
        elif workload.phase == phases.INITIALIZING and now >= self._ready_at(workload):
            self._runtime(workload).start(workload, now)
            lifecycle.started(workload, now)
            self.changed(workload)
        elif workload.phase == phases.RUNNING:
            self._watch(workload, now)

    def _watch(self, workload: EmulatedWorkload, now: float) -> None:
        """
        See whether a running workload has ended, failed or is to be preempted by its scenario.
        """
        exits = self._runtime(workload).exits(workload, now)
        lifecycle.exited(workload, exits)
        failed = [code for code in exits if code]
        if failed or not exits:
            self._failed(workload, failed[0] if failed else 1, now)
        elif exits[0] == 0 if workload.has_master else all(code == 0 for code in exits):
            self._end(workload, phases.COMPLETED, "Completed", now)
        elif (at := self._scripted_preemption(workload)) is not None and now >= at:
            self.preempt(workload, "Preempted: node maintenance", now)

    def _failed(self, workload: EmulatedWorkload, code: int, now: float) -> None:
        limit = int(workload.spec.get("backoffLimit", DEFAULT_BACKOFF_LIMIT))
        if workload.failures >= limit:
            message = f"Failed with exit code {code} after {workload.failures} of {limit} retries"
            self._end(workload, phases.FAILED, message, now)
            return
        workload.failures += 1
        pause = self.settings.backoff_seconds * min(2 ** (workload.failures - 1), 20)
        workload.not_before = now + pause
        message = (
            f"Pod failed with exit code {code}; retry {workload.failures} of {limit} in {pause:g} s"
        )
        lifecycle.note(workload, "BackOff", message, now, workload.live_pods[0], bad=True)
        self._clear(workload, "Failed", now)
        self._enter(workload, phases.PENDING, message, now)

    def _end(self, workload: EmulatedWorkload, phase: str, message: str, now: float) -> None:
        self._clear(workload, "Succeeded" if phase == phases.COMPLETED else "Failed", now)
        bad = phase == phases.FAILED
        lifecycle.note(
            workload, "BackoffLimitExceeded" if bad else "Completed", message, now, bad=bad
        )
        workload.departure = None
        self._enter(workload, phase, message, now)

    def _clear(self, workload: EmulatedWorkload, pods: str, now: float) -> None:
        """End whatever still runs of an incarnation, and wipe its local disk."""
        self._runtime(workload).kill(workload, now)
        self._runtime(workload).discard(workload)
        lifecycle.pods_end(workload, pods, now)

    # -- leaving
    # ------------------------------------------------------------------------------------------

    def _depart(
        self, workload: EmulatedWorkload, why: str, next_phase: str, message: str, now: float
    ) -> None:
        shown = {"deleted": phases.DELETING, "suspended": phases.STOPPING}.get(
            why, phases.TERMINATING
        )
        departure = Departure(why, next_phase, message, now + self._grace(workload))
        if why == "deleted" and workload.phase in phases.ENDED:
            departure.next_phase = workload.phase
        lifecycle.depart(workload, shown, departure, now)
        self._runtime(workload).terminate(workload, now)
        self.changed(workload)

    def _leave(self, workload: EmulatedWorkload, now: float) -> None:
        departure = workload.departure
        assert departure is not None
        exits = self._runtime(workload).exits(workload, now)
        if workload.desired == "Deleted" and departure.why != "deleted":
            departure.why, departure.next_phase = "deleted", phases.DELETING
            self._enter(workload, phases.DELETING, "Deleted by the user", now)
        if any(code is None for code in exits):
            if now >= departure.deadline and not departure.killed:
                departure.killed = True
                self._runtime(workload).kill(workload, now)
            return
        lifecycle.exited(workload, exits)
        by_platform = departure.why in ("preempted", "restart")
        if by_platform and exits and not departure.killed and all(code == 0 for code in exits):
            self._end(
                workload,
                phases.COMPLETED,
                "Completed while it was being stopped by the platform",
                now,
            )
            return
        self._runtime(workload).discard(workload)
        self._departed(workload, now)

    def _departed(self, workload: EmulatedWorkload, now: float) -> None:
        """All pods are gone: go on to what the departure was for."""
        departure, workload.departure = workload.departure, None
        assert departure is not None
        lifecycle.pods_end(workload, "Deleted", now)
        if departure.why == "deleted":
            # The deleted list shows an end that was reached before; other phases have become
            # meaningless.
            workload.deleted_at = now
            workload.phase = departure.next_phase
        elif departure.why == "suspended":
            self._enter(workload, phases.STOPPED, "Suspended by the user", now)
        elif departure.why == "preempted" and workload.spec.get("terminateAfterPreemption"):
            self._end(
                workload,
                phases.FAILED,
                f"{departure.message} (terminateAfterPreemption is set)",
                now,
            )
        else:
            self._enter(workload, phases.PENDING, f"Queued again. {departure.message}", now)
        self.changed(workload)

    def _grace(self, workload: EmulatedWorkload) -> float:
        asked = workload.spec.get("terminationGracePeriodSeconds")
        grace = DEFAULT_GRACE if asked is None else float(asked)
        return grace if self.settings.grace is None else min(grace, self.settings.grace)

    def _enter(self, workload: EmulatedWorkload, phase: str, message: str, now: float) -> None:
        lifecycle.enter(workload, phase, message, now)
        self.changed(workload)

    # -- time and room
    # ------------------------------------------------------------------------------------

    def _ready_at(self, workload: EmulatedWorkload) -> float:
        return workload.phase_at + self.settings.initializing_seconds

    def _scripted_preemption(self, workload: EmulatedWorkload) -> float | None:
        scenario = self.scripted.scenario(workload.name)
        every = scenario.preempt_every if scenario else None
        return workload.phase_at + every if every and workload.phase == phases.RUNNING else None

    def _due(self, workload: EmulatedWorkload) -> float | None:
        if workload.departure is not None:
            ends = self._runtime(workload).due(workload)
            return min(workload.departure.deadline, workload.phase_at if ends is None else ends)
        if workload.phase == phases.PENDING and workload.desired == "Running":
            return workload.not_before or None
        if workload.phase == phases.RUNNING and workload.desired == "Running":
            ends, preemption = (
                self._runtime(workload).due(workload),
                self._scripted_preemption(workload),
            )
            return min((at for at in (ends, preemption) if at is not None), default=None)
        return self._ready_at(workload)

    def _schedule(self, cluster: EmulatedCluster, now: float) -> None:
        mine = [w for w in self._active() if w.cluster_id == cluster.id]
        queues = [
            project.queue for project in self.world.projects if project.cluster_id == cluster.id
        ]
        for decision in scheduler.schedule(cluster.nodes, queues, self._jobs(mine)):
            workload = self.world.workloads[decision.job]
            if isinstance(decision, scheduler.Assign):
                workload.claims = False
                lifecycle.place(workload, decision.slots, now)
                self._store.touch(workload)
            elif isinstance(decision, scheduler.Evict):
                workload.claims = decision.claims
                self.preempt(workload, decision.message, now)
            else:
                workload.claims = decision.claims
                lifecycle.explain(workload, decision.reason, decision.message)

    def _jobs(self, workloads: Iterable[EmulatedWorkload]) -> Iterable[scheduler.Job]:
        for workload in workloads:
            waits = (
                workload.phase == phases.PENDING
                and not workload.not_before
                and workload.desired == "Running"
            )
            if not waits and not workload.live_pods:
                continue
            yield scheduler.Job(
                id=workload.id,
                name=workload.name,
                project=self.world.project_of(workload).name,
                pods=workload.gpu_demand,
                priority=workload.priority,
                preemptible=workload.preemptible,
                submitted=workload.created_at,
                placed=tuple(pod.slot for pod in workload.live_pods),
                leaving=workload.departure is not None,
                avoid=frozenset(workload.last_nodes),
                claims=workload.claims and workload.desired == "Running",
            )


def _at_rest(workload: EmulatedWorkload) -> bool:
    """Whether nothing will happen to a workload unless somebody asks for it."""
    if workload.departure is not None or workload.desired == "Deleted":
        return False
    return workload.phase in phases.ENDED or (
        workload.phase == phases.STOPPED and workload.desired == "Stopped"
    )
