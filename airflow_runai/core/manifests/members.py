"""The members of a distributed training: a master, and workers that it may differ from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from airflow_runai.core.fields import declared, read
from airflow_runai.core.spec import WorkloadSpec

T = TypeVar("T")

MASTER, WORKER = MEMBERS = ("master", "worker")


class GangMember(NamedTuple):
    """
    Pods that are alike.

    :param place: where an author says how they are.
    """

    name: str
    pods: int
    spec: WorkloadSpec
    place: str


def members(spec: WorkloadSpec) -> Iterator[GangMember]:
    """Yield the members; of a training that is not distributed its only one."""
    if spec.distributed is None:
        yield GangMember("main", 1, spec, "spec")
        return
    source = spec.distributed.master
    own = read(WorkloadSpec, source or {}, "", [])
    place = "spec" if source is None else "spec.distributed.master"
    yield GangMember(MASTER, 1, _overlaid(_without_gpus(spec, own), own), place)
    yield GangMember(WORKER, spec.distributed.workers or 1, spec, "spec")


def _without_gpus(worker: WorkloadSpec, master: WorkloadSpec) -> WorkloadSpec:
    # The master's answer is the whole answer: its devices would contradict a worker's share.
    if not (worker.compute and master.compute and master.compute.asks_for_gpus):
        return worker
    gpus = {name: None for name in declared(type(worker.compute)) if name.startswith("gpu")}
    return replace(worker, compute=replace(worker.compute, **gpus))


def _overlaid(base: T, over: T) -> T:
    """Return a part of a specification with what another one says."""
    values: dict[str, Any] = {
        name: _value(getattr(base, name), getattr(over, name))
        for name in declared(type(base))
        if getattr(over, name) is not None
    }
    return replace(base, **values)  # type: ignore[type-var]


def _value(base: Any, over: Any) -> Any:
    if base is not None and hasattr(over, "__dataclass_fields__"):
        return _overlaid(base, over)
    return {**(base or {}), **over} if isinstance(over, dict) else over
