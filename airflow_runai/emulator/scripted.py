"""
Workloads without a process: they do what a scenario says, by whatever clock the emulator has.

With a stepped clock this lives through a week of preemptions in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from airflow_runai.emulator.records import EmulatedWorkload

__all__ = ["Scenario", "ScriptedRuntime"]

KILLED = 137
TERMINATED = 143


@dataclass(frozen=True)
class Scenario:
    """
    How a scripted workload behaves. All times are seconds of the emulator's clock.

    :param run_seconds: work to be done in all; None runs for ever.
    :param exit_code: exit code when the work is done.
    :param keeps_progress: an interrupted workload goes on where it was (else it starts again).
    :param checkpoint_seconds: progress is kept in whole multiples of this; 0 keeps every second.
    :param exits: special incarnations (counted from 1): ``{2: (30, 1)}`` lets the second one end
        after 30 s with 1.
    :param stop_seconds: how long it takes to end after SIGTERM; longer than the grace period means
        SIGKILL.
    :param stop_exit_code: exit code after SIGTERM; 0 makes the workload Completed.
    :param preempt_every: the platform preempts it after every so many seconds of running; None
        never.
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
class _Act:
    """One incarnation on stage."""

    started_at: float
    ends_at: float | None
    exit_code: int


class ScriptedRuntime:
    """
    Plays scenarios.

    :param scenarios: by prefix of the workload's name; the longest prefix wins.
    """

    def __init__(self, scenarios: Mapping[str, Scenario]) -> None:
        self._scenarios = dict(scenarios)
        self._acts: dict[str, _Act] = {}
        self._progress: dict[str, float] = {}

    def scenario(self, name: str) -> Scenario | None:
        """Find the scenario for a workload's name."""
        fitting = [prefix for prefix in self._scenarios if name.startswith(prefix)]
        return self._scenarios[max(fitting, key=len)] if fitting else None

    def set(self, prefix: str, scenario: Scenario) -> None:
        """Add or change a scenario; incarnations that already run are not changed."""
        self._scenarios[prefix] = scenario

    def start(self, workload: EmulatedWorkload, now: float) -> None:
        """Begin an incarnation."""
        scenario = self.scenario(workload.name) or Scenario()
        if workload.incarnation in scenario.exits:
            seconds, code = scenario.exits[workload.incarnation]
            self._acts[workload.id] = _Act(now, now + seconds, code)
        elif scenario.run_seconds is None:
            self._acts[workload.id] = _Act(now, None, scenario.exit_code)
        else:
            left = max(0.0, scenario.run_seconds - self._progress.get(workload.id, 0.0))
            self._acts[workload.id] = _Act(now, now + left, scenario.exit_code)

    def exits(self, workload: EmulatedWorkload, now: float) -> Sequence[int | None]:
        """Tell how each pod stands: they all end together."""
        act = self._acts.get(workload.id)
        if act is None:
            return []
        ended = act.ends_at is not None and act.ends_at <= now
        return [act.exit_code if ended else None] * max(1, len(workload.live_pods))

    def terminate(self, workload: EmulatedWorkload, now: float) -> None:
        """Ask to end; it takes ``stop_seconds``."""
        scenario = self.scenario(workload.name) or Scenario()
        self._cut(workload, now, now + scenario.stop_seconds, scenario.stop_exit_code)

    def kill(self, workload: EmulatedWorkload, now: float) -> None:
        """End at once."""
        self._cut(workload, now, now, KILLED)

    def discard(self, workload: EmulatedWorkload) -> None:
        """Forget the incarnation; progress stays, as it would in a checkpoint."""
        self._acts.pop(workload.id, None)

    def due(self, workload: EmulatedWorkload) -> float | None:
        """Tell when the incarnation ends by itself."""
        act = self._acts.get(workload.id)
        return act.ends_at if act else None

    def _cut(self, workload: EmulatedWorkload, now: float, ends_at: float, code: int) -> None:
        act = self._acts.get(workload.id)
        if act is None or (act.ends_at is not None and act.ends_at <= now):
            return
        act.ends_at, act.exit_code = ends_at, code
        self._keep_progress(workload, now - act.started_at)
        act.started_at = now

    def _keep_progress(self, workload: EmulatedWorkload, seconds: float) -> None:
        scenario = self.scenario(workload.name) or Scenario()
        if not scenario.keeps_progress:
            return
        done = self._progress.get(workload.id, 0.0) + seconds
        step = scenario.checkpoint_seconds
        self._progress[workload.id] = done - done % step if step else done
