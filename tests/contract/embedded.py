"""The world R: the embedded Run:ai on a stepped clock, spoken to with either driver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

import httpx

from airflow_runai.backends import clients, drivers
from airflow_runai.backends.runai import RunaiBackend
from airflow_runai.backends.server_clock import ServerClock
from airflow_runai.backends.tokens import Tokens
from airflow_runai.core.backend import Backend
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.flow import Flow, Notice
from airflow_runai.core.project import Project
from airflow_runai.core.workload import Workload
from airflow_runai.emulator import Emulator, Scenario
from tests.conftest import settings_for
from tests.contract.crowds import Crowd, Seen, ServedByLists, in_steps
from tests.contract.garbling import GarblingLine
from tests.contract.rig import Rig, Script, order
from tests.contract.world_time import WorldTime

T = TypeVar("T")
LIST = "/api/v1/workloads"
WORKLOADS = "/api/v1/workloads*"


class EmbeddedRig(Rig):
    """Its blocking driver; a sleep moves the emulator's clock."""

    knows = frozenset(
        {
            "policy",
            "durable",
            "image",
            "secret",
            "phases of tomorrow",
            "fields",
            "slow start",
            "reasons",
            "gangs",
            "gang scheduling",
            "past of the deleted",
        }
    )

    words = {
        "spent": "failed: Job has reached the specified backoff limit",
        "cut short": "exit code 0 after the platform had begun to take it away",
        "preempted": "Preempted",
        "share": '"gpuPortionRequest": 0.5',
    }

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.settings = settings_for(emulator)
        self.backend: Backend = RunaiBackend(self.settings)
        self.tokens = Tokens(self.settings.client_id, self.settings.client_secret)
        self.clock = ServerClock()
        self.told: list[Notice] = []
        self.asked: list[str] = []
        self.spoiled: list[str] = []
        self._agenda: list[tuple[float, Callable[[], object]]] = []

    def place(self) -> Project:
        return self.run(self.backend.find_project("team-a"))

    def run(self, flow: Flow[T]) -> T:
        authorized = self.tokens.authorized(flow)
        with clients.client(self.settings) as client:
            return drivers.run(authorized, client, self.told.append, self.pass_time, self.clock)

    def person(self, flow: Flow[T]) -> T:
        with clients.client(self.settings) as client:
            return drivers.run(self.tokens.authorized(flow), client)

    def pass_time(self, seconds: float) -> None:
        end = self.emulator.clock.now() + seconds
        while due := [one for one in self._agenda if one[0] <= end]:
            one = min(due, key=lambda planned: planned[0])
            self._agenda.remove(one)
            self.emulator.advance(max(0.0, one[0] - self.emulator.clock.now()))
            one[1]()
        self.emulator.advance(max(0.0, end - self.emulator.clock.now()))

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        self._agenda.append((self.emulator.clock.now() + seconds, act))

    def play(self, script: Script) -> None:
        scenario = Scenario(
            run_seconds=script.seconds,
            exit_code=script.exit_code,
            exits=script.exits,
            stop_seconds=script.stop_seconds,
            stop_exit_code=script.stop_exit_code,
        )
        self.emulator.plane.scripted.set("train", scenario)

    def rival(self, gpus: int) -> None:
        self.emulator.plane.scripted.set("rival", Scenario(run_seconds=None))
        theirs = self.run(self.backend.find_project("team-b"))
        spec = order(self, "rival", compute={"gpu_devices": gpus}, preemptibility="non-preemptible")
        self.run(self.backend.create(theirs, spec))

    def reclaim(self, name: str) -> None:
        assert self.emulator.preempt(name), f"{name} holds nothing"

    def evict_without_words(self, name: str) -> None:
        self.emulator.faults.add("unnamed_preemption", times=None)
        self.reclaim(name)

    def lose_reply(self, method: str = "POST") -> None:
        self.emulator.faults.add("lose_reply", method=method, path=WORKLOADS)

    def reset(self, method: str = "POST") -> None:
        self.emulator.faults.add("reset", method=method, path=WORKLOADS)

    def outage(self, seconds: float) -> None:
        self.emulator.faults.add("reset", path=WORKLOADS, times=None, lasts=seconds)

    def answer(
        self, status: int, times: int, *, html: bool = False, retry_after: float | None = None
    ) -> None:
        kind = "html" if html else "status"
        how = {"path": WORKLOADS, "status": status, "times": times, "retry_after": retry_after}
        self.emulator.faults.add(kind, **how)

    def fill(self, seconds: float) -> None:
        raise NotImplementedError("Run:ai has no quota of objects")

    def lose_node(self) -> None:
        raise NotImplementedError("the embedded Run:ai loses no nodes")

    def hide(self) -> None:
        raise NotImplementedError("Run:ai shows a workload whole, or not at all")

    def forbid(self, method: str) -> None:
        self.emulator.faults.add("status", method=method, path=WORKLOADS, status=403)

    def expire_credentials(self) -> None:
        self.emulator.plane.tokens.revoke()

    def be_newer(self) -> None:
        self.emulator.faults.add("future", path=WORKLOADS, times=None)

    @property
    def logins(self) -> int:
        return self.emulator.plane.tokens.issued

    def drop(self) -> None:
        self.emulator.faults.add("html", path=LIST, times=None, lasts=15.0)

    def forget(self) -> None:
        self.emulator.faults.add("stale_list", path=LIST, seconds=60.0, times=None, lasts=60.0)

    def spoil(self, name: str) -> None:
        self.spoiled.append(name)

    def restart(self) -> None:
        self.emulator.restart()

    def stored(self, name: str) -> str:
        found = self.emulator.workloads_named(name)
        specs = [
            {key: one.spec[key] for key in one.spec if key != "environmentVariables"}
            for one in found
        ]
        return json.dumps(specs) + repr([one.history for one in found])

    def names(self) -> list[str]:
        return [one.name for one in self.emulator.workloads_named("train")]

    def lives(self, name: str) -> bool:
        return any(one.live_pods for one in self.emulator.workloads_named(name))


class AwaitingRig(EmbeddedRig):
    """The same with the awaiting driver, and with crowds."""

    knows = EmbeddedRig.knows | {"crowds", "unreadable objects"}
    sight = 31.0  # two looks of a watcher

    def await_all(self, policy: WaitPolicy, workloads: Sequence[Workload]) -> list[Seen]:
        # In this process, so that no time passes while a request is under way.
        line = GarblingLine(self.emulator.plane, self.spoiled)
        client = httpx.AsyncClient(transport=line, base_url=self.emulator.url)
        clock = WorldTime(self.emulator.clock.now)
        crowd = Crowd(ServedByLists(self.tokens), client, clock, self.asked)
        return in_steps(lambda: crowd.outcomes(policy, workloads), self.pass_time)

    def run(self, flow: Flow[T]) -> T:
        async def tell(news: Notice) -> None:
            self.told.append(news)

        async def sleep(seconds: float) -> None:
            # What happens meanwhile talks to the platform, too, and blocks.
            await asyncio.to_thread(self.pass_time, seconds)

        async def main() -> T:
            async with clients.async_client(self.settings) as client:
                authorized = self.tokens.authorized(flow)
                return await drivers.arun(authorized, client, tell, sleep, self.clock)

        return asyncio.run(main())
