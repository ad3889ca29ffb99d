"""
Nodes, pods and Jobs of a list, decoded into the few fields that tell of GPUs.

A cluster may have ten thousand pods, of 4 kB each. Import it where a list is read, not where a DAG
is parsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from airflow_runai.backends.kubernetes.api.lists import walk
from airflow_runai.core.flow import Flow
from airflow_runai.core.kubernetes.gpus import gpus_in, gpus_of_pod
from airflow_runai.core.kubernetes.objects import at, conditions, holds, word

_ENDED = ("Succeeded", "Failed")
#: Pods by which KAI reserves a GPU for those that share it: they hold what others are counted for.
_RESERVATIONS = "gpu-reservation-"


class _Metadata(msgspec.Struct, gc=False):
    name: str = ""
    labels: Any = None
    annotations: Any = None


class _Container(msgspec.Struct, gc=False):
    resources: Any = None


class _PodSpec(msgspec.Struct, gc=False):
    nodeName: str = ""  # the server's names
    containers: list[_Container] = []
    initContainers: list[_Container] = []


class _Phase(msgspec.Struct, gc=False):
    phase: str = ""


class PodRow(msgspec.Struct, gc=False):
    """What a list says of a pod."""

    metadata: _Metadata
    spec: _PodSpec = msgspec.field(default_factory=_PodSpec)
    status: _Phase = msgspec.field(default_factory=_Phase)

    @property
    def node(self) -> str:
        """Where it holds its GPUs; empty while it waits, and when it has ended."""
        is_over = self.status.phase in _ENDED or self.metadata.name.startswith(_RESERVATIONS)
        return "" if is_over else self.spec.nodeName

    @property
    def gpus(self) -> float:
        """How many it asks for."""
        return gpus_of_pod(msgspec.to_builtins(self))

    def label(self, name: str) -> str:
        """Return the value of a label; empty if there is none."""
        return word(self.metadata.labels, name)


class _NodeSpec(msgspec.Struct, gc=False):
    unschedulable: bool = False


class NodeRow(msgspec.Struct, gc=False):
    """What a list says of a node."""

    metadata: _Metadata
    spec: _NodeSpec = msgspec.field(default_factory=_NodeSpec)
    status: Any = None

    @property
    def gpus(self) -> float:
        """How many it has for pods."""
        return gpus_in(at(self.status, "allocatable"))

    @property
    def takes_pods(self) -> bool:
        """Whether it is ready, and nobody has closed it."""
        ready = conditions({"status": self.status}).get("Ready")
        return holds(ready) and not self.spec.unschedulable


R = TypeVar("R", PodRow, NodeRow)
_PODS, _NODES = msgspec.json.Decoder(PodRow), msgspec.json.Decoder(NodeRow)


def read_pods(path: str, selector: Sequence[tuple[str, str]] = ()) -> Flow[list[PodRow]]:
    """Return the pods of a list; one that is odd counts for nothing."""
    return _read(path, selector, _PODS)


def read_nodes(path: str) -> Flow[list[NodeRow]]:
    """Return the nodes of a list; one that is odd counts for nothing."""
    return _read(path, (), _NODES)


def _read(
    path: str, selector: Sequence[tuple[str, str]], decoder: msgspec.json.Decoder[R]
) -> Flow[list[R]]:
    found: list[R] = []

    def take(items: Sequence[bytes]) -> Flow[None]:
        yield from ()
        for item in items:
            try:
                found.append(decoder.decode(item))
            except msgspec.DecodeError:
                continue

    yield from walk(path, selector, take)
    return found
