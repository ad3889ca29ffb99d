"""One simulation: builds the parts, plays a history, and returns what happened."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import structlog

from tests.simulation import comms, wire
from tests.simulation.airflow import Airflow, Deaf, Hearing, TaskInstance
from tests.simulation.clock import CLOCK, VirtualLoop, virtual_time
from tests.simulation.history import History, Life, Task
from tests.simulation.people import People
from tests.simulation.process import API_SERVER, REAPER, Process, adopt_tasks, here
from tests.simulation.reaper import Reaper
from tests.simulation.server import Server
from tests.simulation.story import Fact, Story
from tests.simulation.triggerer import Triggerers
from tests.simulation.worker import Worker, control_plane
from tests.simulation.world import Workload, World

#: After this many seconds a task that has not ended hangs.
HORIZON = 6 * 3600.0

STRANGER = "stranger"
CONFIGURATION = {
    "AIRFLOW__RUNAI__POLL_INTERVAL": "30",
    "AIRFLOW__RUNAI__MIN_DEFER_SECONDS": "10",
    "AIRFLOW__RUNAI__INSTANCE_NAME": "simulated",
}


@dataclass(eq=False)
class Played:
    """
    What came of a history, as seen from one of its tasks.

    :param judged_at: when the reaper had had its rounds after the last event; ``None`` if it never
        came to that.
    """

    history: History
    story: Story
    world: World
    ti: TaskInstance
    beside: tuple[TaskInstance, ...]
    requests: int
    requests_aside: int
    judged_at: float | None

    @property
    def forbidden(self) -> tuple[str, ...]:
        """The rights that ours never have."""
        return self.history.cluster.forbidden if self.history.cluster else ()

    @property
    def mine(self) -> list[Workload]:
        """The workloads that the task has made."""
        return [
            w
            for w in self.world.workloads
            if w.task == (self.ti.dag_id, self.ti.run_id, self.ti.task_id)
        ]

    @property
    def views(self) -> list[Played]:
        """The same as seen from each of the tasks."""
        return [replace(self, ti=ti) for ti in (self.ti, *self.beside)]

    def facts(self, kind: str, **about: Any) -> Iterator[Fact]:
        """Tell the facts of a kind about the task."""
        return self.story.of(kind, ti=self.ti.task_id, **about)


class Simulation:
    """All parts of one simulation."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.loop = VirtualLoop()
        self.story = Story(self.loop)
        chance = random.Random(history.chance)
        self.processes: list[Process] = []
        self.aside: list[Process] = []
        self.errors: list[dict[str, Any]] = []
        aside = random.Random(history.chance + 2)
        own = random.Random(history.chance + 1)
        place = (self.loop, self.story, history.platform, history.lives, own)
        self.world: World
        self.wire: wire.Wire
        if history.cluster is None:
            self.world = World(*place)
            self.wire = wire.Wire(self.loop, Server(self.world), self.story, chance, aside)
            connection, self._people = control_plane, People
        else:
            # Imported here: what this one is compared with brings no model of Kubernetes.
            from tests.simulation import kubernetes

            self.world, self.wire = kubernetes.built(history.cluster, *place, chance, aside)
            connection, self._people = kubernetes.connection, kubernetes.ClusterPeople
        self.airflow = Airflow(
            self.loop, self.story, history.machinery, chance, self._new_process, connection
        )
        self.airflow.run_worker = lambda ti, event: Worker.start(self.airflow, ti, event)
        self.ti = TaskInstance("dag", "run-1", "train", history.task)
        self.judged_at: float | None = None
        self.beside = tuple(_neighbour(number) for number in range(history.neighbours))

    def _new_process(self, kind: str, skew: float) -> Process:
        number = len(self.processes) + 1
        troubles = {t.step: t.kind for t in self.history.troubles if t.process == number}
        process = Process(f"{kind}-{number}", number, self.loop, skew, troubles)
        self.processes.append(process)
        return process

    def _new_aside(self, kind: str) -> Process:
        process = Process(kind, 0, self.loop)
        self.aside.append(process)
        return process

    def play(self) -> Played:
        """Play the history to its end."""
        was = random.getstate()
        random.seed(self.history.chance)
        comms.COMMS.airflow = self.airflow
        self.loop.set_task_factory(adopt_tasks)
        self.loop.set_exception_handler(lambda loop, about: self.errors.append(about))
        try:
            with _installed(self):
                self.loop.run_until_complete(self._whole())
        finally:
            self.loop.close()
            random.setstate(was)
        if self.errors:
            raise RuntimeError(
                f"the simulation itself is broken: {self.errors[0]}"
            ) from self.errors[0].get("exception")
        counted = (self.wire.requests, self.wire.requests_aside)
        return Played(
            self.history, self.story, self.world, self.ti, self.beside, *counted, self.judged_at
        )

    async def _whole(self) -> None:
        self.airflow.triggerers = Triggerers(self.airflow)
        self.airflow.api_server = _api_server(self.airflow, partial(self._new_aside, API_SERVER))
        self.reaper = Reaper(self.airflow, partial(self._new_aside, REAPER))
        self._people(self.airflow, self.world, self.wire, self.ti, self.history.acts)
        for ti in (self.ti, *self.beside):
            self.airflow.add(ti)
        self.world.create(STRANGER, {}, "a person", Life())
        await self._until_it_ends()
        self.story.note("the end", "nobody", state=self.ti.state)
        for process in (*self.processes, *self.aside):
            process.on_death = lambda: None
            process.die()
        while left := [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
            await asyncio.wait(left)

    async def _until_it_ends(self) -> None:
        """Wait until all tasks have ended, the control plane tells of all that there is, and the reaper has come."""
        quiet_since = 0.0
        while self.loop.time() < HORIZON and self.judged_at is None:
            seen = self.ti.since
            await asyncio.sleep(60.0)
            open_ones = [ti for ti in (self.ti, *self.beside) if not ti.is_finished]
            if open_ones or self.ti.since != seen or self.loop.time() < self._blind_until():
                quiet_since = self.loop.time()
            self.judged_at = self.reaper.end_after(quiet_since)

    def _blind_until(self) -> float:
        return max(self.wire.outage_until, *(w.hidden_until for w in self.world.workloads))


def _api_server(airflow: Airflow, new_process: Callable[[], Process]) -> Hearing:
    if find_spec("airflow_runai.listeners") is None:
        return Deaf()
    # Imported here: not every package with which this one is compared has a listener.
    from tests.simulation.api_server import ApiServer

    return ApiServer(airflow, new_process)


def _neighbour(number: int) -> TaskInstance:
    task = Task(retries=3, retry_delay=30.0)
    return TaskInstance(
        "dag", "run-1", f"beside-{number}", task, "beside", sensor_of="" if number else STRANGER
    )


@contextmanager
def _installed(simulation: Simulation) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(_configuration())
        stack.enter_context(virtual_time())
        stack.enter_context(wire.installed(lambda process: simulation.wire))
        stack.enter_context(comms.installed())
        stack.enter_context(_logs(simulation.story))
        yield


@contextmanager
def _configuration() -> Iterator[None]:
    """Let Airflow's configuration be that of the simulation, whatever other tests have set."""
    was = {name: os.environ.get(name) for name in CONFIGURATION}
    os.environ.update(CONFIGURATION)
    try:
        yield
    finally:
        for name, value in was.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


class _Listener(logging.Handler):
    """Writes what the package logs into the story of the process that says it."""

    def __init__(self, story: Story) -> None:
        super().__init__()
        self.story = story

    def emit(self, record: logging.LogRecord) -> None:
        _said(self.story, record.getMessage())


def _said(story: Story, words: str) -> None:
    process = here()
    if CLOCK.get() is not None and process is not None and "specification: {" not in words:
        story.note("says", process.name, words=words)


@contextmanager
def _logs(story: Story) -> Iterator[None]:
    """Let all that is logged go into the story."""
    package, listener = logging.getLogger("airflow_runai"), _Listener(story)
    was, level, spreads = structlog.get_config(), package.level, package.propagate

    def tell(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        words, given = event.get("event", ""), event.get("positional_args", ())
        _said(story, str(words) % given if given else str(words))
        raise structlog.DropEvent

    structlog.configure(processors=[tell], cache_logger_on_first_use=False)
    package.addHandler(listener)
    package.setLevel(logging.INFO)
    package.propagate = False
    try:
        yield
    finally:
        package.removeHandler(listener)
        package.setLevel(level)
        package.propagate = spreads
        structlog.configure(**was)


def play(history: History) -> Played:
    """Play a history."""
    return Simulation(history).play()
