"""What runs the trainings of a playground: the embedded Run:ai, or the Kubernetes of the tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

#: Starts a process of the playground: its name and its command.
Launch: TypeAlias = Callable[[str, Sequence[str]], None]
RUNAI, KUBERNETES = "runai", "kubernetes"


class NotReady(RuntimeError):
    """Something did not start, or did not happen, in time."""


class TrainingPlatform(Protocol):
    """
    A platform with the projects team-a and team-b, two GPUs of quota each, on two nodes.

    :ivar word: how the command line names it.
    :ivar title: what people call it.
    :ivar speaker: who says what happens there.
    """

    word: str
    title: str
    speaker: str

    @property
    def ports(self) -> Mapping[str, int]:
        """Ports that must be free, by what will listen there."""

    @property
    def place(self) -> str:
        """What people call it, and where they find it."""

    @property
    def connection(self) -> dict[str, Any]:
        """The Airflow connection that leads to it, without an id."""

    def prepare(self) -> None:
        """Make what it needs and this machine lacks; raises :class:`NotReady`."""

    def start(self, shared: Path, launch: Launch) -> None:
        """
        Start it.

        :param shared: the directory that containers see as ``/shared``.
        """

    def answers(self) -> bool:
        """Whether it has started."""

    @property
    def directions(self) -> str:
        """A line for people who look around."""

    def preempt(self) -> list[str]:
        """Take the GPUs away from all that runs; return what was done, a sentence each."""

    def detach(self) -> None:
        """Let it outlive this process."""

    def stop(self) -> None:
        """Stop what :meth:`start` started and did not launch; all of it may be gone already."""


def platform_named(word: str, root: Path, port: int = 0) -> TrainingPlatform:
    """
    Return a platform that keeps its files below ``root``.

    :param word: ``runai`` or ``kubernetes``.
    :param port: of the embedded Run:ai; 0 takes a free one.
    """
    if word == KUBERNETES:
        from demo.rig_kubernetes import RigKubernetes  # the rig is no matter of the other's

        return RigKubernetes(root / "kubernetes")
    from demo.embedded_runai import EmbeddedRunai

    return EmbeddedRunai(root / "runai", port)
