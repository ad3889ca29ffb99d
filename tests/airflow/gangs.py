"""A distributed training of a master and a worker on a lane of the rig, and the hands that let it run, fail or end."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_runai.core.kubernetes.queue_facts import JOB_UID
from airflow_runai.operators.training import RunaiTrainingOperator
from tests.airflow.running import meanwhile
from tests.contract.rivalry import Rivalry
from tests.rig.api import Object
from tests.rig.lanes import JOBSETS, Lane
from tests.rig.objects import KUEUE
from tests.rig.waiting import until

#: Each member tells when it begins, is told to leave, and ends; a file in the folder orders its end.
SCRIPT = """
trap 'echo member $RANK saves; rm -f {folder}/alive-$RANK; exit 143' TERM
echo member $RANK begins
touch {folder}/alive-$RANK
while [ ! -e {folder}/finish ]; do
    if [ -e {folder}/fail-$RANK ]; then
        rm {folder}/fail-$RANK {folder}/alive-$RANK
        echo member $RANK: CUDA out of memory >&2
        exit 3
    fi
    sleep 0.1 & wait $!
done
rm {folder}/alive-$RANK
echo member $RANK is finished
"""
RANKS = ("0", "1")
HOSTNAME = "kubernetes.io/hostname"


@dataclass(frozen=True)
class Gang:
    """
    One distributed training of two members with a GPU each.

    :param rivalry: kind of the cluster.
    :param folder: where its members say that they live, and are told what to do.
    """

    lane: Lane
    rivalry: Rivalry
    folder: Path

    @property
    def connection(self) -> str:
        """The Airflow connection, as JSON: nothing but it says what the cluster is."""
        extra = {
            "kube_config_path": str(self.lane.cluster.kubeconfig("airflow")),
            "namespace": self.lane.namespace,
            "project": self.lane.queue,
            "runai_dialect": self.rivalry.dialect,
            "node_type_label": HOSTNAME,
        }
        return json.dumps({"conn_type": "kubernetes", "extra": extra})

    def task(self, **given: Any) -> Callable[[], RunaiTrainingOperator]:
        """Return what makes the task that runs it."""
        spec = {
            "image": "registry.example/train:1",
            "command": shlex.join(["sh", "-c", SCRIPT.format(folder=self.folder)]),
            "distributed": {"framework": "PyTorch", "workers": 1},
            "compute": {"gpu_devices": 1},
            "node_type": self.lane.name,
            "termination_grace_period": 5,
            "backoff_limit": given.pop("backoff_limit", 1),
        }
        settings = {"task_id": "task", "workload_name": "gang", "spec": spec, "retries": 2}
        return lambda: RunaiTrainingOperator(**{**settings, **given})

    # -- what is there

    @property
    def sets(self) -> list[Object]:
        """The JobSets of the lane."""
        path = f"{JOBSETS}/namespaces/{self.lane.namespace}/jobsets"
        found: list[Object] = self.lane.cluster.api.get(path)["items"]
        return found

    @property
    def pods(self) -> list[Object]:
        """The pods of its members."""
        path = f"/api/v1/namespaces/{self.lane.namespace}/pods"
        selector = "jobset.sigs.k8s.io/jobset-name"
        found: list[Object] = self.lane.cluster.api.get(path, labelSelector=selector)["items"]
        return found

    @property
    def alive(self) -> tuple[str, ...]:
        """Ranks of the members that run."""
        return tuple(rank for rank in RANKS if (self.folder / f"alive-{rank}").exists())

    @property
    def is_queued(self) -> bool:
        """Whether who decides has said that there is no room for it."""
        if self.rivalry.suspended:
            path = f"{KUEUE}/namespaces/{self.lane.namespace}/workloads"
            own = {one["metadata"]["uid"] for one in self.sets}
            theirs = self.lane.cluster.api.get(path)["items"]
            queued = [one for one in theirs if one["metadata"]["labels"][JOB_UID] in own]
            return any(_is_denied(one, "QuotaReserved") for one in queued)
        return any(_is_denied(pod, "PodScheduled") for pod in self.pods)

    def await_whole(self) -> None:
        """Wait until all members have run for a while: servers tell moments in whole seconds."""
        until(lambda: self.alive == RANKS and self._age() > 2.0, "both members")

    def _age(self) -> float:
        files = [self.folder / f"alive-{rank}" for rank in RANKS]
        return min(time.time() - file.stat().st_mtime for file in files)

    # -- what happens to it

    def finish(self) -> None:
        """Let all members succeed."""
        (self.folder / "finish").touch()

    @contextmanager
    def played(self, act: Callable[[], object]) -> Iterator[None]:
        """Do something beside the task; if it goes wrong, the training ends, and so the task."""

        def act_or_finish() -> None:
            try:
                act()
            except BaseException:
                self.finish()
                raise

        with meanwhile(act_or_finish):
            yield

    def fail(self, rank: str) -> None:
        """Let one member fail, and wait until its attempt is over."""
        attempt = {pod["metadata"]["uid"] for pod in self.pods}
        (self.folder / f"fail-{rank}").touch()
        until(lambda: attempt.isdisjoint(pod["metadata"]["uid"] for pod in self.pods), "its end")

    def contend(self, gpus: int) -> Rival:
        """Let somebody else take GPUs that his queue deserves."""
        return Rival(self.lane, self.rivalry, gpus)


class Rival:
    """A Job of the other queue of a lane, while a ``with`` block runs."""

    def __init__(self, lane: Lane, rivalry: Rivalry, gpus: int) -> None:
        self._lane, self._rivalry, self._gpus = lane, rivalry, gpus
        self._jobs = f"/apis/batch/v1/namespaces/{lane.namespace}/jobs"
        self._pods = f"/api/v1/namespaces/{lane.namespace}/pods"

    def __enter__(self) -> Rival:
        api = self._lane.cluster.api
        api.create(self._jobs, self._rivalry.rival(self._lane, "rival", self._gpus))
        until(self._runs, "the rival's start")
        return self

    def __exit__(self, *error: object) -> None:
        api = self._lane.cluster.api
        api.delete(f"{self._jobs}/rival")
        until(lambda: not self._own(), "the rival's end")

    def _own(self) -> list[Object]:
        selector = "batch.kubernetes.io/job-name=rival"
        found: list[Object] = self._lane.cluster.api.get(self._pods, labelSelector=selector)[
            "items"
        ]
        return found

    def _runs(self) -> bool:
        return any(pod["status"].get("phase") == "Running" for pod in self._own())


def _is_denied(found: Object, kind: str) -> bool:
    conditions = (found.get("status") or {}).get("conditions") or ()
    return any(one["type"] == kind and one["status"] == "False" for one in conditions)


def charges(whole: Object) -> int:
    """Return how often a JobSet began anew for a failure that counts."""
    status: Mapping[str, Any] = whole.get("status") or {}
    return int(status.get("restartsCountTowardsMax", 0))
