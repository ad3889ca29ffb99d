"""What a connection says of trainings on its cluster; free of Airflow, so tests can make it."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_runai.core.manifests import DIALECTS, ClusterTerms
from airflow_runai.core.texts import cut
from airflow_runai.errors import ConnectionSettingsError


@dataclass(frozen=True)
class ClusterSettings:
    """
    Where trainings are made on one cluster, and in which words.

    :param cluster: name of the cluster; see :attr:`ClusterAccess.cluster`. What another cluster
        does not know was not deleted.
    :param namespace: of all trainings; ``None``: a project is a namespace of its own name.
    :param project: default project: the queue of the scheduler; a task may name another.
    :param dialect: one of :data:`DIALECTS`; ``None`` for what the cluster serves.
    :param in_cluster: each process asks as the service account of its own pod.
    """

    cluster: str
    namespace: str | None = None
    project: str | None = None
    dialect: str | None = None
    terms: ClusterTerms = field(default_factory=ClusterTerms)
    in_cluster: bool = False

    def __post_init__(self) -> None:
        if self.dialect is not None and self.dialect not in DIALECTS:
            raise ConnectionSettingsError(
                f"runai_dialect: {cut(repr(self.dialect), 80)}; allowed: {', '.join(DIALECTS)}; or "
                "leave it out, and the cluster is asked"
            )
