"""A stage for waits: a workload that plays a known history, a driver that feeds replies by hand, and a fake clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from airflow_runai.core.flow import Flow, Notice, Reply, Request, Sleep, now
from airflow_runai.core.reader import WorkloadReader
from airflow_runai.core.timeline import Moment
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotFound, Unreachable

T = TypeVar("T")

#: 2026-01-01T00:00:00Z. Far from zero, as real moments are.
NOON = 1_767_225_600.0


@dataclass
class Hand:
    """
    Drives flows by hand.

    :param answer: answers requests; what it raises is thrown into the flow, as a driver does it.
    :param limit: a flow that takes more steps than this is taken for endless.
    """

    answer: Callable[[Request], Reply] | None = None
    now: float = NOON
    limit: int = 50_000
    told: list[Notice] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)

    def run(self, flow: Flow[T]) -> T:
        value = self.run_until(flow, float("inf"))
        assert value is not None or flow.gi_frame is None  # type: ignore[attr-defined]  # a generator has one
        return value  # type: ignore[return-value]  # None only where the flow returned it

    def run_until(self, flow: Flow[T], moment: float) -> T | None:
        """
        Drive until the clock passes ``moment``; then close the flow, as a stopped triggerer does.
        """
        try:
            step = next(flow)
            for _ in range(self.limit):
                if self.now > moment:
                    flow.close()
                    return None
                try:
                    reply = self._do(step)
                except Unreachable as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(reply)
        except StopIteration as end:
            value: T = end.value
            return value
        raise AssertionError(f"the flow is still going after {self.limit} steps; last: {step!r}")

    def _do(self, step: object) -> Reply:
        if isinstance(step, Request):
            self.asked.append(step)
            assert self.answer, f"nobody answers {step}"
            return self.answer(step)
        if isinstance(step, Notice):
            self.told.append(step)
        elif isinstance(step, Sleep) and step.seconds:
            self.slept.append(step.seconds)
            self.now += step.seconds
        return Reply(0, self.now)

    def texts(self, kind: str) -> list[str]:
        return [tell.text for tell in self.told if tell.kind == kind]


@dataclass
class Script:
    """
    What a control plane knows of one workload, as a function of time.

    :param acts: what really happens; the first one is the creation.
    :param keeps_history: whether the server has a history to read.
    :param says_when: whether readings carry ``phaseUpdatedAt``.
    :param troubles: (from, until, error): what reading raises meanwhile.
    :param history_troubles: the same for the history only.
    :param deleted_at: from then on it is among the deleted ones only.
    :param vanishes_at: from then on it is nowhere.
    """

    acts: Sequence[Moment]
    keeps_history: bool = True
    says_when: bool = True
    troubles: Sequence[tuple[float, float, Exception]] = ()
    history_troubles: Sequence[tuple[float, float, Exception]] = ()
    deleted_at: float = float("inf")
    vanishes_at: float = float("inf")
    looks: int = 0

    def workload(self, moment: float) -> Workload:
        act = [act for act in self.acts if act.at <= moment][-1]
        return Workload(
            id="w-1",
            name="train-0123456789-g1",
            phase=act.phase,
            message=act.message,
            created_at=self.acts[0].at,
            phase_updated_at=act.at if self.says_when else None,
        )

    @property
    def start(self) -> Workload:
        return self.workload(self.acts[0].at)

    def reader(self) -> WorkloadReader:
        return _ScriptReader(self)

    def _read(self, workload_id: str) -> Flow[Workload]:
        moment = yield from now()
        self.looks += 1
        _raise_if_due(self.troubles, moment)
        if moment >= min(self.deleted_at, self.vanishes_at):
            raise NotFound("no such workload", 404)
        return self.workload(moment)

    def _history(self, workload_id: str) -> Flow[tuple[Moment, ...]]:
        moment = yield from now()
        _raise_if_due(self.history_troubles, moment)
        return tuple(act for act in self.acts if act.at <= moment) if self.keeps_history else ()

    def _find_deleted(self, workload_id: str) -> Flow[Workload | None]:
        moment = yield from now()
        _raise_if_due(self.troubles, moment)
        if moment < self.deleted_at or moment >= self.vanishes_at:
            return None
        last = self.workload(min(moment, self.deleted_at))
        return replace(last, deleted=True)


@dataclass
class _ScriptReader(WorkloadReader):
    script: Script

    def read(self, workload_id: str) -> Flow[Workload]:
        return self.script._read(workload_id)

    def history(self, workload_id: str) -> Flow[tuple[Moment, ...]]:
        return self.script._history(workload_id)

    def find_deleted(self, workload_id: str) -> Flow[Workload | None]:
        return self.script._find_deleted(workload_id)


def _raise_if_due(troubles: Sequence[tuple[float, float, Exception]], moment: float) -> None:
    for since, until, error in troubles:
        if since <= moment < until:
            raise error


def acts(
    *steps: tuple[float, str] | tuple[float, str, str], begin: float = NOON
) -> tuple[Moment, ...]:
    """Write a history with seconds since its beginning."""
    return tuple(
        Moment(begin + step[0], step[1], step[2] if len(step) > 2 else "") for step in steps
    )
