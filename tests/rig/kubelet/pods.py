"""
The life of one pod, as a loop: look at what is wanted and what is there, do the next step, report, wait.

Nothing is remembered that must survive this process; what looks the same after a restart is done
the same.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx

from tests.rig.api import Object
from tests.rig.kubelet import starting
from tests.rig.kubelet.containers import Container, Containers
from tests.rig.kubelet.environment import CannotStart
from tests.rig.kubelet.reporting import Reporter
from tests.rig.kubelet.statuses import (
    TERMINAL,
    Ended,
    Report,
    Running,
    Waiting,
    lost,
    phase_of,
    status_of,
    succeeded,
)

__all__ = ["PodWorker"]

#: Until a container that could not start is tried again, and until the API server is asked again.
RETRY_SECONDS, RECONNECT_SECONDS = 3.0, 0.3
#: Wait before the second restart of a container; the first comes at once, each later one after
#: twice as long.
BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 10.0, 300.0


class PodWorker:
    """
    Runs a pod until its object is gone.

    :param folder: the pod's own; it need not exist.
    :param ip: its address.
    :param current: returns the pod's object as it is now, None if it is gone.
    """

    def __init__(
        self,
        reporter: Reporter,
        folder: Path,
        ip: str,
        pod: Object,
        current: Callable[[], Object | None],
    ) -> None:
        self._reporter, self._folder, self._ip, self._current = reporter, folder, ip, current
        self._containers = Containers(folder)
        self._pod, self._was = pod, pod.get("status") or {}
        self._wake = threading.Event()
        self._said: Object = {}
        self._due: list[float] = []
        self._waits: dict[str, CannotStart] = {}
        self._retries: dict[str, float] = {}
        self._watched: set[Path] = set()
        self._deadline = math.inf
        self._killed = False

    def wake(self) -> None:
        """Look again: something has changed."""
        self._wake.set()

    def run(self) -> None:
        """Live; returns when the pod is gone."""
        while True:
            self._wake.clear()
            self._due = []
            try:
                if self._sync():
                    return
            except httpx.TransportError:  # the API server may be away
                self._due.append(time.time() + RECONNECT_SECONDS)
            except Exception as error:  # no other pod shall suffer
                print(f"pod {self._folder.name}: {error!r}", file=sys.stderr, flush=True)
                self._due.append(time.time() + RECONNECT_SECONDS)
            self._wake.wait(max(0.0, min(self._due) - time.time()) if self._due else None)

    def _sync(self) -> bool:
        """Do the next step; tell whether it was the last."""
        seen = self._current()
        self._pod = seen or self._pod
        if seen is None:
            return self._vanish()
        if "deletionTimestamp" in seen["metadata"]:
            self._end()
        elif self._over:
            self._containers.kill()
        else:
            self._advance()
        return False

    # -- to life
    # ------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        if not self._folder.exists():
            self._report()  # a client sees that it is being created before it runs
        for spec in self._specs("initContainers"):
            self._step(spec)
            if not succeeded(self._look(spec)):
                break
        else:
            for spec in self._specs("containers"):
                self._step(spec)
        self._report()

    def _step(self, spec: Object) -> None:
        """Start a container, or start it again, if it is time; watch one that runs."""
        report, name = self._look(spec), spec["name"]
        if isinstance(report.state, Running):
            self._watch(self._containers.attempts(name)[-1])
        elif isinstance(report.state, Waiting):
            due = max(self._retries.get(name, 0.0), _again(report))
            if due <= time.time():
                self._start(spec)
            else:
                self._due.append(due)

    def _start(self, spec: Object) -> None:
        name = spec["name"]
        before = self._waits.get(name)
        try:
            starting.obey(self._pod, spec, before.reason if before else "")
            launch = starting.prepare(self._pod, spec, self._folder, self._ip, self._read)
        except CannotStart as why:
            self._wait(name, before, why)
            return
        container = self._containers.next(name)
        container.start(launch.command, launch.environment, launch.directory)
        state = container.state()
        if state is None:
            self._wait(
                name,
                before,
                CannotStart("RunContainerError", f"see shim.log in {container.folder}"),
            )
            return
        self._waits.pop(name, None)
        self._watch(container)
        if state.started:
            self._event("Normal", "Started", f"Started container {name}")

    def _wait(self, name: str, before: CannotStart | None, why: CannotStart) -> None:
        if why.event and (before is None or (before.event, before.words) != (why.event, why.words)):
            self._event("Warning", why.event, why.words)
        self._waits[name] = why
        self._retries[name] = time.time() + RETRY_SECONDS
        self._due.append(self._retries[name])

    def _watch(self, container: Container) -> None:
        """Wake up at its end; end it, if its memory is ordered to be too small."""
        if container.folder not in self._watched:
            self._watched.add(container.folder)
            threading.Thread(target=self._await, args=(container,), daemon=True).start()
        state, lasts = container.state(), starting.memory_lasts(self._pod)
        if lasts is None or not isinstance(state, Running):
            return
        if state.started + lasts <= time.time():
            container.kill_for_memory()
        else:
            self._due.append(state.started + lasts)

    def _await(self, container: Container) -> None:
        with contextlib.suppress(FileNotFoundError):
            container.wait()
        self.wake()

    # -- to its end
    # ---------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Take a deleted pod down: SIGTERM, its grace, SIGKILL; the final status; only then the object."""
        grace = self._pod["metadata"].get("deletionGracePeriodSeconds") or 0
        if not self._down(grace):
            self._report()
            return
        if not self._over:
            if not self._killed:
                self._report()
            self._report(final=True)
        if grace:
            self._reporter.remove(self._pod)

    def _vanish(self) -> bool:
        """Take a pod down whose object is gone."""
        gone = self._down(0)
        if gone:
            shutil.rmtree(self._folder, ignore_errors=True)
        return gone

    def _down(self, grace: float) -> bool:
        """
        Tell whether no container runs any more; the shortest grace is one second, as in a kubelet.
        """
        running = self._containers.running()
        if self._deadline == math.inf:
            for run in running:
                self._event("Normal", "Killing", f"Stopping container {run.name}")
                run.signal(signal.SIGTERM)
                self._watch(run)
        self._deadline = min(self._deadline, time.time() + max(1.0, grace))
        if running and self._deadline <= time.time():
            self._killed = True
            self._containers.kill()
            return True
        if running:
            self._due.append(self._deadline)
        return not running

    # -- what to say
    # --------------------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        """Whether the pod has ended, by our word or another's."""
        return any(status.get("phase") in TERMINAL for status in (self._was, self._pod["status"]))

    @property
    def _policy(self) -> str:
        """Whether containers start again; not in a pod that is deleted."""
        return (
            "Never"
            if "deletionTimestamp" in self._pod["metadata"]
            else str(self._pod["spec"]["restartPolicy"])
        )

    def _report(self, final: bool = False) -> None:
        """
        Patch the status, if there is anything new.

        :param final: whether nothing runs or will run any more. A deleted pod is Running until this
            is said.
        """
        first = [self._look(spec) for spec in self._specs("initContainers")]
        main = [self._look(spec) for spec in self._specs("containers")]
        if final:
            first, main = [_closed(one) for one in first], [_closed(one) for one in main]
        phase = phase_of(self._policy, first, main)
        if phase in TERMINAL and "deletionTimestamp" in self._pod["metadata"] and not final:
            phase = "Running"
        status = status_of(phase, first, main, self._was, self._ip)
        if status != self._said:
            self._was = self._reporter.status(self._pod, status)
            self._said = status_of(phase, first, main, self._was, self._ip)

    def _look(self, spec: Object) -> Report:
        """Tell how a container is: from what is on disk, and what the API server knows better was lost."""
        name, image = spec["name"], spec.get("image", "")
        runs = self._containers.attempts(name)
        restarts = max(0, len(runs) - 1)
        states = [state for run in runs[-2:] if (state := run.state())] or self._lost(name, runs)
        ended = [state for state in states if isinstance(state, Ended)]
        if not states:
            return Report(name, image, self._waiting(spec), restarts)
        if isinstance(states[-1], Ended) and self._restarts(spec, states[-1].code):
            return Report(name, image, self._waiting(spec), restarts, states[-1])
        return Report(name, image, states[-1], restarts, ended[0] if len(states) > 1 else None)

    def _lost(self, name: str, runs: list[Container]) -> list[Ended]:
        known = [
            *(self._was.get("initContainerStatuses") or []),
            *(self._was.get("containerStatuses") or []),
        ]
        identity = next((one.get("containerID") for one in known if one["name"] == name), None)
        return [lost(identity, time.time())] if identity and not runs else []

    def _waiting(self, spec: Object) -> Waiting:
        name = spec["name"]
        if wait := self._waits.get(name):
            return Waiting(wait.reason, wait.message)
        if self._containers.attempts(name):
            return Waiting("CrashLoopBackOff", f"back-off restarting failed container={name}")
        return Waiting("PodInitializing") if self._specs("initContainers") else Waiting()

    def _restarts(self, spec: Object, code: int) -> bool:
        always = self._policy == "Always" and spec not in self._specs("initContainers")
        return self._policy != "Never" and (code != 0 or always)

    # -- small change
    # -------------------------------------------------------------------------------------

    def _specs(self, kind: str) -> list[Object]:
        return self._pod["spec"].get(kind) or []

    def _read(self, plural: str, name: str) -> Object | None:
        return self._reporter.read(self._pod["metadata"]["namespace"], plural, name)

    def _event(self, kind: str, reason: str, message: str) -> None:
        self._reporter.event(self._pod, kind, reason, message)


def _again(report: Report) -> float:
    """Tell when an ended container may start again."""
    if not report.last or not report.restarts:
        return 0.0
    return report.last.finished + min(
        LONGEST_BACKOFF_SECONDS, BACKOFF_SECONDS * 2.0 ** (report.restarts - 1)
    )


def _closed(report: Report) -> Report:
    """Give up what still waits."""
    return (
        replace(report, state=lost("", time.time()))
        if isinstance(report.state, Waiting)
        else report
    )
