"""
One control plane: the world, the engine that moves it, tokens and faults.

Endpoints get this object. Requests, the ticking thread and tests that step the clock hold ``lock``
while they read or change the world.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from airflow_runai.emulator.clock import SteppedClock
from airflow_runai.emulator.engine import Engine
from airflow_runai.emulator.faults import Faults
from airflow_runai.emulator.processes import ProcessRuntime
from airflow_runai.emulator.records import EmulatedWorkload
from airflow_runai.emulator.scripted import ScriptedRuntime
from airflow_runai.emulator.settings import EmulatorSettings
from airflow_runai.emulator.store import Store
from airflow_runai.emulator.tokens import TokenIssuer
from airflow_runai.emulator.wire import Wire
from airflow_runai.emulator.world import World

RESTARTED = "The control plane restarted; the workload is queued again"
CLOSING = "The control plane is shutting down; the workload is queued again"


@dataclass(frozen=True)
class RecordedRequest:
    """A request that was answered; ``status`` is 0 if the answer was lost on purpose."""

    method: str
    path: str
    query: str
    status: int


class ControlPlane:
    """
    The parts of the emulator, put together.

    :param root: directory for logs, node disks and volumes; also for the state if
        ``settings.state`` is set.
    """

    def __init__(self, settings: EmulatorSettings, root: Path) -> None:
        self.settings = settings
        self.clock = settings.clock
        self.lock = threading.RLock()
        self.world = World(settings, self.clock.now())
        self.wire = Wire(self.world, settings.version)
        self.tokens = TokenIssuer(settings.client_id, settings.secret, settings.token_seconds)
        self.faults = Faults(self.clock.now)
        self._delayed: list[tuple[float, Callable[[], object]]] = []
        # Bounded, since an emulator may run for months.
        self.requests: deque[RecordedRequest] = deque(maxlen=20_000)
        self.processes = self._processes(root) if settings.runs_processes else None
        self.store = Store(settings.state)
        self.scripted = ScriptedRuntime(settings.scenarios)
        self.engine = Engine(self.world, settings, self.scripted, self.processes, self.store)
        self._recover()

    def tick(self) -> None:
        """Take one step at the present time."""
        with self.lock:
            # One instant for the whole step, or a slow step would tear its own events apart.
            now = self.clock.now()
            arrived = [act for at, act in self._delayed if at <= now]
            # Before they act: what arrives may itself be delayed again.
            self._delayed = [entry for entry in self._delayed if entry[0] > now]
            for act in arrived:
                act()
            self.engine.tick(now)

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something after this many seconds of the clock."""
        with self.lock:
            self._delayed.append((self.clock.now() + seconds, act))

    def advance(self, seconds: float) -> None:
        """
        Let time pass on a stepped clock, with a stop wherever something is due.

        :param seconds: 0 takes only the steps that are due now.
        :raises TypeError: the clock is real.
        """
        if not isinstance(self.clock, SteppedClock):
            raise TypeError(
                "advance: the clock is real; use EmulatorSettings(clock=SteppedClock())"
            )
        with self.lock:
            # The clock stands still during the first step, which does what is due at once.
            target = self.clock.now() + seconds
            self.tick()
            # Each stop may make something else due, also before the target.
            while (due := self._next_due()) is not None and due <= target:
                # At least a millisecond: steps that are due at once must not stop the clock.
                self.clock.move_to(max(due, self.clock.now() + 0.001))
                self.tick()
            self.clock.move_to(target)

    def _next_due(self) -> float | None:
        times = [self.engine.next_due(), *(at for at, _ in self._delayed)]
        return min((at for at in times if at is not None), default=None)

    def changed(self, workload: EmulatedWorkload) -> None:
        """Keep a change that a request made, before it is answered."""
        self.engine.changed(workload)
        # A client that got its answer must find its change again after a crash.
        self.store.save()

    def preempt(self, name: str, message: str = "Preempted: node maintenance") -> bool:
        """Preempt all workloads of this name as the platform does; False if none holds anything."""
        with self.lock:
            now = self.clock.now()
            same_name = [one for one in self.world.listed() if one.name == name]
            # A list, since each must be preempted, not only the first that can be.
            preempted = [self.engine.preempt(one, message, now) for one in same_name]
            return any(preempted)

    def hold_until(self, workload: EmulatedWorkload, moment: float) -> None:
        """
        Keep a workload that has no pods out of its queue until this moment.

        :param moment: epoch seconds; infinite to hold it until the next call.
        """
        with self.lock:
            workload.not_before = moment
            self.changed(workload)

    @property
    def busy(self) -> bool:
        """Whether any pod is alive."""
        with self.lock:
            return self.engine.busy

    def close(self) -> None:
        """Kill the processes that still run."""
        with self.lock:
            self.engine.requeue_all(CLOSING, self.clock.now())
            self.store.save()
            if self.processes:
                self.processes.close()

    def _processes(self, root: Path) -> ProcessRuntime:
        names = {project.id: project.name for project in self.world.projects}
        return ProcessRuntime(root, self.settings.volumes, names, self.settings.grace)

    def _recover(self) -> None:
        for workload in self.store.load():
            self.world.keep(workload)
        self.engine.requeue_all(RESTARTED, self.clock.now())
        self.store.save()
