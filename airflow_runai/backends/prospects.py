"""
Whether a workload can ever start, asked before anybody waits for it.

Two reads at most, none for a preemptible workload of one GPU. Nothing depends on the answer, so
what cannot be read counts as no bound.
"""

from __future__ import annotations

from typing import TypeVar

from airflow_runai.backends import capacity
from airflow_runai.core.flow import Flow
from airflow_runai.core.project import Project
from airflow_runai.core.prospects import hopeless, is_worth_asking
from airflow_runai.core.quota import Quota, gpus_requested
from airflow_runai.core.reasons import Reason
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.errors import Refused, RunaiError, Unreadable

T = TypeVar("T")


def prospects(project: Project, spec: WorkloadSpec) -> Flow[tuple[Reason, ...]]:
    """Say why it can never start; nothing if it can, or if that cannot be asked."""
    gpus = gpus_requested(spec)
    if gpus is None or not is_worth_asking(spec, gpus):
        return ()
    try:
        record = yield from _if_allowed(capacity.project_record(project))
        total = yield from _if_allowed(capacity.gpus_of_nodes(project.cluster_id, "TOTAL_GPUS"))
    except RunaiError:
        return ()
    return hopeless(spec, gpus, Quota.from_wire(record or {}), total)


def _if_allowed(flow: Flow[T]) -> Flow[T | None]:
    try:
        return (yield from flow)
    except (Refused, Unreadable):
        return None
