"""A world in which the contract is played: a platform, and the hands that make things happen on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from airflow_runai.core.backend import Backend
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.flow import Flow, Notice
from airflow_runai.core.project import Project
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.submission_request import SubmissionRequest
from airflow_runai.core.workload import Workload
from tests.contract.crowds import Seen

T = TypeVar("T")
DIGEST = "0123456789"


@dataclass(frozen=True)
class Script:
    """
    What a training does. Times are seconds of the world's clock.

    :param seconds: of work; it is kept over interruptions. ``None``: it runs until it is ended.
    :param exit_code: when the work is done.
    :param exits: special incarnations, counted from 1: after how long, and with which code.
    :param stop_seconds: from the signal to its end; longer than its grace means that it is killed.
    :param stop_exit_code: after the signal.
    """

    seconds: float | None = 100.0
    exit_code: int = 0
    exits: Mapping[int, tuple[float, int]] = field(default_factory=dict)
    stop_seconds: float = 0.0
    stop_exit_code: int = 143


class Rig(Protocol):
    """
    One world, with a project in it that has a quota of two GPUs, on a cluster of four.

    :ivar knows: what the platform can do at all; a case that needs more is skipped by name.
    :ivar words: the platform's own, in which it says: ``spent`` (the whole reason of a failure with
        exit code 3 that no budget pays), ``cut short`` (no success in spite of exit code 0),
        ``preempted``, ``share`` (half a GPU, as the scheduler reads it).
    :ivar told: notices of the flows that were run.
    :ivar pace: seconds of the platform's time in one second of a case; below 1 where time is real.
    :ivar grain: seconds by which clocks may be off where time is real: the platform's own moments
        are whole seconds.
    :ivar sight: seconds of the platform's time within which a crowd sees an end.
    :ivar asked: the first lines of what crowds have asked.
    :ivar elapsed: seconds since the beginning where time is real: no clock can show more, however
        busy the machine is.
    """

    knows: frozenset[str]
    words: Mapping[str, str]
    pace: float = 1.0
    grain: float = 0.0
    sight: float = 0.0
    asked: list[str]

    @property
    def elapsed(self) -> float:
        return 0.0

    backend: Backend
    told: list[Notice]

    def place(self) -> Project:
        """Return the project."""

    def fields(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Return the specification of a training as it is run here; its times are scaled."""
        return dict(spec)

    def run(self, flow: Flow[T]) -> T:
        """Drive a flow; where it sleeps, the world's time passes."""

    def listen(self, flow: Flow[T]) -> T:
        """Drive a flow that follows a stream, and does not sleep while it does."""
        return self.run(flow)

    def person(self, flow: Flow[T]) -> T:
        """Drive a flow as somebody does beside it, at one moment."""

    def await_all(self, policy: WaitPolicy, workloads: Sequence[Workload]) -> list[Seen]:
        """Wait for several workloads at once, as one triggerer does; for who knows ``crowds``."""
        raise AssertionError("this world knows no crowds")

    def pass_time(self, seconds: float) -> None:
        """Let time pass; what was planned for it happens."""

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something in so many seconds, while a flow sleeps."""

    def play(self, script: Script) -> None:
        """Choose what trainings do that start from now on."""

    def rival(self, gpus: int) -> None:
        """Let another project take what it is owed; it keeps it."""

    def reclaim(self, name: str) -> None:
        """Let the platform preempt a workload, and say so."""

    def evict_without_words(self, name: str) -> None:
        """Let the platform take a workload away without a word of preemption."""

    def lose_reply(self, method: str = "POST") -> None:
        """Do what the next call of this method asks, and answer nothing."""

    def reset(self, method: str = "POST") -> None:
        """Do not let the next call of this method arrive."""

    def outage(self, seconds: float) -> None:
        """Answer nothing that can be trusted for so many seconds of the world's time."""

    def answer(
        self, status: int, times: int, *, html: bool = False, retry_after: float | None = None
    ) -> None:
        """Answer the next calls with this status, and do nothing."""

    def fill(self, seconds: float) -> None:
        """Let a quota leave no room for another training for so many seconds."""

    def lose_node(self) -> None:
        """Let the node be lost on which the trainings are; another one is there."""

    def hide(self) -> None:
        """Take the right to see more of a training than its own object."""

    def forbid(self, method: str) -> None:
        """Take the right for the next call of this method away."""

    def expire_credentials(self) -> None:
        """Accept the present credentials no longer; new ones can be had."""

    @property
    def logins(self) -> int:
        """Tell how often anybody has obtained credentials."""

    def drop(self) -> None:
        """Break off what crowds are just told: streams, or the next list."""

    def forget(self) -> None:
        """Let nobody go on from what the platform said before."""

    def spoil(self, name: str) -> None:
        """Show crowds one workload as nobody can read it, from now on."""

    def be_newer(self) -> None:
        """Be of a version that has phases and fields which nobody knows yet."""

    def restart(self) -> None:
        """Stop the platform's servers as in a crash, and start them again."""

    def names(self) -> list[str]:
        """Return the names of all trainings that the platform has ever made, oldest first."""

    def stored(self, name: str) -> str:
        """Return all that is stored of a workload, but for what its containers are given."""

    def lives(self, name: str) -> bool:
        """Tell whether a process of the workload may still write."""


#: Makes a world of one's own; the keywords are those of its maker.
MakeRig = Callable[..., Rig]


def name_of(generation: int = 1, digest: str = DIGEST) -> str:
    """Return a name as a task gives it to its workload."""
    return f"train-{digest}-g{generation}"


def order(rig: Rig, name: str = "", try_number: int = 1, **spec: Any) -> SubmissionRequest:
    """Return a request for a training on one GPU."""
    fields = rig.fields({"image": "train:1", "compute": {"gpu_devices": 1}, **spec})
    return SubmissionRequest(name or name_of(), WorkloadSpec.from_mapping(fields), try_number)
