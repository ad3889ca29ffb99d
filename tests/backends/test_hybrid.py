"""Run:ai controls, Kubernetes tells: pods by the names of the one, their ends and logs from the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from airflow_runai.backends import drivers
from airflow_runai.backends.hybrid import HybridBackend
from airflow_runai.backends.kubernetes.least_rights import TRIGGERER, WORKER, granted
from airflow_runai.backends.submission import create_or_adopt
from airflow_runai.backends.tokens import Tokens
from airflow_runai.core.flow import Flow, Reply, Request, through
from airflow_runai.core.log_reader import LogQuery
from airflow_runai.core.workload import Workload
from airflow_runai.emulator import Emulator, Scenario
from airflow_runai.errors import Forbidden, NotFound, Unreachable
from tests.backends.rest import order
from tests.conftest import settings_for
from tests.model.conftest import Stage
from tests.model.faults import asked
from tests.model.pod_logs import LogStream
from tests.model.resources import PODS, Object, place_of

pytestmark = pytest.mark.slow

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
KUBE = "http://kube.example:6443"
NAME = "train-0123456789-g1"
UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
        }
    ],
}


class Both:
    """
    An embedded Run:ai, and the model of a cluster below it.

    :ivar asked: what the cluster was asked.
    :ivar is_away: the cluster does not answer.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator, self.stage = emulator, Stage()
        self.settings = settings_for(emulator)
        self.backend = HybridBackend(self.settings, KUBE)
        self.asked: list[httpx.Request] = []
        self.is_away = False
        self._tokens = Tokens(self.settings.client_id, self.settings.client_secret)

    def run(self, flow: Flow[T]) -> T:
        mounts = {KUBE: httpx.MockTransport(self._answer)}
        with httpx.Client(base_url=self.emulator.url, mounts=mounts) as client:
            return drivers.run(through(flow, self._send), client, sleep=self.emulator.advance)

    def submit(self, **spec: Any) -> Workload:
        project = self.run(self.backend.find_project("team-a"))
        asked = order(NAME, **{"compute": {"gpu_devices": 1}, **spec})
        made = self.run(create_or_adopt(self.backend, project, asked))
        self.emulator.advance(30)
        return self.run(self.backend.reader(made).read(made.id))

    def place(self, workload: Workload, **state: Any) -> Object:
        """Let the cluster have the pod that Run:ai names."""
        (row,) = [one for one in self.run(self.backend.pods(workload)) if not one.get("deletedAt")]
        labels = {"batch.kubernetes.io/job-name": "none"}
        meta = {"name": row["name"], "namespace": "runai-team-a", "labels": labels}
        key = {"name": "API_TOKEN", "value": "s3cr3t-and-long"}
        pod: Object = {
            "metadata": meta,
            "spec": {"nodeName": "gpu-7", "containers": [{"name": "main", "env": [key]}]},
            "status": {
                "phase": "Failed" if "terminated" in state else "Running",
                "containerStatuses": [{"name": "main", "state": state}],
            },
        }
        return self.stage.cluster.store.create(PODS, pod)

    def codes(self, workload: Workload) -> list[str]:
        return [reason.code for reason in self.run(self.backend.explain(workload))]

    def _send(self, request: Request) -> Flow[Reply]:
        # No token of the control plane goes to the cluster.
        return (yield request) if request.is_elsewhere else (yield from self._tokens.send(request))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.is_away:
            raise httpx.ConnectError("connection refused", request=request)
        answer = self.stage.cluster.server.answer(asked(request, "airflow"))
        if isinstance(answer.body, LogStream):
            return httpx.Response(answer.status, text="".join(answer.body.lines))
        if isinstance(answer.body, str):
            return httpx.Response(answer.status, text=answer.body)
        return httpx.Response(answer.status, json=answer.body)


@pytest.fixture
def both(emulator: Emulator) -> Both:
    return Both(emulator)


def ended(code: int, reason: str = "Error") -> Object:
    times = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z"}
    return {"exitCode": code, "reason": reason, **times}


def test_a_pod_has_its_times_from_one_and_its_exit_code_from_the_other(both: Both) -> None:
    one = both.submit()
    (before,) = both.run(both.backend.pods(one))
    both.place(one, terminated=ended(7))
    (row,) = both.run(both.backend.pods(one))
    assert row["containers"][0]["exitCode"] == 7
    assert {key: row[key] for key in row if key != "containers"} == {
        key: before[key] for key in before if key != "containers"
    }
    both.emulator.preempt(one.name)
    both.emulator.advance(30)
    rows = both.run(both.backend.pods(one, gone=True))
    assert [bool(found.get("deletedAt")) for found in rows] == [True, False]


def test_the_exit_code_is_told_where_rest_knows_none(both: Both) -> None:
    both.emulator.plane.scripted.set("train", Scenario(run_seconds=20, exit_code=3))
    one = both.submit(backoff_limit=0)
    assert one.phase == "Failed"
    assert both.codes(one) == ["crashes"]
    both.place(one, terminated=ended(137, "OOMKilled"))
    assert both.codes(one) == ["out-of-memory"]


def test_no_token_of_the_control_plane_goes_to_the_cluster(both: Both) -> None:
    one = both.submit()
    both.place(one, running={"startedAt": "2026-01-01T00:00:00Z"})
    both.run(both.backend.log(one).text(LogQuery()))
    assert {request.url.path.rpartition("/")[2] for request in both.asked} >= {"log"}
    assert not any("authorization" in request.headers for request in both.asked)


def test_logs_are_those_of_the_pod_that_is_named(both: Both) -> None:
    one = both.submit()
    reader = both.backend.log(one)
    with pytest.raises(NotFound, match="the pod is gone"):
        both.run(reader.text(LogQuery()))
    both.place(one, running={"startedAt": "2026-01-01T00:00:00Z"})
    both.stage.cluster.server.log_of = lambda pod: "2026-01-01T00:00:01Z key s3cr3t-and-long\n"
    assert both.run(reader.text(LogQuery(tail=5))).lines == ("key s3cr3t-and-long",)
    part = both.run(reader.look(both.emulator.plane.clock.now()))
    assert (part.lines, part.node) == (("key ***",), "gpu-7")
    path = both.asked[-1].url.path
    assert path.startswith("/api/v1/namespaces/runai-team-a/pods/")


def test_it_needs_no_right_but_those_that_its_page_names_and_the_roles_grant(both: Both) -> None:
    both.emulator.plane.scripted.set("train", Scenario(run_seconds=20, exit_code=3))
    one = both.submit(backoff_limit=0)
    pod = both.place(one, terminated=ended(3))
    both.run(both.backend.log(one).text(LogQuery()))
    both.stage.cluster.store.change(PODS, pod, lambda found: found["status"].update(UNSCHEDULABLE))
    both.run(both.backend.explain(one))
    used = {right_of(request) for request in both.asked}
    page = (ROOT / "docs" / "connection.md").read_text()
    words = "`list` on `pods`, `events` and `nodes`, and `get` on `pods/log`"
    assert words in " ".join(page.split())
    assert used == {("list", one) for one in ("pods", "events", "nodes")} | {("get", "pods/log")}
    for who in (WORKER, TRIGGERER):
        rows = granted("runai", who)
        assert used <= {(verb, need.kind.resource) for need, verbs in rows for verb in verbs}


def right_of(request: httpx.Request) -> tuple[str, str]:
    """Return the verb and the resource that a role has to allow for a GET."""
    place = place_of(request.url.path)
    assert place is not None
    part = f"/{place.part}" if place.part else ""
    return "get" if place.name else "list", f"{place.resource.plural}{part}"


def test_a_cluster_that_is_away_or_forbids_it_leaves_what_run_ai_knows(both: Both) -> None:
    both.emulator.plane.scripted.set("train", Scenario(run_seconds=20, exit_code=3))
    one = both.submit(backoff_limit=0)
    both.place(one, terminated=ended(3))
    assert both.codes(one) == ["exit-code"]
    both.is_away = True
    assert both.codes(one) == ["crashes"]
    assert len(both.run(both.backend.pods(one, gone=True))) == 1
    with pytest.raises(Unreachable):
        both.run(both.backend.log_server("any"))
    both.is_away = False
    assert both.run(both.backend.log_server("any")) == KUBE
    both.stage.cluster.server.forbidden.add(("list", "pods"))
    assert both.codes(one) == ["crashes"]
    with pytest.raises(Forbidden):
        both.run(both.backend.log(one).text(LogQuery()))


def test_a_log_is_followed_until_run_ai_says_that_it_is_over(both: Both) -> None:
    one = both.submit()
    both.place(one, terminated=ended(0, "Completed"))
    both.stage.cluster.server.log_of = lambda pod: "2026-01-01T00:00:01Z done\n"
    both.emulator.advance(200)
    shown: list[str] = []

    def take(lines: Any) -> Flow[None]:
        yield from ()
        shown.extend(lines)

    assert both.run(both.backend.log(one).follow(take)) is True
    assert shown == ["done"]
