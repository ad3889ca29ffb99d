"""
Worlds that somebody else keeps: a real cluster, or a real control plane, named by environment variables.

Nobody's hands reach there, so only some cases are played (``worlds.py``). Use a project in which
nothing else is: the trainings have fixed names, and are deleted after each case.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from airflow_runai.backends import access, clients
from airflow_runai.backends.kubernetes.platform import KubernetesBackend
from airflow_runai.backends.kubernetes.settings import ClusterSettings
from airflow_runai.backends.runai import RunaiBackend
from airflow_runai.backends.server_clock import ServerClock
from airflow_runai.backends.settings import Settings
from airflow_runai.backends.termination import let_pods_end
from airflow_runai.backends.tokens import Tokens
from airflow_runai.core.flow import Flow
from airflow_runai.core.workload import Workload
from tests.contract.crowds import Crowd, ServedByLists, ServedByWatches
from tests.contract.embedded import EmbeddedRig
from tests.contract.model import ModelRig
from tests.contract.real_time import RealTimeRig
from tests.contract.rig import Script
from tests.rig.waiting import until

T = TypeVar("T")


class GivenRig(RealTimeRig):
    """One of them."""

    pace, grain, sight = 0.3, 6.0, 30.0
    script = Script()

    @classmethod
    def open(cls) -> GivenRig:
        """Return the world that the environment names."""
        raise NotImplementedError

    def close(self) -> None:
        """Delete what was made."""
        for one in self._trainings():
            self.person(self.backend.delete(one))
            self.person(let_pods_end(self.backend, one))
        until(lambda: not self._trainings(), "the removal of all trainings")
        super().close()

    def play(self, script: Script) -> None:
        self.script = script

    def fields(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        script, image = self.script, os.environ.get("RUNAI_CONTRACT_IMAGE", "busybox:1")
        work = 1_000_000 if script.seconds is None else script.seconds * self.pace
        stop = f"sleep {script.stop_seconds * self.pace:.0f}; exit {script.stop_exit_code}"
        words = f"trap '{stop}' TERM; sleep {work:.0f} & wait $!; exit {script.exit_code}"
        grace = max(1, round(spec.get("termination_grace_period", 30) * self.pace))
        changed = {} if spec["image"] == "train:1" else {"image": f"{image}-{spec['image']}"}
        command = shlex.join(["sh", "-c", words])
        own = {"image": image, "command": command, "termination_grace_period": grace}
        return {**spec, **own, **changed}

    def _settle(self) -> None:
        until(lambda: all(_is_placed(one) for one in self._trainings()), "the start of trainings")

    def names(self) -> list[str]:
        return [one.name for one in self._trainings()]

    def lives(self, name: str) -> bool:
        found = [one for one in self._trainings() if one.name == name]
        return any(self.person(self.backend.standing_pods(one)) for one in found)

    def _trainings(self) -> list[Workload]:
        place = self.person(self.backend.find_project(self._project))
        found: list[Workload] = self.person(self.backend.find(place, "train"))
        return found


class GivenCluster(GivenRig):
    """The current context of a kubeconfig."""

    knows = frozenset({"fields", "durable", "phases of tomorrow", "queues", "crowds"})
    words = ModelRig.words
    obtain: Callable[[], access.ClusterAccess]

    @classmethod
    def open(cls) -> GivenRig:
        """Return the cluster."""
        # Here, so that nobody else pays for Airflow.
        from airflow_runai.hooks import kubernetes as hook

        file = os.environ["RUNAI_CONTRACT_CLUSTER"]
        obtain = hook.obtaining("contract", {"kube_config_path": file})
        namespace = os.environ.get("RUNAI_CONTRACT_NAMESPACE", "default")
        backend = KubernetesBackend(ClusterSettings("contract", namespace))
        project = os.environ.get("RUNAI_CONTRACT_PROJECT", namespace)
        cls.obtain = staticmethod(obtain)
        return cls(access.client(obtain(), obtain), backend, project)

    def _crowd(self) -> Crowd:
        client = access.async_client(self.obtain(), self.obtain)
        cluster = cast(KubernetesBackend, self.backend).cluster
        return Crowd(ServedByWatches(cluster), client, ServerClock(), self.asked)


class GivenControlPlane(GivenRig):
    """A control plane of Run:ai."""

    knows = frozenset({"fields", "durable", "past of the deleted", "crowds"})
    words = EmbeddedRig.words
    tokens: Tokens
    settings: Settings

    @classmethod
    def open(cls) -> GivenRig:
        """Return the control plane."""
        login = os.environ["RUNAI_CLIENT_ID"], os.environ["RUNAI_CLIENT_SECRET"]
        settings = Settings(os.environ["RUNAI_CONTRACT_URL"], *login)
        cls.tokens, cls.settings = Tokens(*login), settings
        project = os.environ["RUNAI_CONTRACT_PROJECT"]
        return cls(clients.client(settings), RunaiBackend(settings), project)

    def _authorized(self, flow: Flow[T]) -> Flow[T]:
        return self.tokens.authorized(flow)

    def _crowd(self) -> Crowd:
        client = clients.async_client(self.settings)
        return Crowd(ServedByLists(self.tokens), client, ServerClock(), self.asked)


def _is_placed(one: Workload) -> bool:
    return one.phase not in ("Creating", "Initializing", "Resuming")
