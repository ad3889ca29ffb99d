"""A log is followed from pod to pod: no line is lost without a word, and none comes twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from airflow_runai.backends.kubernetes.logs.log_follow import GAP
from airflow_runai.backends.kubernetes.logs.log_readers import PodLogReader
from airflow_runai.backends.kubernetes.logs.pod_source import PodSource
from airflow_runai.core.flow import Flow, Reply, Request
from airflow_runai.core.log_cursor import LogLine
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotFound, Unreachable
from tests.backends.flows import Flows, Stream
from tests.backends.kubernetes.world import status
from tests.model.clock import timestamp

TRAINING = Workload("job-uid", "train", "Running", "team-a", "model", "Training")
TOKEN = [{"name": "API_TOKEN", "value": "s3cr3t-and-long"}]


class Training:
    """
    A Job, its pods, and what they write.

    :ivar is_over: the Job has ended.
    :ivar is_away: nobody answers.
    """

    def __init__(self) -> None:
        self.is_over = self.is_away = False
        self.flows = Flows(self._answer, stream=self._stream)
        self.shown: list[str] = []
        self._pods: dict[str, dict[str, Any]] = {}
        self._lines: dict[str, list[bytes]] = {}
        self._streams: dict[str, list[Stream]] = {}

    def follow(self, first: int | None = None) -> None:
        self.one = self.flows.start(PodLogReader(TRAINING, PodSource()).follow(self._take, first))

    def after(self, seconds: float) -> list[str]:
        """Let time pass; return what was shown meanwhile."""
        count = len(self.shown)
        self.flows.run(seconds)
        return self.shown[count:]

    def start(self, name: str, **labels: str) -> None:
        now = timestamp(self.flows.now)
        meta = {"name": name, "uid": f"uid-{name}", "namespace": "team-a", "creationTimestamp": now}
        state = {"name": "main", "state": {"running": {"startedAt": now}}}
        self._pods[name] = {
            "metadata": {**meta, "labels": labels},
            "spec": {"containers": [{"name": "main", "env": TOKEN}], "nodeName": "node-0"},
            "status": {"phase": "Running", "containerStatuses": [state]},
        }
        self._lines[name], self._streams[name] = [], []

    def write(self, name: str, *texts: str) -> None:
        for text in texts:
            number = len(self._lines[name])
            stamp = timestamp(self.flows.now).replace("Z", f".{number:09d}Z")
            self._lines[name].append(f"{stamp} {text}".encode())
            for stream in self._streams[name]:
                stream.put(self._lines[name][-1])

    def end(self, name: str, code: int = 0) -> None:
        status = self._pods[name]["status"]
        ended = {"exitCode": code, "finishedAt": timestamp(self.flows.now), "reason": "Error"}
        ended |= status["containerStatuses"][0]["state"]["running"]
        status["phase"] = "Failed" if code else "Succeeded"
        status["containerStatuses"][0]["state"] = {"terminated": ended}
        self.cut(name)

    def cut(self, name: str) -> None:
        """Break the streams."""
        streams, self._streams[name] = self._streams[name], []
        for stream in streams:
            stream.put(None)

    def remove(self, name: str) -> None:
        self.cut(name)
        del self._pods[name]

    def _take(self, lines: Sequence[str]) -> Flow[None]:
        yield from ()
        self.shown += lines

    def _answer(self, request: Request) -> Reply:
        if self.is_away:
            raise Unreachable("nobody there")
        body: Any = {"metadata": {"resourceVersion": "1"}, "items": list(self._pods.values())}
        if request.path.endswith("/log"):
            name = request.path.split("/")[-2]
            known = {"name": name, "kind": "pods"}
            if name not in self._pods:
                return Reply(404, self.flows.now, status(404, "gone", "NotFound", **known))
            text = b"\n".join(self._lines[name])
            return Reply(200, self.flows.now, request.decode(text) if request.decode else None)
        if request.path.endswith("/jobs/train"):
            ended = {"type": "Complete", "status": "True" if self.is_over else "False"}
            body = {"metadata": {"uid": "job-uid"}, "status": {"conditions": [ended]}}
        content = json.dumps(body).encode()
        return Reply(200, self.flows.now, request.decode(content) if request.decode else body)

    def _stream(self, request: Request) -> Stream:
        stream, name = Stream(), request.path.split("/")[-2]
        params = dict(request.params)
        since = params.get("sinceTime", "").removesuffix("Z").encode()
        lines = [line for line in self._lines[name] if line >= since]
        for line in lines[-int(params.get("tailLines", len(lines) or 1)) :]:
            stream.put(line)
        if self._pods[name]["status"]["phase"] == "Running":
            self._streams[name].append(stream)
        else:
            stream.put(None)
        return stream


def test_lines_come_at_once_from_pod_to_pod_until_the_training_has_ended() -> None:
    one = Training()
    one.start("a")
    one.write("a", "step 1", "step 2")
    one.follow()
    assert one.after(0.0) == ["step 1", "step 2"]
    one.write("a", "step 3")
    assert one.after(0.0) == ["step 3"]
    one.write("a", "saved after SIGTERM")
    one.remove("a")
    assert one.after(5.0) == ["saved after SIGTERM"]
    one.start("b")
    one.write("b", "step 3", "step 4")
    assert one.after(5.0) == ["step 3", "step 4"]
    one.end("b")
    one.is_over = True
    assert one.after(10.0) == []
    assert one.one.result is True


def test_it_begins_near_the_end_and_shows_later_pods_whole() -> None:
    one = Training()
    one.start("old")
    one.write("old", "of old")
    one.end("old", 1)
    one.flows.run(20.0)
    one.start("a")
    one.write("a", *map(str, range(30)))
    one.follow(first=2)
    assert one.after(0.0) == ["28", "29"]
    one.end("a", 1)
    one.flows.run(20.0)
    one.start("b")
    one.write("b", *"xyz")
    assert one.after(5.0) == ["x", "y", "z"]


def test_a_pod_that_came_and_went_between_two_looks_is_shown_too() -> None:
    one = Training()
    one.start("a")
    one.follow()
    one.after(1.0)
    one.end("a", 1)
    one.start("b")
    one.write("b", "short life")
    one.end("b", 1)
    one.flows.run(1.0)
    one.start("c")
    one.write("c", "last life")
    one.after(10.0)
    assert one.shown == ["short life", "last life"]


def test_a_broken_connection_repeats_nothing_and_a_log_that_was_turned_over_has_a_gap() -> None:
    one = Training()
    one.start("a")
    one.write("a", "1", "2")
    one.follow()
    one.after(1.0)
    one.cut("a")
    one.write("a", "3")
    assert one.after(5.0) == ["3"]
    one.cut("a")
    one._lines["a"] = []
    one.write("a", "9")
    assert one.after(5.0) == [GAP, "9"]


def test_an_api_server_that_is_away_is_outlasted() -> None:
    one = Training()
    one.start("a")
    one.follow()
    one.after(1.0)
    one.is_away = True
    one.remove("a")
    assert one.after(120.0) == []
    one.is_away = False
    one.start("b")
    one.write("b", "back")
    assert one.after(300.0) == ["back"]


def test_of_a_gang_the_leader_is_followed() -> None:
    one = Training()
    gang = {"jobset.sigs.k8s.io/jobset-uid": "set-uid"}
    one.start("train-worker-0-0-x", **gang)
    one.start("train-master-0-0-y", **gang)
    one.write("train-worker-0-0-x", "of the worker")
    one.write("train-master-0-0-y", "of the master")
    one.follow()
    assert one.after(3.0) == ["of the master"]


def test_secrets_are_masked_on_the_way() -> None:
    one = Training()
    one.start("a")
    one.write("a", "token s3cr3t-and-long accepted")
    one.follow()
    assert one.after(0.0) == ["token *** accepted"]


def test_a_look_is_followed_by_what_its_pod_still_says() -> None:
    one = Training()
    one.start("a")
    one.write("a", "step 1", "step 2")
    reader, heard = PodLogReader(TRAINING, PodSource()), list[LogLine]()
    moment = one.flows.now
    one.flows.start(reader.read(moment))
    one.after(0.0)
    listening = one.flows.start(reader.listen(moment, heard.append))
    one.after(0.0)
    assert heard == []
    one.write("a", "saved after SIGTERM")
    one.after(0.0)
    assert [line.text for line in heard] == ["saved after SIGTERM"]
    one.remove("a")
    one.after(5.0)
    assert isinstance(listening.error, NotFound)


def test_a_training_that_writes_without_end_is_left_when_it_is_too_far_ahead() -> None:
    one = Training()
    one.start("a")
    reader, heard = PodLogReader(TRAINING, PodSource()), list[LogLine]()
    listening = one.flows.start(reader.listen(one.flows.now, heard.append))
    one.after(1.0)
    for _ in range(100):
        one.write("a", *["x"] * 300)
        one.after(0.2)
    one.after(60.0)
    assert (listening.is_done, listening.error) == (True, None)
    assert len(heard) <= 100 * 60 / 0.2
    assert len(heard) % 100 == 0
