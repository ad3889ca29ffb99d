"""
Run:ai controls a workload, and the Kubernetes below it tells what REST cannot.

The control plane names the pods of a workload. Their logs, exit codes and reasons are read from the
cluster's own API server. Where that is away or forbids it, what the control plane knows is left.
"""

# ruff: noqa: D102 - `core/backend.py` says what a method means
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from airflow_runai.backends import organization
from airflow_runai.backends.kubernetes.api.paths import PODS
from airflow_runai.backends.kubernetes.api.writes import Object
from airflow_runai.backends.kubernetes.capacity.capacity import server_version
from airflow_runai.backends.kubernetes.diagnostics.explanation import explain_look
from airflow_runai.backends.kubernetes.known_cluster import KnownCluster
from airflow_runai.backends.kubernetes.logs.log_readers import PodLogReader
from airflow_runai.backends.kubernetes.logs.pod_source import PodSource
from airflow_runai.backends.kubernetes.settings import ClusterSettings
from airflow_runai.backends.kubernetes.trainings.training_look import (
    TrainingLook,
    rows_of,
    united,
)
from airflow_runai.backends.runai import RunaiBackend
from airflow_runai.backends.settings import Settings
from airflow_runai.core.flow import Flow, Open, Request, now
from airflow_runai.core.incarnations import pods_at
from airflow_runai.core.kubernetes.incarnations import PodIncarnation
from airflow_runai.core.kubernetes.pod_rows import pod_row
from airflow_runai.core.log_reader import LogReader
from airflow_runai.core.phases import OVER
from airflow_runai.core.reasons import CAUSES, MAX_REASONS, Reason
from airflow_runai.core.texts import exact
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotFound, RunaiError

T = TypeVar("T")

#: Pods that are asked for one by one; of a larger gang the leader and the oldest.
_MOST_PODS = 16
_KINDS = {cause.code: cause.kind for cause in CAUSES}


def sent_to(address: str, flow: Flow[T]) -> Flow[T]:
    """
    Return a flow that asks the server at another address, streams included.

    Whoever drives it must not let a token of the control plane go there.
    """
    try:
        step = next(flow)
        while True:
            try:
                if isinstance(step, Request):
                    reply = yield _moved(step, address)
                elif isinstance(step, Open):
                    reply = yield replace(step, request=_moved(step.request, address))
                else:
                    reply = yield step
            except Exception as error:
                step = flow.throw(error)
            else:
                step = flow.send(reply)
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        flow.close()


def _moved(request: Request, address: str) -> Request:
    return replace(request, path=f"{address}{request.path}")


class NamedPods(PodSource):
    """
    The pods of Run:ai's workloads, by the names that the control plane tells.

    :param runai: tells them.
    :param address: of the cluster's API server.
    """

    def __init__(self, runai: RunaiBackend, address: str) -> None:
        self._runai, self._address = runai, address.rstrip("/")
        self._namespaces: dict[str, str] = {}

    def ask(self, flow: Flow[T]) -> Flow[T]:
        return sent_to(self._address, flow)

    def pods(self, workload: Workload) -> Flow[list[Object]]:
        rows = yield from RunaiBackend.pods(self._runai, workload)
        namespace = yield from self.namespace(workload)
        named = pods_at(rows, float("inf")) + sorted(rows, key=lambda row: str(row.get("name")))
        names = dict.fromkeys(exact(row.get("name"), "pod's name") for row in named)
        found: list[Object] = []
        for name in [one for one in names if one][:_MOST_PODS]:
            # By a list: all that looks at pods needs that right, and nothing the one to `get`.
            by_name = ("fieldSelector", f"metadata.name={name}")
            found += yield from self.ask(rows_of(PODS.collection(namespace), by_name))
        return found

    def remembered(self, workload: Workload) -> Flow[Sequence[PodIncarnation]]:
        yield from ()
        return ()

    def is_over(self, workload: Workload) -> Flow[bool]:
        try:
            found = yield from self._runai.reader(workload).read(workload.id)
        except NotFound:
            return True
        return found.meaning in OVER

    def namespace(self, workload: Workload) -> Flow[str]:
        """Return the namespace of a workload's project, as Run:ai names it unless it says so."""
        if workload.project_id not in self._namespaces:
            project = yield from organization.project_of(workload.project_id)
            self._namespaces[workload.project_id] = project.namespace or f"runai-{project.name}"
        return self._namespaces[workload.project_id]

    def look(self, workload: Workload) -> Flow[TrainingLook]:
        """Look at the pods; none where they cannot be read."""
        try:
            pods = yield from self.pods(workload)
        except RunaiError:
            pods = []
        return united(workload, None, pods, (yield from now()))


class HybridBackend(RunaiBackend):
    """
    Run:ai, with the eyes of Kubernetes. Its methods mean what :class:`Backend` says.

    :param address: of the API server of the project's cluster.
    """

    def __init__(self, settings: Settings, address: str) -> None:
        super().__init__(settings)
        self._pods = NamedPods(self, address)
        self._cluster = KnownCluster(ClusterSettings(address))

    def explain(self, workload: Workload, since: float = 0.0) -> Flow[tuple[Reason, ...]]:
        known = yield from super().explain(workload, since)
        seen = yield from self._pods.look(workload)
        if not seen.pods:
            return known
        here = replace(workload, project_id=(yield from self._pods.namespace(workload)))
        found = yield from self._pods.ask(explain_look(self._cluster, here, seen, since))
        kinds = {_KINDS.get(reason.code) for reason in found}
        return (*found, *(one for one in known if _KINDS.get(one.code) not in kinds))[:MAX_REASONS]

    def pods(self, workload: Workload, *, gone: bool = False) -> Flow[list[Mapping[str, Any]]]:
        rows = yield from super().pods(workload, gone=gone)
        seen = yield from self._pods.look(workload)
        ways = {one.name: pod_row(one, seen.present)["containers"] for one in seen.lives}
        # The control plane knows the times, the cluster how a pod ended. Names come again.
        present = [row for row in rows if not row.get("deletedAt")]
        gone_before = [row for row in rows if row.get("deletedAt")]
        return [*gone_before, *(_with_containers(row, ways) for row in present)]

    def log(self, workload: Workload) -> LogReader:
        return PodLogReader(workload, self._pods)

    def log_server(self, cluster_id: str) -> Flow[str]:
        yield from self._pods.ask(server_version())
        return self._cluster.settings.cluster


def _with_containers(
    row: Mapping[str, Any], ways: Mapping[str, Sequence[Any]]
) -> Mapping[str, Any]:
    found = ways.get(str(row.get("name")))
    return {**row, "containers": found} if found else row
