"""The pods of a workload, also those that are gone: on which nodes it ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from airflow_runai.backends.paging import read_all
from airflow_runai.backends.throttle import LOOK
from airflow_runai.core.flow import Flow


def pods_now(workload_id: str, rank: int = LOOK) -> Flow[list[Mapping[str, Any]]]:
    """Return the workload's present pods (node, phase, containers) as the server describes them."""
    return (yield from _pods(workload_id, [], rank))


def pods_gone(workload_id: str, rank: int = LOOK) -> Flow[list[Mapping[str, Any]]]:
    """Return the workload's pods that are gone, as far as the server lists them."""
    return (yield from _pods(workload_id, [("deleted", "true")], rank))


def pods_ever(workload_id: str) -> Flow[list[Mapping[str, Any]]]:
    """Return both."""
    gone = yield from pods_gone(workload_id)
    return [*gone, *(yield from pods_now(workload_id))]


def _pods(
    workload_id: str, params: Sequence[tuple[str, str]], rank: int
) -> Flow[list[Mapping[str, Any]]]:
    path = f"/api/v1/workloads/{quote(workload_id, safe='')}/pods"
    return (yield from read_all(path, "pods", params, rank))
