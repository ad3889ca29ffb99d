"""
The parts of a cluster: what each is started with, and where it says that it is ready.

Flags, configuration files and their reasons are those of the page on the rig in the research; all
were tried. Nothing here starts anything: ``cluster.py`` does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.rig.api import Object
from tests.rig.building import Programs
from tests.rig.certificates import Pair
from tests.rig.processes import NODE
from tests.rig.waiting import RigError

__all__ = ["USES", "Part", "Site", "kai_directory"]

LOOPBACK = "127.0.0.1"
#: What the ports of every cluster are for; each node's kubelet has one more.
USES = (
    "etcd",
    "etcd-peer",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "jobset",
    "jobset-webhook",
    "kueue",
    "kueue-webhook",
)
CONTROLLERS = (
    "job-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "ttl-after-finished-controller",
    "pod-garbage-collector-controller",
    "resourcequota-controller",
    "disruption-controller",  # without it a PodDisruptionBudget answers 429 for ever
)


@dataclass(frozen=True)
class Part:
    """
    One program of a cluster.

    :param command: program and arguments.
    :param ready: URL that answers 200 when the part works; empty where ``says`` tells it.
    :param says: a line of its output that tells that it works.
    """

    name: str
    command: Sequence[str | Path]
    ready: str = ""
    says: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Site:
    """
    Where a cluster lives: its folder, programs, ports and certificates.

    :param kai_home: KAI's folder, see :func:`kai_directory`.
    :param ports: name of a use to port: :data:`USES`, and ``kubelet-NODE`` for each node.
    """

    folder: Path
    programs: Programs
    kai_home: Path
    ports: dict[str, int]

    @property
    def server(self) -> str:
        """Base URL of the API server."""
        return f"https://{LOOPBACK}:{self.ports['kube-apiserver']}"

    @property
    def authority(self) -> Path:
        """Certificate of who signed the API server's."""
        return self.folder / "certificates" / "ca.crt"

    @property
    def pair(self) -> Pair:
        """The certificate of the control plane and the kubelets."""
        return Pair(self.folder / "certificates" / "control-plane")

    @property
    def webhook_pair(self) -> Pair:
        """The certificate of the webhooks."""
        return Pair(self.folder / "certificates" / "webhooks")

    @property
    def signing_key(self) -> Path:
        """The key that signs service accounts' tokens."""
        return self.folder / "certificates" / "service-accounts.key"

    @property
    def tokens(self) -> Path:
        """The API server's list of static tokens."""
        return self.folder / "certificates" / "tokens.csv"

    def kubeconfig(self, user: str = "admin") -> Path:
        """Return a user's kubeconfig."""
        return self.folder / "kubeconfigs" / user

    def etcd(self) -> Part:
        """Build the store; without fsync, since nobody needs the data after a power cut."""
        client, peer = (f"http://{LOOPBACK}:{self.ports[use]}" for use in ("etcd", "etcd-peer"))
        flags = [
            "--name=rig",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=rig={peer}",
            "--unsafe-no-fsync",
            "--auto-compaction-retention=0",
            "--log-level=warn",
        ]
        return Part("etcd", [self.programs.path("etcd"), *flags], ready=f"{client}/health")

    def kube_apiserver(self) -> Part:
        """Build the API server."""
        flags = [
            f"--etcd-servers=http://{LOOPBACK}:{self.ports['etcd']}",
            f"--bind-address={LOOPBACK}",
            f"--advertise-address={LOOPBACK}",
            f"--secure-port={self.ports['kube-apiserver']}",
            *self._tls(),
            f"--client-ca-file={self.authority}",
            f"--token-auth-file={self.tokens}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.signing_key}",
            f"--service-account-signing-key-file={self.signing_key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            # No controller makes service accounts here, none takes the taint of a new node away.
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
            "--allow-privileged",
            "--kubelet-preferred-address-types=InternalIP",
            "--event-ttl=10m",
            "--endpoint-reconciler-type=none",
            "--profiling=false",
        ]
        return Part(
            "kube-apiserver",
            [self.programs.path("kube-apiserver"), *flags],
            ready=f"{self.server}/readyz",
        )

    def kube_controller_manager(self) -> Part:
        """Build the controllers, with calls enough that 1,000 Jobs do not wait for it."""
        port = self.ports["kube-controller-manager"]
        flags = [
            f"--kubeconfig={self.kubeconfig()}",
            "--leader-elect=false",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={port}",
            *self._tls(),
            "--authentication-skip-lookup=true",
            f"--controllers={','.join(CONTROLLERS)}",
        ]
        program = self.programs.path("kube-controller-manager")
        return Part(
            "kube-controller-manager", [program, *flags], ready=f"https://{LOOPBACK}:{port}/healthz"
        )

    def kube_scheduler(self) -> Part:
        """Build the stock scheduler, with a short pause before it looks at a pod again."""
        port = self.ports["kube-scheduler"]
        configuration = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": str(self.kubeconfig())},
            "leaderElection": {"leaderElect": False},
            "podInitialBackoffSeconds": 1,
            "podMaxBackoffSeconds": 2,
        }
        file = self._write("kube-scheduler", configuration)
        flags = [
            f"--config={file}",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={port}",
            *self._tls(),
        ]
        flags.append("--authentication-skip-lookup=true")
        program = self.programs.path("kube-scheduler")
        return Part("kube-scheduler", [program, *flags], ready=f"https://{LOOPBACK}:{port}/readyz")

    def kubelet(self, node: str) -> Part:
        """Build a node's stand-in for the kubelet."""
        port, home = self.ports[f"kubelet-{node}"], self.folder / "nodes" / node
        flags = ["--node", node, "--port", str(port), "--folder", str(home)]
        command = [
            sys.executable,
            "-m",
            "tests.rig.kubelet",
            "--kubeconfig",
            str(self.kubeconfig()),
            *flags,
        ]
        ready = f"https://{LOOPBACK}:{port}/healthz"
        return Part(f"kubelet-{node}", command, ready, environment={NODE: str(home)})

    def kai(self, eviction_condition: bool) -> Part:
        """Build KAI or its stand-in: whatever ``start`` in its folder runs."""
        flags = ["--eviction-condition"] if eviction_condition else []
        return Part(
            "kai",
            [self.kai_home / "start", "--kubeconfig", str(self.kubeconfig()), *flags],
            says="ready",
        )

    def jobset(self) -> Part:
        """Build the JobSet controller."""
        configuration = {
            "apiVersion": "config.jobset.x-k8s.io/v1alpha1",
            "kind": "Configuration",
            "leaderElection": {"leaderElect": False},
            "internalCertManagement": {"enable": False},
            **self._controller("jobset"),
        }
        return self._extension("jobset", configuration, "info")

    def kueue(self) -> Part:
        """Build Kueue; it finds its certificate in a Secret that must be there before."""
        configuration = {
            "apiVersion": "config.kueue.x-k8s.io/v1beta2",
            "kind": "Configuration",
            "leaderElection": {"leaderElect": False},
            "internalCertManagement": {"enable": True},
            "clientConnection": {"qps": 200, "burst": 400},
            # It would want a certificate and a port of its own.
            "featureGates": {"VisibilityOnDemand": False},
            "integrations": {"frameworks": ["batch/job", "jobset.x-k8s.io/jobset"]},
            **self._controller("kueue"),
        }
        return self._extension("kueue", configuration, "2")

    def _controller(self, name: str) -> Object:
        return {
            "webhook": {
                "host": LOOPBACK,
                "port": self.ports[f"{name}-webhook"],
                "certDir": str(self.webhook_pair.folder),
            },
            "metrics": {"bindAddress": "0"},
            "health": {"healthProbeBindAddress": f"{LOOPBACK}:{self.ports[name]}"},
        }

    def _extension(self, name: str, configuration: Object, verbosity: str) -> Part:
        file = self._write(name, configuration)
        flags = [
            f"--config={file}",
            f"--kubeconfig={self.kubeconfig()}",
            f"--zap-log-level={verbosity}",
        ]
        return Part(
            name,
            [self.programs.path(name), *flags],
            ready=f"http://{LOOPBACK}:{self.ports[name]}/readyz",
        )

    def _tls(self) -> list[str]:
        return [
            f"--tls-cert-file={self.pair.certificate}",
            f"--tls-private-key-file={self.pair.key}",
        ]

    def _write(self, name: str, configuration: Object) -> Path:
        file = self.folder / "configurations" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(configuration, sort_keys=False))
        return file


def kai_directory() -> Path:
    """
    Where KAI lies: the stand-in, or what ``RUNAI_RIG_KAI`` names.

    :raises RigError: if that is not a folder with an executable ``start``.
    """
    chosen = os.environ.get("RUNAI_RIG_KAI")
    directory = Path(chosen).resolve() if chosen else Path(__file__).parent / "kai"
    start = directory / "start"
    if not os.access(start, os.X_OK) or not start.is_file():
        origin = f"RUNAI_RIG_KAI={chosen}" if chosen else str(directory)
        raise RigError(
            f"{origin}: there is no executable file `start`. Name a folder that holds `start` and `crds/*.yaml`, "
            "or unset RUNAI_RIG_KAI to use the stand-in"
        )
    return directory
