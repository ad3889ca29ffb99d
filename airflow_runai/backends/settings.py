"""The settings of a connection, checked once; free of Airflow, so that tests can make them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import urlsplit

from airflow_runai.core.project import Project
from airflow_runai.core.workload import Workload
from airflow_runai.errors import ConnectionSettingsError, InvalidArgument

#: An id becomes part of a filter, in which a comma begins the next condition.
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True)
class Settings:
    """
    How to reach a control plane, and as whom.

    :param url: with scheme, for example ``https://org.run.ai``.
    :param client_id: of a service account or user access key.
    :param project: default project; a task may name another.
    :param cluster: name of the cluster, needed only where several have a project of the same name.
    :param project_id: of the default project, which then need not be looked up.
    :param cluster_id: of that project's cluster; goes with ``project_id``.
    :param verify: check TLS certificates.
    :param ca_file: certificates to trust instead of the system's.
    :param timeout: seconds for one request, greater than 0.
    :param cluster_url: address of the clusters' own API, which has the logs; ``None`` for what the
        list of clusters says.
    :param kubernetes_conn_id: id of a connection of type ``kubernetes`` to the project's cluster,
        which then gives logs, exit codes and reasons; ``None`` for none.
    """

    reach_advice: ClassVar = "check the control plane URL, and that this machine may reach it"
    #: A connection may say where the pages of workloads are; this type's does not.
    page_url: ClassVar[str | None] = None

    url: str
    client_id: str
    client_secret: str = field(repr=False)
    project: str | None = None
    cluster: str | None = None
    project_id: str | None = None
    cluster_id: str | None = None
    verify: bool = True
    ca_file: str | None = None
    timeout: float = 30.0
    cluster_url: str | None = None
    kubernetes_conn_id: str | None = None

    def __post_init__(self) -> None:
        problems = [*self._address_problems(), *self._id_problems(), *self._cluster_problems()]
        if not self.client_id:
            problems.append(
                "client id (login): empty; enter the id of a service account or access key"
            )
        if not self.client_secret:
            problems.append(
                "client secret (password): empty; enter the secret that belongs to the client id"
            )
        if not self.timeout > 0:
            problems.append(f"timeout: {self.timeout!r}; allowed: seconds greater than 0")
        if problems:
            raise ConnectionSettingsError(str(InvalidArgument(problems)))

    def _address_problems(self) -> list[str]:
        shown = self.url if "@" not in self.url else "***@" + self.url.rpartition("@")[2]
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError:
            return [
                f"control plane URL (host): {shown!r} is not an address; allowed: https://HOST[:PORT]"
            ]
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return [
                f"control plane URL (host): {shown!r} has no scheme or no host; "
                "allowed: an address with http:// or https://, such as https://org.run.ai"
            ]
        if parts.username or parts.password:
            return [
                "control plane URL (host): holds user information; "
                "enter client id and secret in their own fields"
            ]
        return []

    def _id_problems(self) -> list[str]:
        ids = {"project_id": self.project_id, "cluster_id": self.cluster_id}
        given = {name: value for name, value in ids.items() if value is not None}
        problems = [
            f"{name}: {value!r}; allowed: letters, digits and hyphens, as Run:ai shows the id"
            for name, value in given.items()
            if not _ID.fullmatch(value)
        ]
        if given and not (len(given) == len(ids) and self.project):
            problems.append(
                f"{' and '.join(given)}: given without the rest; project, project_id and "
                "cluster_id belong together, or leave both ids out"
            )
        return problems

    def _cluster_problems(self) -> list[str]:
        if self.cluster_url is None or self.may_send_token_to(self.cluster_url):
            return []
        shown = "***@" + self.cluster_url.rpartition("@")[2]
        return [
            f"cluster_url: {shown if '@' in self.cluster_url else self.cluster_url!r}; allowed: an "
            "address with https://, such as https://cluster.example.com"
        ]

    def may_send_token_to(self, url: str) -> bool:
        """Whether ``url`` is an address on the way to which nobody can read a token."""
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            return False
        # Whoever reaches the control plane without TLS (the embedded one) has chosen that.
        schemes = ("https", urlsplit(self.url).scheme)
        return parts.scheme in schemes and bool(parts.hostname) and "@" not in parts.netloc

    @property
    def summary(self) -> str:
        """What people want to see of the connection before it is tried."""
        text = f"{self.url} as {self.client_id}"
        # Without TLS there are no certificates to speak of.
        if not self.url.startswith("https"):
            return text
        return f"{text}, certificates are {'verified' if self.verify else 'not verified'}"

    def log_command(self, workload: Workload, project: str) -> list[str]:
        """Return Run:ai's own command for a log; empty where it has a subcommand for each type."""
        if workload.path != "trainings":
            return []
        command = ["runai", "training", "logs", workload.name]
        return [*command, "-p", project] if project else command

    def check_ids(self, project: Project) -> None:
        """
        Compare the ids with those that the control plane has for the project.

        :raises ConnectionSettingsError: if they are another project's.
        """
        found = project.id, project.cluster_id
        if self.project_id and (self.project_id, self.cluster_id) != found:
            raise ConnectionSettingsError(
                f"project_id, cluster_id: {self.project_id!r}, {self.cluster_id!r}; "
                f"project {self.project!r} has {found[0]!r}, {found[1]!r}"
            )
