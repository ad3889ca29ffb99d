"""What a scheduling cycle decides to do, in words of the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.rig.kai.snapshot import Group, Pod
from tests.rig.kai.words import Reason

__all__ = ["Action", "Bind", "Evict", "Explain", "MarkStale", "Pipeline", "Remark"]


@dataclass(frozen=True)
class Bind:
    """Start these pods of a group, each on its node."""

    group: Group
    places: tuple[tuple[Pod, str], ...]


@dataclass(frozen=True)
class Evict:
    """
    Stop these pods of a group.

    :param by: KAI's name of the action.
    :param messages: per uid of a pod.
    :param cause: the group that room is made for; None for a stale gang.
    :param count: pods that this action stops in all, of other groups too.
    """

    group: Group
    pods: tuple[Pod, ...]
    by: str
    messages: Mapping[str, str]
    cause: Group | None
    count: int


@dataclass(frozen=True)
class Pipeline:
    """Keep a pod for a node where room is being made."""

    pod: Pod
    node: str


@dataclass(frozen=True)
class Explain:
    """
    Tell why a group waits.

    :param pods: the text for each waiting pod.
    """

    group: Group
    reason: Reason
    pods: tuple[tuple[Pod, str], ...]


@dataclass(frozen=True)
class Remark:
    """Write an event on the group and do nothing else: ``NotReady`` or ``StaleJob``."""

    group: Group
    reason: str
    message: str


@dataclass(frozen=True)
class MarkStale:
    """Note on the group when it was first seen to be stale."""

    group: Group


Action = Bind | Evict | Pipeline | Explain | Remark | MarkStale
