"""
The settings of an embedded Run:ai, checked before it starts.

The command line (``__main__``) and the tests (``serve``) build the same object.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airflow_runai.emulator.clock import Clock, RealClock
from airflow_runai.emulator.scripted import Scenario

DEFAULT_CLIENT_ID = "airflow"
# Public on purpose: it works only on the loopback interface, where all users may run commands
# anyway.
DEFAULT_CLIENT_SECRET = "airflow-local"
_NUMBER = r"(\d{1,9}(?:\.\d{0,9})?)"
_PROJECT = re.compile(
    rf"([^@:]+)(?:@([^:]+))?:{_NUMBER}(?:,limit={_NUMBER})?(?:,weight={_NUMBER})?"
)
VERSIONS = (*(f"2.{minor}" for minor in range(18, 27)), "3.0")


@dataclass(frozen=True)
class ProjectQuota:
    """
    A project and the GPUs it may use.

    :param quota: guaranteed GPUs.
    :param limit: maximum number of GPUs; None for no limit.
    :param weight: its part of the GPUs over all quotas, relative to the other projects of the
        cluster.
    """

    name: str
    quota: float
    cluster: str
    limit: float | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class EmulatorSettings:
    """
    The settings of one embedded Run:ai.

    :param projects: ``NAME:GPUS`` or ``NAME@CLUSTER:GPUS``; without a cluster, the first one. Two
        parts may follow, in this order: ``,limit=GPUS``, its maximum, and ``,weight=NUMBER``, its
        part of the GPUs over all quotas.
    :param clusters: names of the clusters; each has ``nodes`` nodes with ``gpus_per_node`` GPUs.
    :param state: directory that survives a restart; None for a temporary one that is removed at the
        end.
    :param volumes: PVC claim name, NFS or host path, or container path, to a local directory.
    :param client_secret: required on any interface but loopback: whoever logs in runs commands.
    :param clock: :class:`RealClock` or :class:`SteppedClock`.
    :param processes: run real processes; by default, if the clock is real.
    :param scenarios: behaviour of workloads without process, by prefix of the workload's name.
    :param grace: upper limit, in seconds, for every ``terminationGracePeriodSeconds``.
    :param token_seconds: life of a token, always in seconds of the real clock.
    :param policy_max_gpus: a policy: more ``compute.gpuDevicesRequest`` than this is refused.
    :param duplicate_name_status: 400 or 409; the vendor does not say which.
    :param strict_limit: refuse a page size above 500 with 400, instead of cutting it to 500.
    :param images: patterns (``registry/train:*``) of the images that can be pulled; none: all.
    :param secrets: names of the secrets that exist; None: all.
    :param claims: names of the volume claims that exist; None: all.
    :param initializing_seconds: how long Initializing (the "image pull") is visible.
    :param backoff_seconds: pause before the first retry of a failed pod; doubles up to 20 times.
    :param seconds_per_read: move a stepped clock by this much at every read of a workload.
    """

    host: str = "127.0.0.1"
    port: int = 0
    projects: tuple[str, ...] = ("team-a:2", "team-b:2")
    clusters: tuple[str, ...] = ("embedded",)
    nodes: int = 2
    gpus_per_node: int = 2
    state: Path | None = None
    volumes: Mapping[str, str | Path] = field(default_factory=dict)
    client_id: str = DEFAULT_CLIENT_ID
    client_secret: str | None = field(default=None, repr=False)
    control_plane_version: str = "2.24"
    clock: Clock = field(default_factory=RealClock)
    processes: bool | None = None
    scenarios: Mapping[str, Scenario] = field(default_factory=dict)
    grace: float | None = None
    token_seconds: float = 3600
    policy_max_gpus: int | None = None
    duplicate_name_status: int = 400
    strict_limit: bool = False
    images: tuple[str, ...] = ()
    secrets: tuple[str, ...] | None = None
    claims: tuple[str, ...] | None = None
    initializing_seconds: float = 0.2
    backoff_seconds: float = 0.5
    tick_seconds: float = 0.03
    seconds_per_read: float = 0.0

    def __post_init__(self) -> None:
        self._check_address()
        self._check_numbers()
        if self.control_plane_version not in VERSIONS:
            raise ValueError(
                f"control_plane_version: {self.control_plane_version!r} is not known; "
                f"use one of {', '.join(VERSIONS)}"
            )
        # Ids follow from names, so equal names would be one cluster.
        if not self.clusters or len(set(self.clusters)) < len(self.clusters):
            raise ValueError(
                f"clusters: {self.clusters!r} must name at least one cluster, each once"
            )
        projects = [(project.name, project.cluster) for project in self.project_quotas]
        if len(set(projects)) < len(projects):
            raise ValueError(f"projects: {self.projects!r} names a project twice in one cluster")

    @property
    def secret(self) -> str:
        """The secret that opens the token endpoints."""
        return self.client_secret or DEFAULT_CLIENT_SECRET

    @property
    def version(self) -> tuple[int, int]:
        """The control plane's version as numbers."""
        major, minor = self.control_plane_version.split(".")
        return int(major), int(minor)

    @property
    def runs_processes(self) -> bool:
        """Whether workloads are real processes."""
        return not self.clock.stepped if self.processes is None else self.processes

    @property
    def project_quotas(self) -> tuple[ProjectQuota, ...]:
        """The projects, parsed."""
        return tuple(_project(text, self.clusters) for text in self.projects)

    def _check_address(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port: {self.port} is not in 0..65535; 0 takes a free one")
        if not is_loopback(self.host) and not self.client_secret:
            raise ValueError(
                f"host: {self.host!r} is not a loopback address. The emulator runs commands for "
                "everyone who can log in: give a client secret of your own to listen there, or use "
                "127.0.0.1"
            )

    def _check_numbers(self) -> None:
        for name, least in _MINIMUMS.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}: {value} is too small; use {least} or more")
        for name in ("token_seconds", "tick_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: {getattr(self, name)} is not greater than 0 seconds")
        if self.duplicate_name_status not in (400, 409):
            raise ValueError(
                f"duplicate_name_status: {self.duplicate_name_status} is neither 400 nor 409"
            )
        if self.processes and self.clock.stepped:
            raise ValueError(
                "processes: real processes cannot live by a stepped clock; "
                "use scenarios or a RealClock"
            )


_MINIMUMS = {
    "nodes": 1,
    "gpus_per_node": 0,
    "initializing_seconds": 0,
    "backoff_seconds": 0,
    "grace": 0,
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _project(text: str, clusters: tuple[str, ...]) -> ProjectQuota:
    match = _PROJECT.fullmatch(text)
    if match is None:
        raise ValueError(
            f"projects: {text!r} is not NAME:GPUS or NAME@CLUSTER:GPUS, such as team-a:2; "
            "a limit and a weight may follow, as in team-a:2,limit=4,weight=3"
        )
    name, cluster, quota, limit, weight = match.groups()
    # Most emulators have one cluster; naming it would be noise.
    cluster = cluster or clusters[0]
    if cluster not in clusters:
        raise ValueError(
            f"projects: {text!r} names cluster {cluster!r}, but there is only {', '.join(clusters)}"
        )
    return ProjectQuota(
        name=name,
        quota=float(quota),
        cluster=cluster,
        limit=float(limit) if limit else None,
        weight=float(weight or 1),
    )
