"""Where workloads live: projects and clusters, whatever the platform."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_runai.core.workload import Workload
from airflow_runai.errors import InvalidArgument


@dataclass(frozen=True)
class Cluster:
    """
    A cluster.

    :param version: empty if the server does not say, as is ``state`` (``Connected``, …).
    :param domain: where its own API is, with or without scheme; empty if the server does not say.
    """

    id: str
    name: str
    version: str = ""
    state: str = ""
    domain: str = ""


@dataclass(frozen=True)
class Project:
    """
    What a task names as its ``project``, and the cluster it lives on.

    :param id: by which the platform addresses it; ``project_id`` of its workloads.
    :param name: as people call it; empty if only its id is known.
    :param cluster_id: ``cluster_id`` of its workloads.
    :param namespace: its Kubernetes namespace, empty if the server does not say.
    """

    id: str
    name: str
    cluster_id: str
    namespace: str = ""

    @classmethod
    def of(cls, workload: Workload) -> Project:
        """Return what a workload tells of its project; without an id it stands for all projects."""
        return cls(workload.project_id, "", workload.cluster_id)

    def workload_named(self, name: str) -> Workload:
        """Return all that is known of a workload before it is found by its name."""
        return Workload("", name, "", project_id=self.id, cluster_id=self.cluster_id)


def refuse_commas(what: str, name: object) -> None:
    """
    Refuse a name that cannot be looked up: in a filter, a comma begins the next condition.

    :raises InvalidArgument: also for an empty name.
    """
    if not isinstance(name, str) or "," in name or not name.strip():
        raise InvalidArgument(
            [
                f"{what}: {name!r} cannot be looked up; "
                "allowed: a name without commas that is not empty"
            ]
        )
