"""
Workloads without a process: they follow a scenario, by the emulator's clock.

With a stepped clock a week of preemptions takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from airflow_runai.emulator.records import EmulatedWorkload

KILLED = 137
TERMINATED = 143


@dataclass(frozen=True)
class Scenario:
    """
    How a scripted workload behaves. All times are seconds of the emulator's clock.

    :param run_seconds: total work; None runs for ever.
    :param exit_code: exit code when the work is done.
    :param keeps_progress: an interrupted workload continues (else it starts again).
    :param checkpoint_seconds: progress is kept in whole multiples of this; 0 keeps every second.
    :param exits: special incarnations (counted from 1): ``{2: (30, 1)}`` lets the second one end
        after 30 s with 1.
    :param stop_seconds: time from SIGTERM to its end; longer than the grace period means SIGKILL.
    :param stop_exit_code: exit code after SIGTERM; 0 makes the workload Completed.
    :param preempt_every: seconds of running after which the platform preempts it; None for never.
    """

    run_seconds: float | None = 60.0
    exit_code: int = 0
    keeps_progress: bool = True
    checkpoint_seconds: float = 0.0
    exits: Mapping[int, tuple[float, int]] = field(default_factory=dict)
    stop_seconds: float = 0.0
    stop_exit_code: int = TERMINATED
    preempt_every: float | None = None


@dataclass
class _Incarnation:
    """One scripted incarnation: when it ends and how."""

    started_at: float
    ends_at: float | None
    exit_code: int

    def has_ended(self, now: float) -> bool:
        return self.ends_at is not None and self.ends_at <= now


class ScriptedRuntime:
    """
    Plays scenarios.

    :param scenarios: by prefix of the workload's name; the longest prefix wins.
    """

    def __init__(self, scenarios: Mapping[str, Scenario]) -> None:
        self._scenarios = dict(scenarios)
        self._found: dict[str, Scenario | None] = {}
        self._when_set: Callable[[], None] = lambda: None
        self._incarnations: dict[str, _Incarnation] = {}
        self._progress: dict[str, float] = {}

    def scenario(self, name: str) -> Scenario | None:
        """Find the scenario for a workload's name."""
        if name not in self._found:
            fitting = [prefix for prefix in self._scenarios if name.startswith(prefix)]
            self._found[name] = self._scenarios[max(fitting, key=len)] if fitting else None
        return self._found[name]

    def set(self, prefix: str, scenario: Scenario) -> None:
        """Add or change a scenario; incarnations that already run are not changed."""
        self._scenarios[prefix] = scenario
        self._found.clear()
        self._when_set()

    def when_set(self, act: Callable[[], None]) -> None:
        """Call this whenever a scenario is added or changed."""
        self._when_set = act

    def start(self, workload: EmulatedWorkload, now: float) -> None:
        """Begin an incarnation."""
        scenario = self.scenario(workload.name) or Scenario()
        # A special incarnation says for itself how long it takes; progress does not count.
        seconds = scenario.run_seconds
        code = scenario.exit_code
        if workload.incarnation in scenario.exits:
            seconds, code = scenario.exits[workload.incarnation]
        elif seconds is not None:
            seconds = max(0.0, seconds - self._progress.get(workload.id, 0.0))
        ends_at = None if seconds is None else now + seconds
        self._incarnations[workload.id] = _Incarnation(now, ends_at, code)

    def exits(self, workload: EmulatedWorkload, now: float) -> Sequence[int | None]:
        """Return the exit code of each pod; all pods end together."""
        incarnation = self._incarnations.get(workload.id)
        if incarnation is None:
            return []
        code = incarnation.exit_code if incarnation.has_ended(now) else None
        # At least one, for a workload whose pods have already been recorded as ended.
        return [code] * max(1, len(workload.live_pods))

    def complaint(self, workload: EmulatedWorkload) -> tuple[str, str] | None:
        """Return None: a scenario has no node."""
        return None

    def terminate(self, workload: EmulatedWorkload, now: float) -> None:
        """Let it end after ``stop_seconds``."""
        scenario = self.scenario(workload.name) or Scenario()
        self._cut(workload, now, now + scenario.stop_seconds, scenario.stop_exit_code)

    def kill(self, workload: EmulatedWorkload, now: float) -> None:
        """End at once."""
        self._cut(workload, now, now, KILLED)

    def discard(self, workload: EmulatedWorkload) -> None:
        """Forget the incarnation; progress stays, as it would in a checkpoint."""
        self._incarnations.pop(workload.id, None)

    def due(self, workload: EmulatedWorkload) -> float | None:
        """Return when the incarnation ends by itself."""
        incarnation = self._incarnations.get(workload.id)
        return incarnation.ends_at if incarnation else None

    def _cut(
        self,
        workload: EmulatedWorkload,
        now: float,
        ends_at: float,
        code: int,
    ) -> None:
        incarnation = self._incarnations.get(workload.id)
        # Who has ended cannot be stopped any more, and keeps its exit code.
        if incarnation is None or incarnation.has_ended(now):
            return
        # It may have been meant to run on for hours.
        incarnation.ends_at = ends_at
        incarnation.exit_code = code
        self._keep_progress(workload, now - incarnation.started_at)
        incarnation.started_at = now  # SIGKILL after SIGTERM must not count the progress twice

    def _keep_progress(self, workload: EmulatedWorkload, seconds: float) -> None:
        scenario = self.scenario(workload.name) or Scenario()
        if not scenario.keeps_progress:
            return
        done = self._progress.get(workload.id, 0.0) + seconds
        step = scenario.checkpoint_seconds
        # What was done since the last checkpoint is lost, as it would be for a real training.
        self._progress[workload.id] = done - done % step if step else done
