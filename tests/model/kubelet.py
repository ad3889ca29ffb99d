"""Runs pods: each lives as a script says, and hears SIGTERM when it is deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.model.clock import moment, timestamp
from tests.model.conditions import set_condition
from tests.model.deletion import Deletion
from tests.model.resources import PODS, Object
from tests.model.store import Change, Store

#: Seconds between the end of a container and the DELETE of its pod.
_GOODBYE = 0.3


@dataclass(frozen=True)
class Life:
    """
    What the container of one pod does.

    :param start: seconds from the binding to its start.
    :param run: seconds from there to its end.
    :param on_sigterm: seconds from SIGTERM to its end, and the exit code then; ``None`` ignores it.
    :param never: why it cannot start, as the container's waiting reason, and the message.
    """

    start: float = 0.4
    run: float = 5.0
    exit_code: int = 0
    reason: str = ""
    on_sigterm: tuple[float, int] | None = (0.0, 143)
    never: tuple[str, str] | None = None


class Kubelet:
    """
    The kubelets of all nodes.

    :param life_of: asked when a pod is bound.
    :param dead: nodes that are lost: nothing is told of their pods any more.
    """

    def __init__(self, store: Store, deletion: Deletion, life_of: Callable[[Object], Life]) -> None:
        self._store, self._deletion, self._life_of = store, deletion, life_of
        self._lives: dict[str, Life] = {}
        self._told_to_go: set[str] = set()
        self.dead: set[str] = set()
        store.listen(self._hear)

    def _hear(self, change: Change) -> None:
        pod = change.new
        if change.resource != PODS or pod is None or not pod["spec"].get("nodeName"):
            return
        uid = pod["metadata"]["uid"]
        if uid not in self._lives:
            self._lives[uid] = self._life_of(pod)
            self._after(0.0, pod, self._prepare)
        if "deletionTimestamp" in pod["metadata"] and uid not in self._told_to_go:
            self._told_to_go.add(uid)
            self._after(0.0, pod, self._stop)

    def _after(self, seconds: float, pod: Object, work: Callable[[Object, Life], None]) -> None:
        def due() -> None:
            metadata = pod["metadata"]
            now = self._store.find(PODS, metadata["namespace"], metadata["name"])
            is_it = now is not None and now["metadata"]["uid"] == metadata["uid"]
            if now is not None and is_it and now["spec"]["nodeName"] not in self.dead:
                work(now, self._lives[metadata["uid"]])

        self._store.clock.after(seconds, due)

    def _prepare(self, pod: Object, life: Life) -> None:
        reason, message = life.never or ("ContainerCreating", "")
        waiting = {"waiting": {"reason": reason, "message": message}}
        self._show(pod, "Pending", waiting, is_ready=False)
        if life.never is None:
            self._after(life.start, pod, self._start)

    def _start(self, pod: Object, life: Life) -> None:
        if pod["metadata"]["uid"] in self._told_to_go:
            return
        running = {"running": {"startedAt": timestamp(self._store.clock.now())}}
        self._show(pod, "Running", running, is_ready=True)
        self._after(life.run, pod, self._end_by_itself)

    def _end_by_itself(self, pod: Object, life: Life) -> None:
        self._end(pod, life.exit_code, life.reason)

    def _stop(self, pod: Object, life: Life) -> None:
        grace = pod["metadata"]["deletionGracePeriodSeconds"]
        if phase_of(pod) in ("Succeeded", "Failed"):
            self._after(_GOODBYE, pod, lambda one, _: self._deletion.end_grace(one))
            return
        seconds, code = life.on_sigterm or (float("inf"), 137)
        if seconds > grace:
            seconds, code = grace, 137
        if phase_of(pod) != "Running":
            seconds, code = 0.1, 137
        self._after(seconds, pod, lambda one, _: self._end(one, code, ""))

    def _end(self, pod: Object, code: int, reason: str) -> None:
        if phase_of(pod) in ("Succeeded", "Failed"):
            return
        state = {"exitCode": code, "reason": reason or ("Error" if code else "Completed")}
        status = (pod["status"].get("containerStatuses") or [{}])[0]
        started = (status.get("state") or {}).get("running")
        if started:
            ends = {"finishedAt": timestamp(self._store.clock.now())}
            state |= {"startedAt": started["startedAt"], **ends}
        shown = {"terminated": state} if started else dict(status.get("state") or {})
        self._show(pod, "Failed" if code else "Succeeded", shown, is_ready=False)
        if pod["metadata"]["uid"] in self._told_to_go:
            self._after(_GOODBYE, pod, lambda one, _: self._deletion.end_grace(one))

    def _show(self, pod: Object, phase: str, state: Object, *, is_ready: bool) -> None:
        now = self._store.clock.now()

        def edit(one: Object) -> None:
            status = one.setdefault("status", {})
            status |= {"phase": phase, "startTime": status.get("startTime") or timestamp(now)}
            name = one["spec"]["containers"][0]["name"]
            status["containerStatuses"] = [
                {"name": name, "ready": is_ready, "restartCount": 0, "state": state}
            ]
            set_condition(one, now, "PodScheduled", "")
            ready = "True" if is_ready else "False"
            set_condition(one, now, "Ready", "" if is_ready else "NotReady", "", ready)

        self._store.change(PODS, pod, edit)


def phase_of(pod: Object) -> str:
    """Return the phase of a pod."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def finished_at(pod: Object) -> float | None:
    """Return when the container of a pod ended; ``None`` if it never ran."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        ended = status["state"].get("terminated") or {}
        if "finishedAt" in ended:
            return moment(ended["finishedAt"])
    return None
