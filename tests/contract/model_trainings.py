"""What the containers of trainings do on the model of Kubernetes."""

from __future__ import annotations

from collections import defaultdict

from tests.contract.pod_lines import PodLines
from tests.contract.rig import Script
from tests.model.clock import SteppedClock
from tests.model.kubelet import Life, phase_of
from tests.model.resources import JOBS, JOBSETS, PODS, Object
from tests.model.store import Change

JOB_NAME, INDEX = "batch.kubernetes.io/job-name", "batch.kubernetes.io/job-completion-index"


class Trainings:
    """What the containers do: the work of a training is kept over its interruptions."""

    def __init__(
        self,
        clock: SteppedClock,
        start: float,
        images: tuple[str, ...] | None,
        memory: float | None = None,
    ) -> None:
        self._clock, self._start, self._images, self._memory = clock, start, images, memory
        self.script = Script()
        self._done: defaultdict[str, float] = defaultdict(float)
        self._lives: defaultdict[str, int] = defaultdict(int)
        self._running: dict[str, float] = {}
        self._logs: dict[str, PodLines] = {}
        self.names: list[str] = []
        self.secrets: set[str] = set()

    def life_of(self, pod: Object) -> Life:
        """Return what a pod that was just placed will do."""
        if not pod["metadata"]["labels"].get(JOB_NAME, "").startswith("train"):
            return Life(run=float("inf"))
        image = pod["spec"]["containers"][0]["image"]
        if self._images is not None and image.split(":")[0] not in self._images:
            return Life(never=("ErrImagePull", f'Failed to pull image "{image}"'))
        if missing := _secrets(pod) - self.secrets:
            return Life(never=("CreateContainerConfigError", f'secret "{min(missing)}" not found'))
        key, script = _work(pod), self.script
        self._lives[key] += 1
        if self._memory is not None:
            return Life(self._start, self._memory, 137, "OOMKilled")
        stop = (script.stop_seconds, script.stop_exit_code)
        if own := script.exits.get(self._lives[key]):
            return Life(self._start, own[0], own[1], on_sigterm=stop)
        left = float("inf") if script.seconds is None else script.seconds - self._done[key]
        return Life(self._start, max(0.1, left), script.exit_code, on_sigterm=stop)

    def hear(self, change: Change) -> None:
        """Count how long a pod works: until it ends, or is told to."""
        if change.resource in (JOBS, JOBSETS) and change.old is None and change.new:
            metadata = change.new["metadata"]
            self.names += [] if metadata.get("ownerReferences") else [metadata["name"]]
        pod = change.new or change.old
        if change.resource != PODS or pod is None:
            return
        uid, now = pod["metadata"]["uid"], self._clock.now()
        is_over = change.new is None or "deletionTimestamp" in pod["metadata"]
        if phase_of(pod) == "Running" and not is_over:
            if uid not in self._running:
                self._running[uid] = now
                key, most = _work(pod), self.script.seconds or float("inf")
                first = f"life {self._lives[key]} {_token(pod)}"
                self._logs[uid] = PodLines(first, now, self._done[key], most)
        elif uid in self._running:
            self._done[_work(pod)] += now - self._running.pop(uid)
            self._logs[uid].until = now

    def log_of(self, pod: Object) -> str:
        """Return what a pod has said so far."""
        lines = self._logs.get(pod["metadata"]["uid"])
        return lines.text(self._clock.now()) if lines else ""

    def is_silent(self, pod: Object) -> bool:
        """Tell whether a pod says nothing any more."""
        lines = self._logs.get(pod["metadata"]["uid"])
        return lines is not None and lines.until is not None


def _work(pod: Object) -> str:
    labels = pod["metadata"]["labels"]
    return f"{labels.get(JOB_NAME)}/{labels.get(INDEX, '')}"


def _secrets(pod: Object) -> set[str]:
    variables = pod["spec"]["containers"][0].get("env") or ()
    sources = (one.get("valueFrom") or {} for one in variables)
    return {one["secretKeyRef"]["name"] for one in sources if "secretKeyRef" in one}


def _token(pod: Object) -> str:
    variables = pod["spec"]["containers"][0].get("env") or ()
    return next((one.get("value", "") for one in variables if one["name"] == "HUB_TOKEN"), "")
