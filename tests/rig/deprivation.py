"""What a training goes through to use each right, and how to see that it was used."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.core.kubernetes.job_facts import HISTORY
from airflow_runai.operators.training import RunaiTrainingOperator
from tests.airflow.running import Run, dag_of
from tests.rig import faults
from tests.rig.api import Object
from tests.rig.lanes import JOBSETS, Lane
from tests.rig.objects import KUEUE

HOST = "kubernetes.io/hostname"
GANG = {"distributed": {"framework": "PyTorch", "workers": 1}}
VOLUME = {"storage": {"pvc": [{"path": "/data", "existing": False, "size": "1G"}]}}


@dataclass
class Seen:
    """
    What a run has left.

    :param log: all that was written meanwhile, without colours.
    :param warnings: what was said of missing rights before the submission.
    :param trainings: the Jobs and JobSets that exist then.
    """

    done: Run
    log: str
    warnings: list[str]
    trainings: list[Object]


@dataclass
class Bench:
    """Runs tasks in a lane, under whatever identity the connection has."""

    lane: Lane
    dialect: str
    run: Callable[..., Run]
    capfd: pytest.CaptureFixture[str]
    caplog: pytest.LogCaptureFixture
    patch: pytest.MonkeyPatch

    def connect(self, kubeconfig: Path) -> None:
        """Let the connection be who a kubeconfig says."""
        extra = {
            "kube_config": kubeconfig.read_text(),
            "namespace": self.lane.namespace,
            "project": self.lane.queue,
            "runai_dialect": self.dialect,
            "node_type_label": HOST,
        }
        connection = json.dumps({"conn_type": "kubernetes", "extra": extra})
        self.patch.setenv("AIRFLOW_CONN_RUNAI_DEFAULT", connection)

    def train(
        self, script: str = "echo line-$((1+1))", spec: Mapping[str, Any] = {}, **given: Any
    ) -> Seen:
        """Run one training to its end."""
        wanted = {
            "image": "registry.example/train:1",
            "command": f"sh -c '{script}'",
            "node_type": self.lane.name,
            "termination_grace_period": 1,
            "compute": {"cpu_cores": 1, "cpu_memory": "1G"},
            **spec,
        }
        given = {"tail_on_success": True, "poll_interval": 1.0, **given}
        self.capfd.readouterr()
        self.caplog.clear()
        done = self.run(dag_of(lambda: RunaiTrainingOperator(task_id="task", spec=wanted, **given)))
        # What the code around a task says goes to the one, what a task says to the other.
        said = [one.getMessage() for one in self.caplog.records]
        written = re.sub(r"\x1b\[[0-9;]*m", "", "".join(self.capfd.readouterr()))
        warnings = [
            one.getMessage()
            for one in self.caplog.records
            if one.name.endswith("missing_rights") and one.levelname == "WARNING"
        ]
        return Seen(done, "\n".join([*said, written]), warnings, self.trainings)

    @property
    def trainings(self) -> list[Object]:
        """All Jobs and JobSets of the lane, without those that are being deleted."""
        place = f"namespaces/{self.lane.namespace}"
        paths = (f"/apis/batch/v1/{place}/jobs", f"{JOBSETS}/{place}/jobsets")
        found = [one for path in paths for one in self.lane.cluster.api.get(path)["items"]]
        return [
            one
            for one in found
            if not one["metadata"].get("ownerReferences")
            and "deletionTimestamp" not in one["metadata"]
        ]


@dataclass(frozen=True)
class Use:
    """
    What makes use of a right.

    :param given: to the task.
    :param works: whether it could be used, by what the run has left.
    :param state: in which the task ends without the right, unless nothing was submitted.
    :param full: objects of which the namespace has room for none.
    :param dialect: in which it is seen; by default the first that has the right.
    """

    works: Callable[[Bench, Seen], bool]
    given: Mapping[str, Any] = field(default_factory=dict)
    state: str = "success"
    full: Mapping[str, str] = field(default_factory=dict)
    dialect: str = ""

    def make(self, bench: Bench) -> tuple[Seen, bool]:
        """Go through it."""
        if self.full:
            with faults.full(bench.lane.cluster, bench.lane.namespace, self.full):
                seen = bench.train(**self.given)
                return seen, self.works(bench, seen)
        seen = bench.train(**self.given)
        return seen, self.works(bench, seen)


def submits(bench: Bench, seen: Seen) -> bool:
    return bool(seen.trainings)


def remembers(bench: Bench, seen: Seen) -> bool:
    return all(HISTORY in one["metadata"]["annotations"] for one in seen.trainings)


def stops(bench: Bench, seen: Seen) -> bool:
    return not seen.trainings


def shows_log(bench: Bench, seen: Seen) -> bool:
    return "line-2" in seen.log


def knows_node(bench: Bench, seen: Seen) -> bool:
    return f"incarnation 1 on {bench.lane.name}" in seen.log


def knows_end(bench: Bench, seen: Seen) -> bool:
    return bool(seen.done.xcom()["phase"] == "Completed")


def knows_failure(bench: Bench, seen: Seen) -> bool:
    """Whether it is known how pods ended that other pods have followed."""
    return re.search(r": Pending: \S+ failed with exit code 3", seen.log) is not None


def explains(bench: Bench, seen: Seen) -> bool:
    return "exceeded quota" in seen.done.words


def notices(word: str) -> Callable[[Bench, Seen], bool]:
    return lambda bench, seen: word in seen.done.words and not seen.trainings


def reads_room(bench: Bench, seen: Seen) -> bool:
    return "cannot be read here" not in seen.log


def reads_quota(bench: Bench, seen: Seen) -> bool:
    return re.search(r"there is room for 1 GPU \(quota\): quota \d", seen.log) is not None


def suspends(bench: Bench, seen: Seen) -> bool:
    queued = f"{KUEUE}/namespaces/{bench.lane.namespace}/workloads"
    found = bench.lane.cluster.api.get(queued)["items"]
    return any(one["spec"].get("active") is False for one in found)


_PLAIN = {"wait_for_completion": False}
_ONCE: Mapping[str, Any] = {"timeouts": {"running": 1}, "script": "sleep 20"}
_SLOW = {"script": "sleep 10"}  # long enough to be seen before it ends
_GANG: Mapping[str, Any] = {"spec": GANG}
#: All its pods go with a failure, and a worker that only looks finds others.
_FAILING_GANG: Mapping[str, Any] = {
    "spec": {**GANG, "backoff_limit": 0},
    "script": "sleep 2; exit 3",
    "poll_interval": 10.0,
    "deferrable": False,
}
_IDLE = {"spec": {"compute": {"gpu_devices": 1}}, "submit_when": "idle"}
_QUOTA = {"spec": {"compute": {"gpu_devices": 1}}, "submit_when": "quota"}
_SUSPENDED = {**_ONCE, "on_kill": "suspend"}
_NOBODY = {**_PLAIN, "project": "nobody"}
_NO_CLASS = {**_PLAIN, "spec": {"priority": "no-such-class"}}

#: Resource and verb to what makes use of them. Each right of the provider has a line here.
USES: Mapping[tuple[str, str], Use] = {
    **{("jobs", verb): Use(submits) for verb in ("get", "list", "create")},
    ("jobs", "watch"): Use(knows_end),
    ("jobs", "patch"): Use(remembers, _SLOW),
    ("jobs", "delete"): Use(stops, _ONCE),
    **{("jobsets", verb): Use(submits, _GANG) for verb in ("get", "list", "create")},
    ("jobsets", "watch"): Use(knows_end, _GANG),
    ("jobsets", "patch"): Use(remembers, {**_SLOW, **_GANG}),
    ("jobsets", "delete"): Use(stops, {**_ONCE, **_GANG}),
    ("pods", "list"): Use(knows_node),
    ("pods", "watch"): Use(knows_failure, _FAILING_GANG, "failed"),
    ("pods/log", "get"): Use(shows_log),
    ("events", "list"): Use(explains, {"timeouts": {"queue": 5}}, "failed", {"pods": "0"}),
    ("persistentvolumeclaims", "create"): Use(submits, {**_PLAIN, "spec": VOLUME}),
    ("queues", "get"): Use(notices("nobody"), _NOBODY),
    ("queues", "list"): Use(reads_room, _IDLE),
    ("priorityclasses", "get"): Use(notices("no-such-class"), _NO_CLASS),
    **{("workloads", verb): Use(suspends, _SUSPENDED) for verb in ("list", "get", "patch")},
    ("localqueues", "get"): Use(notices("nobody"), _NOBODY),
    ("clusterqueues", "get"): Use(reads_quota, _QUOTA),
    ("clusterqueues", "list"): Use(reads_room, _IDLE),
    ("workloadpriorityclasses", "get"): Use(notices("no-such-class"), _NO_CLASS),
    ("nodes", "list"): Use(reads_room, _IDLE, dialect="kueue"),
}
#: KAI's stand-in writes no status of its queues, so nothing is read there with the right either;
#: ``tests/backends/kubernetes/test_capacity.py`` shows this one on the model.
ELSEWHERE = frozenset({("queues", "list")})
