"""
People, node drains, outages: whatever acts on Airflow or on Run:ai by itself, each at its cue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from tests.simulation.airflow import SCHEDULER, Airflow, TaskInstance
from tests.simulation.history import Act, Life
from tests.simulation.process import ASIDE
from tests.simulation.story import Fact
from tests.simulation.wire import Wire
from tests.simulation.world import World

#: Seconds after which a control plane that was restored from a backup has learned from its clusters
#: what it forgot.
RESYNC = 180.0


@dataclass(eq=False)
class People:
    """Carries out the acts of a history."""

    airflow: Airflow
    world: World
    wire: Wire
    ti: TaskInstance
    acts: tuple[Act, ...]
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = len(self.acts)
        self._seen: dict[str, int] = {}
        self.world.story.watchers.append(self._watch)
        self._at_cue("begin")

    def _watch(self, fact: Fact) -> None:
        if fact.kind == "phase":
            self._at_cue(fact.phase)
        elif fact.who in ASIDE:
            return
        elif fact.who == self.ti.task_id or fact.kind in (
            "created",
            "cleared",
            "marked",
            "fired",
            "died",
            "request",
        ):
            self._at_cue(fact.kind)

    def _at_cue(self, event: str) -> None:
        self._seen[event] = nth = self._seen.get(event, 0) + 1
        for act in self.acts:
            if act.cue.event == event and act.cue.nth == nth:
                self.airflow.later(act.cue.seconds, partial(self._do, act))

    def _do(self, act: Act) -> None:
        self.world.story.note(
            "act", "somebody", what=act.what, seconds=act.seconds, detail=act.detail
        )
        self._deeds()[act.what](act)

    def _deeds(self) -> dict[str, Callable[[Act], object]]:
        return {
            "clear": lambda act: self.airflow.clear(self.ti),
            "mark": lambda act: self.airflow.mark(self.ti, act.detail or "failed"),
            "time out": lambda act: self.airflow.mark(self.ti, "skipped", SCHEDULER),
            "mark the run": lambda act: self.airflow.mark_run(self.ti.run_id),
            "API server dies": lambda act: self.airflow.api_server.restart(),
            "worker dies": lambda act: self._worker_dies(),
            "worker is forgotten": lambda act: self._worker_forgotten(act.seconds),
            "drain": lambda act: self._drain(),
            "triggerer dies": lambda act: self.airflow.triggerers.crash(act.seconds),
            "take-over": lambda act: self.airflow.triggerers.take_over(act.seconds),
            "outage": self._outage,
            "hide": lambda act: self._hide(act.seconds, 0.0),
            "restore": lambda act: self._hide(RESYNC, self.airflow.loop.time() - act.seconds),
            "copy": lambda act: self._copy(),
            "suspend": lambda act: self._steer(self.world.suspend),
            "resume": lambda act: self._steer(self.world.resume),
            "delete": lambda act: self._steer(self.world.delete),
            "rename": lambda act: setattr(self.ti, "slug", act.detail or "other"),
            "retries": lambda act: setattr(
                self.ti, "task", replace(self.ti.task, retries=int(act.seconds))
            ),
            "delete the run": lambda act: self._run_again(),
            "delete the run for good": lambda act: self._run_goes(),
        }

    def _steer(self, call: Callable[..., object]) -> None:
        mine = [w for w in self.world.workloads if w.task]
        if mine:
            call(mine[-1], "a person")

    def _worker_dies(self) -> None:
        if self.ti.worker is not None:
            self.ti.worker.process.die()

    def _worker_forgotten(self, seconds: float) -> None:
        worker = self.ti.worker
        if worker is not None:
            worker.forget()
            self.airflow.later(seconds, worker.process.die)

    def _drain(self) -> None:
        if self.ti.worker is not None:
            self.ti.worker.terminate()

    def _outage(self, act: Act) -> None:
        self.wire.begin_outage(act.detail or "503 before", act.seconds)

    def _hide(self, seconds: float, since: float) -> None:
        for workload in self.world.workloads:
            if workload.created >= since:
                workload.hidden_until = self.airflow.loop.time() + seconds

    def _copy(self) -> None:
        """Submit by hand what looks like one of ours."""
        for workload in [w for w in self.world.workloads if w.task][-1:]:
            self.world.create(f"{workload.name}-copy", {}, "a person", Life())

    def _run_again(self) -> None:
        """Delete the run; the scheduler makes it again with the same ids, and nothing is left of the first one."""
        ti = self.ti
        if ti.state in ("running", "restarting", "removed"):
            return
        if ti.row is not None:
            row, ti.row = ti.row, None
            self.airflow.triggerers.cancel(row)
        self.world.story.note("run deleted", "a person", ti=ti.task_id)
        ti.store.clear()
        ti.xcoms.clear()
        ti.event, ti.has_begun = None, False
        ti.try_number, ti.max_tries, ti.life = 0, ti.task.retries, ti.life + 1
        self.airflow.become(ti, None, "the run was made again")

    def _run_goes(self) -> None:
        if self.ti.state != "removed":
            self.airflow.forget(self.ti)
