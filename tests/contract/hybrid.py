"""The world H: the embedded Run:ai controls, and the API server of its cluster tells what pods say and how they end."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timezone
from typing import TypeVar

import httpx

from airflow_runai.backends import clients, drivers
from airflow_runai.backends.hybrid import HybridBackend
from airflow_runai.core.flow import Flow, Reply, Request, through
from airflow_runai.emulator import Emulator
from airflow_runai.emulator.records import EmulatedWorkload, Pod
from tests.contract.embedded import EmbeddedRig
from tests.contract.pod_lines import GrowingBody, PodLines
from tests.contract.rig import Script
from tests.model.refusals import not_found
from tests.model.resources import PODS, Object, place_of
from tests.model.selectors import chooser

T = TypeVar("T")
ADDRESS = "http://cluster.example:6443"


class HybridRig(EmbeddedRig):
    """Its blocking driver."""

    knows = EmbeddedRig.knows | {"logs"}

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(emulator)
        self.backend = HybridBackend(self.settings, ADDRESS)
        self._script = Script()

    def play(self, script: Script) -> None:
        super().play(script)
        self._script = script

    def run(self, flow: Flow[T]) -> T:
        with self._client() as client:
            sent = through(flow, self._send)
            return drivers.run(sent, client, self.told.append, self.pass_time, self.clock)

    def person(self, flow: Flow[T]) -> T:
        with self._client() as client:
            return drivers.run(through(flow, self._send), client)

    def _client(self) -> httpx.Client:
        return clients.client(self.settings, {ADDRESS: httpx.MockTransport(self._answer)})

    def _send(self, request: Request) -> Flow[Reply]:
        """No token of the control plane goes to the cluster."""
        return (yield request) if request.is_elsewhere else (yield from self.tokens.send(request))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        """Be the cluster's API server, of which pods and their logs are all that is asked."""
        assert "authorization" not in request.headers
        place = place_of(request.url.path)
        pods = [
            (workload, pod)
            for workload in self.emulator.workloads_named("train")
            for pod in workload.pods
            if pod.deleted_at is None
        ]
        if place is None or not place.name:
            chooses = chooser(request.url.params, "")
            shown = [_shown(*one) for one in pods if place and place.resource is PODS]
            items = [one for one in shown if chooses(one)]
            return httpx.Response(200, json={"items": items, "metadata": {"resourceVersion": "1"}})
        for workload, pod in pods:
            if pod.name == place.name and place.part == "log":
                return self._log(request, workload, pod)
        return httpx.Response(404, json=not_found(PODS, place.name).body)

    def _log(self, request: httpx.Request, workload: EmulatedWorkload, pod: Pod) -> httpx.Response:
        def tell() -> tuple[str, bool]:
            return self._said(workload, pod), pod.completed_at is not None

        if request.url.params.get("follow") == "true":
            return httpx.Response(200, stream=GrowingBody(tell, self.pass_time))
        lines = tell()[0].splitlines(keepends=True)
        wanted = int(request.url.params.get("tailLines") or len(lines) or 1)
        return httpx.Response(200, text="".join(lines[-wanted:]))

    def _said(self, workload: EmulatedWorkload, pod: Pod) -> str:
        if pod.started_at is None:
            return ""
        done: defaultdict[int, float] = defaultdict(float)
        for one in workload.pods:
            if one.incarnation < pod.incarnation and one.started_at and one.completed_at:
                done[one.index] += one.completed_at - one.started_at
        token = next(
            (one["value"] for one in _variables(workload) if one["name"] == "HUB_TOKEN"), ""
        )
        most = self._script.seconds or float("inf")
        first = f"life {pod.incarnation} {token}"
        lines = PodLines(first, pod.started_at, done[pod.index], most, pod.completed_at)
        return lines.text(self.emulator.clock.now())


def _variables(workload: EmulatedWorkload) -> list[Object]:
    found: list[Object] = workload.spec.get("environmentVariables") or []
    return found


def _shown(workload: EmulatedWorkload, pod: Pod) -> Object:
    """Return a pod as its cluster shows it."""
    state: Object = {"waiting": {"reason": "ContainerCreating"}}
    if pod.started_at is not None:
        state = {"running": {"startedAt": _time(pod.started_at)}}
    if pod.started_at is not None and pod.completed_at is not None:
        code = pod.exit_code or 0
        times = {"startedAt": _time(pod.started_at), "finishedAt": _time(pod.completed_at)}
        state = {
            "terminated": {"exitCode": code, "reason": "Error" if code else "Completed", **times}
        }
    metadata = {
        "name": pod.name,
        "uid": pod.id,
        "namespace": "runai-team-a",
        "creationTimestamp": _time(pod.created_at),
        "resourceVersion": "1",
    }
    variables = [
        {"name": one["name"], "value": one.get("value", "")} for one in _variables(workload)
    ]
    container = {"name": "main", "image": workload.spec.get("image", ""), "env": variables}
    phases = {"Pending", "Running", "Succeeded", "Failed"}
    phase = pod.phase if pod.phase in phases else "Running"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": pod.node, "containers": [container]},
        "status": {"phase": phase, "containerStatuses": [{"name": "main", "state": state}]},
    }


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
