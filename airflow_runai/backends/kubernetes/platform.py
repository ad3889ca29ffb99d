"""Kubernetes: trainings, capacity and diagnostics of one cluster as one backend."""

from __future__ import annotations

from airflow_runai.backends.kubernetes.capacity.capacity import KubernetesCapacity
from airflow_runai.backends.kubernetes.diagnostics.diagnostics import KubernetesDiagnostics
from airflow_runai.backends.kubernetes.known_cluster import KnownCluster
from airflow_runai.backends.kubernetes.settings import ClusterSettings
from airflow_runai.backends.kubernetes.trainings.workloads import KubernetesWorkloads
from airflow_runai.core.backend import Backend


class KubernetesBackend(KubernetesWorkloads, KubernetesCapacity, KubernetesDiagnostics, Backend):
    """Kubernetes. Its methods mean what :class:`Backend` says."""

    def __init__(self, settings: ClusterSettings) -> None:
        self.cluster = KnownCluster(settings)
        super().__init__(self.cluster)
