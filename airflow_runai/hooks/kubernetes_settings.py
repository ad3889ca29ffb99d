"""The fields of an Airflow connection of type ``kubernetes``, as settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_runai.backends.kubernetes.settings import ClusterSettings
from airflow_runai.core.manifests import ClusterTerms
from airflow_runai.core.manifests.labels import SUBDOMAIN
from airflow_runai.core.project import Project
from airflow_runai.core.texts import cut
from airflow_runai.core.workload import Workload
from airflow_runai.errors import ConnectionSettingsError
from airflow_runai.hooks.kubernetes import field as stock_field
from airflow_runai.hooks.kubernetes import is_on

if TYPE_CHECKING:
    from airflow.sdk import Connection

#: Fields of ours; those of the stock provider say where the cluster is, and as whom it is asked.
_TEXTS = ("namespace", "project", "runai_dialect", "page_url")


@dataclass(frozen=True)
class ClusterConnection:
    """
    What a connection of type ``kubernetes`` says; nothing of it is tried before it is used.

    :param extra: the connection's extra, as JSON. It may hold a token, but none that is renewed.
    :param trainings: where trainings are made; the cluster's own name is found out later.
    :param page_url: address of a workload's page on some dashboard, with ``{namespace}``,
        ``{name}``, ``{id}``, ``{project}``; empty for none.
    """

    reach_advice: ClassVar = "check that this machine may reach the API server"

    conn_id: str = field(compare=False)
    extra: str = field(repr=False)
    trainings: ClusterSettings
    page_url: str = ""

    # What a task asks of the settings of any platform.
    url: ClassVar = ""
    cluster: ClassVar[str | None] = None

    @property
    def project(self) -> str | None:
        """Default project; where all trainings share a namespace, that names one, too."""
        return self.trainings.project or self.trainings.namespace

    @property
    def extras(self) -> Mapping[str, Any]:
        """The connection's extra."""
        found: dict[str, Any] = json.loads(self.extra)
        return found

    @property
    def summary(self) -> str:
        """What people want to see of the connection before it is tried."""
        namespace = self.trainings.namespace or "named like the project"
        return (
            f"Kubernetes, namespace {namespace}, dialect {self.trainings.dialect or 'by discovery'}"
        )

    def log_command(self, workload: Workload, project: str) -> list[str]:
        """Return the command of ``kubectl`` for the logs of all pods."""
        is_set = workload.path == "distributed"
        label = "jobset.sigs.k8s.io/jobset-name" if is_set else "batch.kubernetes.io/job-name"
        selector = f"{label}={workload.name}"
        return ["kubectl", "logs", "-n", workload.project_id, "-l", selector, "--tail", "-1"]

    def check_ids(self, project: Project) -> None:
        """Compare nothing: the names are the ids here."""


def cluster_connection(connection: Connection) -> ClusterConnection:
    """
    Read a connection of type ``kubernetes``.

    :raises ConnectionSettingsError: naming the field, its value and what is allowed.
    """
    extra: Mapping[str, Any] = connection.extra_dejson
    try:
        named = {name: _text(extra, name) for name in _TEXTS}
        trainings = ClusterSettings(
            cluster="",
            namespace=_namespace(named["namespace"]),
            project=named["project"],
            dialect=named["runai_dialect"],
            terms=ClusterTerms.from_extra(extra),
            in_cluster=is_on(extra, "in_cluster"),
        )
    except ConnectionSettingsError as error:
        raise ConnectionSettingsError(f"connection {connection.conn_id!r}: {error}") from None
    return ClusterConnection(
        conn_id=connection.conn_id or "",
        extra=json.dumps(extra, sort_keys=True),
        trainings=trainings,
        page_url=named["page_url"] or "",
    )


def _text(extra: Mapping[str, Any], name: str) -> str | None:
    value = stock_field(extra, name)
    if value is None or (isinstance(value, str) and value.strip()):
        return value.strip() if value else None
    raise ConnectionSettingsError(
        f"{name}: {cut(repr(value), 80)}; allowed: a text, or leave it out"
    )


def is_namespace(name: str) -> bool:
    """Whether a namespace may have this name."""
    return len(name) <= 63 and "." not in name and SUBDOMAIN.fullmatch(name) is not None


def _namespace(name: str | None) -> str | None:
    if name is None or is_namespace(name):
        return name
    raise ConnectionSettingsError(
        f"namespace: {cut(repr(name), 80)}; allowed: the name of a namespace of the cluster"
    )
