"""What people want to know of a training on Kubernetes; nothing is decided by it."""

# ruff: noqa: D102 - `core/backend.py` says what a method means
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_runai.backends.kubernetes.capacity.capacity import server_version
from airflow_runai.backends.kubernetes.diagnostics.explanation import explain
from airflow_runai.backends.kubernetes.known_cluster import KnownCluster
from airflow_runai.backends.kubernetes.logs.log_readers import PodLogReader
from airflow_runai.backends.kubernetes.logs.pod_source import PodSource
from airflow_runai.backends.kubernetes.trainings.training_look import look
from airflow_runai.core.backend import Diagnostics
from airflow_runai.core.flow import Flow
from airflow_runai.core.kubernetes.pod_rows import pod_row
from airflow_runai.core.log_reader import LogReader
from airflow_runai.core.reasons import Reason
from airflow_runai.core.usage import Sample
from airflow_runai.core.workload import Workload


class KubernetesDiagnostics(Diagnostics):
    """A Kubernetes cluster. Its methods mean what :class:`Diagnostics` says."""

    def __init__(self, cluster: KnownCluster) -> None:
        self._cluster = cluster

    def explain(self, workload: Workload, since: float = 0.0) -> Flow[tuple[Reason, ...]]:
        return explain(self._cluster, workload, since)

    def pods(self, workload: Workload, *, gone: bool = False) -> Flow[list[Mapping[str, Any]]]:
        seen = yield from look(workload)
        present = seen.present
        shown = [one for one in seen.lives if gone or one.uid in present]
        return [pod_row(one, present) for one in shown]

    def gpu_utilization(
        self, workload: Workload, start: float, end: float
    ) -> Flow[tuple[Sample, ...]]:
        yield from ()
        return ()

    def log(self, workload: Workload) -> LogReader:
        return PodLogReader(workload, PodSource())

    def log_server(self, cluster_id: str) -> Flow[str]:
        yield from server_version()
        return f"the API server of {self._cluster.settings.cluster}"
