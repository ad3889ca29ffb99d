"""
Kubernetes as the platform of a playground: the tests' rig, with two nodes and KAI's queues.

etcd, API server and controllers are the real ones; the kubelet and KAI have stand-ins, and a
container's command is a process of this machine.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo.platforms import KUBERNETES, Launch, NotReady, TrainingPlatform
from tests.rig import building, objects
from tests.rig.api import ApiError, Object
from tests.rig.cluster import Cluster, Options, RigError
from tests.rig.processes import sweep

_TEAMS = ("team-a", "team-b")
_GPUS = 2
_BUILDS = (
    "The Kubernetes of the tests is not built yet: etcd, API server, controllers, JobSet and Kueue "
    "come from\ntheir Go modules. That takes Go >= 1.26, 15 minutes on 2 cores and 6.5 GB, once."
)


class RigKubernetes(TrainingPlatform):
    """
    A cluster of the rig; a process that comes later takes hold of it by its folder.

    :param folder: for all that it writes; its logs are kept beside it.
    """

    word = KUBERNETES
    title = "Kubernetes"
    speaker = "KAI"

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._cluster: Cluster | None = None

    @property
    def ports(self) -> Mapping[str, int]:
        """None: it takes free ones."""
        return {}

    @property
    def place(self) -> str:
        """What people call it, and where they find it."""
        return f"{self.title} in {self.folder}"

    @property
    def connection(self) -> dict[str, Any]:
        """The Airflow connection that leads to it, without an id."""
        config = self.folder / "kubeconfigs" / "airflow"
        extra = {"kube_config_path": str(config), "project": _TEAMS[0]}
        return {"conn_type": "kubernetes", "extra": json.dumps(extra)}

    @property
    def cluster(self) -> Cluster:
        """The cluster, which runs; raises :class:`NotReady` if it does not."""
        if self._cluster is None:
            try:
                self._cluster = Cluster.attach(self.folder)
            except RigError as error:
                raise NotReady(str(error)) from error
        return self._cluster

    def prepare(self) -> None:
        """Build its programs, if nobody has yet."""
        if building.programs() is None:
            print(_BUILDS, flush=True)
            try:
                building.build()
            except building.BuildError as error:
                raise NotReady(str(error)) from error

    def start(self, shared: Path, launch: Launch) -> None:
        """Start it, and return when it works."""
        sweep(self.folder)  # what a restart of the machine has left
        options = Options(jobset=False, kueue=False, eviction_condition=True, gpus=_GPUS)
        try:
            self._cluster = Cluster(options, folder=self.folder).start()
            self._cluster.add_node("node-1", _GPUS)
            for team in _TEAMS:
                self._cluster.add_queue(team, quota=_GPUS)
            objects.add_bound_claim(self._cluster.api, _TEAMS[0], "shared", shared)
        except (RigError, ApiError) as error:
            raise NotReady(f"Kubernetes: {error}") from error

    def answers(self) -> bool:
        """Whether it has started."""
        return self._cluster is not None

    @property
    def directions(self) -> str:
        """What makes it known to kubectl."""
        config = self.folder / "kubeconfigs" / "admin"
        return f"Kubernetes         export KUBECONFIG={config}   (namespaces {', '.join(_TEAMS)})"

    def preempt(self) -> list[str]:
        """Evict all pods that run, as somebody does who empties a node; return what was done."""
        evicted = []
        for team in _TEAMS:
            pods = f"/api/v1/namespaces/{team}/pods"
            for pod in self.cluster.api.get(pods)["items"]:
                if pod["status"].get("phase") == "Running":
                    evicted.append(self._evict(pods, pod["metadata"]["name"]))
        return evicted

    def detach(self) -> None:
        """Let it outlive this process."""
        self.cluster.detach()

    def stop(self) -> None:
        """End it with all that runs in it; its logs stay."""
        logs = self.folder / "logs"
        if logs.is_dir():
            kept = self.folder.with_name(f"{self.folder.name}-logs")
            shutil.copytree(logs, kept, dirs_exist_ok=True)
        try:
            self.cluster.close()
        except NotReady:
            sweep(self.folder)

    def _evict(self, pods: str, name: str) -> str:
        eviction: Object = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name},
        }
        self.cluster.api.create(f"{pods}/{name}/eviction", eviction)
        return f"evicted {name}"
