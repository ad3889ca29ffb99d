"""The pods of a workload, also those that are gone: on which nodes it ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from airflow_runai.backends.paging import read_all
from airflow_runai.backends.throttle import HISTORY
from airflow_runai.core.flow import Flow


def pods_ever(workload_id: str) -> Flow[list[Mapping[str, Any]]]:
    """Return the workload's pods, also those that are gone, as far as the server lists them."""
    path = f"/api/v1/workloads/{quote(workload_id, safe='')}/pods"
    gone = yield from read_all(path, "pods", [("deleted", "true")], HISTORY)
    return [*gone, *(yield from read_all(path, "pods", [], HISTORY))]
