"""
The life of one pod, as a loop: look at what is wanted and what is there, do the next step, report, wait.

Nothing is remembered that must survive this process; what looks the same after a restart is done the same.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.rig.kubelet import starting
from tests.rig.kubelet.containers import Container, Containers
from tests.rig.kubelet.environment import CannotStart
from tests.rig.kubelet.reporting import Reporter
from tests.rig.kubelet.statuses import TERMINAL, Ended, Report, Running, Waiting, lost, phase_of, status_of

__all__ = ["PodWorker"]

Object = dict[str, Any]
#: Until a container that could not start is tried again, and until the API server is asked again.
RETRY_SECONDS, RECONNECT_SECONDS = 3.0, 0.3
#: Wait before the second restart of a container; the first comes at once, each later one after twice as long.
BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 10.0, 300.0


class PodWorker:
    """
    Runs a pod until its object is gone.

    :param folder: the pod's own; it need not exist.
    :param ip: its address.
    :param current: returns the pod's object as it is now, None if it is gone.
    """

    def __init__(
        self, reporter: Reporter, folder: Path, ip: str, pod: Object, current: Callable[[], Object | None]
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
            except Exception as error:  # the next look may do better, and no other pod shall suffer
                self._complain(error)
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

    # -- to life ------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        if not self._folder.exists():
            self._report()  # a client sees that it is being created before it runs
        for spec in self._specs("initContainers"):
            self._step(spec)
            if _ends_badly(self._look(spec)):
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
            self._wait(name, before, CannotStart("RunContainerError", f"see shim.log in {container.folder}"))
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

    # -- to its end ---------------------------------------------------------------------------------------

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
        """Tell whether no container runs any more; the shortest grace is one second, as in a kubelet."""
        running = self._containers.running()
        if self._deadline == math.inf:
            for run in running:
                self._event("Normal", "Killing", f"Stopping container {run.name}")
                run.signal(signal.SIGTERM)
        self._deadline = min(self._deadline, time.time() + max(1.0, grace))
        if running and self._deadline <= time.time():
            self._killed = True
            self._containers.kill()
            return True
        if running:
            self._due.append(self._deadline)
        return not running

    # -- what to say --------------------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        """Whether the pod has ended, by our word or another's."""
        return any(status.get("phase") in TERMINAL for status in (self._was, self._pod["status"]))

    def _report(self, final: bool = False) -> None:
        """
        Patch the status, if there is anything new.

        :param final: whether nothing runs or will run any more. A deleted pod is Running until this is said.
        """
        first = [self._look(spec) for spec in self._specs("initContainers")]
        main = [self._look(spec) for spec in self._specs("containers")]
        phase = phase_of(self._pod["spec"]["restartPolicy"], first, main)
        if final:
            first, main = _closed(first), _closed(main)
            phase = phase_of("Never", first, main)
        elif phase in TERMINAL and "deletionTimestamp" in self._pod["metadata"]:
            phase = "Running"
        status = status_of(phase, first, main, self._was, self._ip)
        if status != self._said:
            self._was = self._reporter.status(self._pod, status)
            self._said = status_of(phase, first, main, self._was, self._ip)

    def _look(self, spec: Object) -> Report:
        """Tell how a container is, from what is on disk; what the API server knows better was lost."""
        name, image = spec["name"], spec.get("image", "")
        runs = self._containers.attempts(name)
        states = [state for run in runs[-2:] if isinstance(state := run.state(), (Running, Ended))]
        if not states and not runs and (identity := self._known(name)):
            states = [lost(identity)]
        last = states[-2] if len(states) > 1 else None
        restarts = max(0, len(runs) - 1)
        if not states:
            return Report(name, image, self._waiting(spec), restarts)
        state = states[-1]
        if isinstance(state, Ended) and self._restarts(spec, state.code):
            backing_off = Waiting("CrashLoopBackOff", f"back-off restarting failed container={name}")
            return Report(name, image, self._waiting(spec) if name in self._waits else backing_off, restarts, state)
        return Report(name, image, state, restarts, last if isinstance(last, Ended) else None)

    def _waiting(self, spec: Object) -> Waiting:
        if wait := self._waits.get(spec["name"]):
            return Waiting(wait.reason, wait.message)
        return Waiting("PodInitializing") if self._specs("initContainers") else Waiting()

    def _restarts(self, spec: Object, code: int) -> bool:
        policy, names = self._pod["spec"]["restartPolicy"], [one["name"] for one in self._specs("initContainers")]
        return policy != "Never" and (code != 0 or (policy == "Always" and spec["name"] not in names))

    def _known(self, name: str) -> str:
        statuses = [*(self._was.get("initContainerStatuses") or []), *(self._was.get("containerStatuses") or [])]
        return next((str(one.get("containerID", "")) for one in statuses if one["name"] == name), "")

    # -- small change -------------------------------------------------------------------------------------

    def _specs(self, kind: str) -> list[Object]:
        return self._pod["spec"].get(kind) or []

    def _read(self, plural: str, name: str) -> Mapping[str, Any] | None:
        return self._reporter.read(self._pod["metadata"]["namespace"], plural, name)

    def _complain(self, error: Exception) -> None:
        if not isinstance(error, httpx.TransportError):  # an API server may be away
            meta = self._pod["metadata"]
            print(f"pod {meta['namespace']}/{meta['name']}: {error!r}", file=sys.stderr, flush=True)

    def _event(self, kind: str, reason: str, message: str) -> None:
        self._reporter.event(self._pod, kind, reason, message)


def _ends_badly(report: Report) -> bool:
    """Tell whether an init container has not succeeded (yet)."""
    return not (isinstance(report.state, Ended) and report.state.code == 0)


def _again(report: Report) -> float:
    """Tell when an ended container may start again."""
    if not report.last or not report.restarts:
        return 0.0
    return report.last.finished + min(LONGEST_BACKOFF_SECONDS, BACKOFF_SECONDS * 2.0 ** (report.restarts - 1))


def _closed(reports: list[Report]) -> list[Report]:
    return [
        Report(one.name, one.image, one.last or lost(), one.restarts) if isinstance(one.state, Waiting) else one
        for one in reports
    ]
