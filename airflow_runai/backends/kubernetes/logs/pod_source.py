"""Where a log is read from: the pods of a training, and what is known of the training itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from airflow_runai.backends.kubernetes.api.writes import Object
from airflow_runai.backends.kubernetes.trainings import training_look
from airflow_runai.core.flow import Flow
from airflow_runai.core.kubernetes.incarnations import PodIncarnation
from airflow_runai.core.workload import Workload

T = TypeVar("T")


class PodSource:
    """A cluster whose Jobs and JobSets are the workloads; ``hybrid.py`` has another one."""

    def ask(self, flow: Flow[T]) -> Flow[T]:
        """Return a flow that asks the cluster."""
        return flow

    def pods(self, workload: Workload) -> Flow[list[Object]]:
        """Return the pods that exist."""
        return training_look.pods_of(workload)

    def remembered(self, workload: Workload) -> Flow[Sequence[PodIncarnation]]:
        """Return incarnations whose pods may be gone, as far as they are known."""
        return training_look.remembered(workload)

    def is_over(self, workload: Workload) -> Flow[bool]:
        """Whether the workload has ended, or is gone."""
        return training_look.is_over(workload)
