"""
A world whose time is real: a server that somebody else keeps, spoken to with the blocking driver.

A second of a case is a part of a second there (``pace``); what a case asserts of clocks is scaled
alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

import httpx

from airflow_runai.backends import drivers
from airflow_runai.core.backend import Backend
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.flow import Flow, Notice
from airflow_runai.core.project import Project
from airflow_runai.core.workload import Workload
from tests.contract.crowds import Crowd, Seen, beside
from tests.contract.line import FaultyLine
from tests.contract.rig import Rig
from tests.model.faults import Fault, broken, saying

T = TypeVar("T")
#: Seconds between two looks at what is planned.
BREATH = 0.2


class TooEarly(Exception):
    """An act must wait until it can be seen by those that wait."""


class RealTimeRig(Rig):
    """
    A world in real time.

    :param client: leads to the server; the world closes it.
    :param project: name of the project.
    """

    def __init__(self, client: httpx.Client, backend: Backend | Any, project: str) -> None:
        self.backend, self._project = backend, project
        self._open = ExitStack()
        self._client = self._open.enter_context(client)
        self._line = FaultyLine(self._client)
        self.told: list[Notice] = []
        self.asked: list[str] = []
        self._began = time.time()
        self._agenda: list[tuple[float, Callable[[], object]]] = []
        self._is_acting = False
        self._planned: list[Callable[[], object]] = []

    @property
    def elapsed(self) -> float:
        return time.time() - self._began

    def close(self) -> None:
        """End all that goes on."""
        self._open.close()

    def place(self) -> Project:
        found: Project = self.run(self.backend.find_project(self._project))
        return found

    def run(self, flow: Flow[T]) -> T:
        before = len(self._line.spoken)
        with httpx.Client(transport=self._line, base_url=self._client.base_url) as client:
            try:
                return drivers.run(self._authorized(flow), client, self.told.append, self._sleep)
            finally:
                if any(line.startswith("POST") for line in self._line.spoken[before:]):
                    self._settle()
                self._plan()

    def person(self, flow: Flow[T]) -> T:
        return drivers.run(self._authorized(flow), self._client)

    def await_all(self, policy: WaitPolicy, workloads: Sequence[Workload]) -> list[Seen]:
        crowd = self._crowd()
        return beside(lambda: crowd.outcomes(policy, workloads), lambda: self._sleep(BREATH))

    def _crowd(self) -> Crowd:
        """Return waits that reach the server over connections of their own."""
        raise NotImplementedError

    def listen(self, flow: Flow[T]) -> T:
        with ThreadPoolExecutor(1) as thread:
            listening = thread.submit(self.person, flow)
            while not listening.done():
                self._sleep(BREATH)
            return listening.result()

    def _authorized(self, flow: Flow[T]) -> Flow[T]:
        return flow

    def _settle(self) -> None:
        """Wait until all runs that can start at once."""

    def pass_time(self, seconds: float) -> None:
        self._sleep(seconds * self.pace)

    def _sleep(self, seconds: float) -> None:
        """Sleep, and do what is due; whoever sleeps has a look between two acts."""
        self._look_round()
        end = time.time() + seconds
        for one in sorted(self._agenda, key=lambda planned: planned[0])[:1]:
            if one[0] <= end:
                time.sleep(max(0.0, one[0] - time.time()))
                self._agenda.remove(one)
                self._act(one[1])
        time.sleep(max(0.0, end - time.time()))

    def _act(self, act: Callable[[], object]) -> None:
        self._is_acting = True
        try:
            act()
        except TooEarly:
            self._agenda.append((time.time(), act))
        finally:
            self._is_acting = False
            self._plan()

    def _look_round(self) -> None:
        """Take note of what whoever sleeps has seen."""

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        self._later(seconds, act)
        self._planned.append(act)
        self._plan()

    def _later(self, seconds: float, act: Callable[[], object]) -> None:
        self._agenda.append((time.time() + seconds * self.pace, act))

    def _plan(self) -> None:
        """Take note of what is still planned."""
        due = [act for _, act in self._agenda]
        self._planned = [act for act in self._planned if act in due]
        self._keep_busy(bool(self._planned))

    def _keep_busy(self, is_busy: bool) -> None:
        """Let no training complete as long as something is planned; a busy machine may be late."""

    def lose_reply(self, method: str = "POST") -> None:
        self._line.faults.append(Fault(broken, method, is_late=True))

    def reset(self, method: str = "POST") -> None:
        self._line.faults.append(Fault(broken, method))

    def outage(self, seconds: float) -> None:
        gone = Fault(broken, times=float("inf"))
        self._line.faults.append(gone)
        self._later(seconds, lambda: self._line.faults.remove(gone))

    def answer(
        self, status: int, times: int, *, html: bool = False, retry_after: float | None = None
    ) -> None:
        pause = None if retry_after is None else retry_after * self.pace
        self._line.faults.append(Fault(saying(status, html=html, retry_after=pause), "", times))

    def expire_credentials(self) -> None:
        self.answer(401, times=1)

    def spoil(self, name: str) -> None:
        raise NotImplementedError("nobody's hands reach what a real server says")

    def be_newer(self) -> None:
        self._line.is_newer = True
