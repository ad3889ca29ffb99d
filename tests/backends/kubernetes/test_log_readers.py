"""A log is that of the pod which ran at the moment that is meant; no line is shown twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_runai.backends.kubernetes.logs.failed_members import LINES_OF_EACH, MOST
from airflow_runai.backends.kubernetes.logs.log_readers import PodLogReader
from airflow_runai.backends.kubernetes.logs.pod_source import PodSource
from airflow_runai.core.kubernetes.history import TrainingHistory, write_history
from airflow_runai.core.kubernetes.incarnations import PodIncarnation
from airflow_runai.core.kubernetes.job_facts import HISTORY
from airflow_runai.core.log_lines import LogPosition
from airflow_runai.core.log_reader import LINES, LogPart, LogQuery
from airflow_runai.errors import Forbidden, NotFound, Throttled, Unreachable
from tests.backends.kubernetes.staged import Client, workload
from tests.model.clock import timestamp
from tests.model.conftest import JOB_PATH, Stage, job
from tests.model.kubelet import Life
from tests.model.resources import JOBS, PODS, Object

FOREVER = Life(run=1e6)


class Written:
    """What pods have written; the node stamps each line when it comes."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._lines: dict[str, list[str]] = {}
        self._number = 0
        stage.cluster.server.log_of = lambda pod: "".join(self._lines.get(_name(pod), []))

    def write(self, name: str, *texts: str) -> None:
        """Write lines into the newest pod of a Job."""
        pod = self._stage.pods(name)[-1]
        for text in texts:
            self._number += 1
            stamp = timestamp(self._stage.clock.now()).replace("Z", f".{self._number:09d}Z")
            self._lines.setdefault(_name(pod), []).append(f"{stamp} {text}\n")

    def turn_over(self, name: str) -> None:
        """Begin a new file, as a node does when the old one is too long."""
        self._lines[_name(self._stage.pods(name)[-1])] = []


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


@pytest.fixture
def written(stage: Stage) -> Written:
    return Written(stage)


def reader_of(found: Object) -> PodLogReader:
    return PodLogReader(workload(found, "Running"), PodSource())


def look(
    stage: Stage, reader: PodLogReader, moment: float, seen: LogPosition | None = None
) -> LogPart:
    return Client(stage).ask(reader.look(moment, seen))


def test_the_end_is_shown_and_later_only_what_is_new(stage: Stage, written: Written) -> None:
    reader = reader_of(stage.submit("train", FOREVER))
    stage.clock.advance(5.0)
    written.write("train", "step 1", "step 2")
    first = look(stage, reader, stage.clock.now())
    assert (first.lines, first.node) == (("step 1", "step 2"), "node-0")
    written.write("train", "step 2", "step 3")
    second = look(stage, reader, stage.clock.now(), first.place)
    assert (second.lines, second.has_gap) == (("step 2", "step 3"), False)
    assert second.end == ("step 1", "step 2", "step 2", "step 3")
    third = look(stage, reader, stage.clock.now(), LogPosition.from_json(second.place.to_json()))
    assert (third.lines, third.has_gap) == ((), False)


def test_lines_that_say_the_same_are_told_apart_by_their_times(
    stage: Stage, written: Written
) -> None:
    reader = reader_of(stage.submit("train", FOREVER))
    stage.clock.advance(5.0)
    seen, shown = LogPosition(), 0
    for count in (70, 200, 1, 150):
        written.write("train", *["waiting for data"] * count)
        part = look(stage, reader, stage.clock.now(), seen)
        seen = part.place
        shown += len(part.lines) + part.left_out
        assert not part.has_gap
        assert len(part.lines) <= LINES
    assert shown == 421


def test_a_log_that_was_turned_over_has_a_gap(stage: Stage, written: Written) -> None:
    reader = reader_of(stage.submit("train", FOREVER))
    stage.clock.advance(5.0)
    written.write("train", "a", "b")
    seen = look(stage, reader, stage.clock.now(), LogPosition()).place
    written.turn_over("train")
    written.write("train", "z")
    part = look(stage, reader, stage.clock.now(), seen)
    assert (part.lines, part.has_gap) == (("z",), True)


def test_each_incarnation_has_its_own_log_as_long_as_its_pod_is_there(
    stage: Stage, written: Written
) -> None:
    reader = reader_of(stage.submit("train", Life(run=8.0, exit_code=1), FOREVER))
    stage.clock.advance(4.0)
    written.write("train", "first life")
    ran = stage.clock.now()
    stage.clock.advance(30.0)
    written.write("train", "second life")
    assert look(stage, reader, stage.clock.now()).lines == ("second life",)
    assert look(stage, reader, ran).lines == ("first life",)
    assert Client(stage).ask(reader.read(ran, late=True)).lines == ("first life",)
    assert Client(stage).ask(reader.text(LogQuery(previous=True))).lines == ("first life",)


def test_the_log_of_a_pod_that_is_gone_is_not_that_of_an_older_one(
    stage: Stage, written: Written
) -> None:
    made = stage.submit("train", Life(run=8.0, exit_code=1), FOREVER)
    reader = reader_of(made)
    stage.clock.advance(4.0)
    written.write("train", "first life")
    stage.clock.advance(26.0)
    (_, second) = stage.pods("train")
    moment = stage.clock.now()
    stage.cluster.store.remove(PODS, second)
    stage.clock.advance(0.01)
    born = moment - 10.0
    life = PodIncarnation(second["metadata"]["uid"], _name(second), "node-0", born)
    text = write_history(TrainingHistory((life,)))
    stage.cluster.store.change(
        JOBS, made, lambda one: one["metadata"].update(annotations={HISTORY: text})
    )
    with pytest.raises(NotFound, match="the pod is gone"):
        look(stage, reader, moment)


def test_the_last_log_is_read_long_after_its_end(stage: Stage, written: Written) -> None:
    reader = reader_of(stage.submit("train", Life(run=3.0)))
    stage.clock.advance(3.0)
    written.write("train", "done")
    stage.clock.advance(3600.0)
    assert look(stage, reader, stage.clock.now()).lines == ("done",)


def test_a_pod_that_has_not_started_has_no_log_yet(stage: Stage) -> None:
    reader = reader_of(stage.submit("train", Life(never=("ContainerCreating", ""))))
    with pytest.raises(NotFound, match="the pod is gone"):
        look(stage, reader, stage.clock.now())
    stage.clock.advance(5.0)
    with pytest.raises(NotFound, match="has not started yet"):
        look(stage, reader, stage.clock.now())


def test_secrets_that_a_pod_was_given_are_masked(stage: Stage, written: Written) -> None:
    given = job("train", "team-b", 1)
    variables = [{"name": "API_TOKEN", "value": "s3cr3t-and-long"}, {"name": "N", "value": "7"}]
    given["spec"]["template"]["spec"]["containers"][0]["env"] = variables
    stage.lives["train"] = [FOREVER]
    reader = reader_of(stage.ask("POST", JOB_PATH.format("team-b"), given))
    stage.clock.advance(5.0)
    written.write("train", "token s3cr3t-and-long accepted")
    assert look(stage, reader, stage.clock.now()).lines == ("token *** accepted",)
    client = Client(stage)
    text = client.ask(reader.text(LogQuery()))
    assert client.ask(reader.masked(text.lines)) == ("token *** accepted",)


def test_a_part_can_be_asked_for(stage: Stage, written: Written) -> None:
    reader = reader_of(stage.submit("train", FOREVER))
    stage.clock.advance(5.0)
    written.write("train", *map(str, range(9)))
    client = Client(stage)
    (pod,) = stage.pods("train")
    text = client.ask(reader.text(LogQuery(tail=2, pod=_name(pod), container="side")))
    assert (text.lines, text.is_whole) == (("7", "8"), False)
    assert ("container", "side") in client.asked[-1].params
    assert client.ask(reader.text(LogQuery())).is_whole
    client.ask(reader.text(LogQuery(since=60)))
    assert client.asked[-1].params[-1] == ("sinceSeconds", "60")
    with pytest.raises(NotFound, match="train has no such pod"):
        client.ask(reader.text(LogQuery(pod="nosuch")))


def test_a_look_asks_twice(stage: Stage, written: Written) -> None:
    reader = reader_of(stage.submit("train", FOREVER))
    stage.clock.advance(5.0)
    written.write("train", "a")
    client = Client(stage)
    client.ask(reader.look(stage.clock.now()))
    assert [path.rpartition("/")[2] for path in client.paths] == ["pods", "log"]


def test_a_missing_right_is_told(stage: Stage) -> None:
    reader = reader_of(stage.submit("train", FOREVER))
    stage.cluster.server.forbidden.add(("*", "pods"))
    with pytest.raises(Forbidden):
        look(stage, reader, stage.clock.now())


def test_only_what_keeps_everybody_away_is_an_outage(stage: Stage) -> None:
    reader = reader_of(stage.submit("train", FOREVER))
    path = "GET /api/v1/namespaces/team-b/pods"
    assert reader.outage(Unreachable(f"{path}: reset by peer")) == "reset by peer"
    assert reader.outage(Throttled(f"{path}: 429, asked to slow down")) == "429, asked to slow down"
    assert reader.outage(Unreachable(f"{path}: 500 the node is away", 500)) == ""


def gang(stage: Stage, failing: int, others: int) -> PodLogReader:
    """Start a set of a master and workers, of which the first ones fail after 10 s."""
    one = job("train", "team-b", 0, backoffLimit=0, completions=1, parallelism=1)
    template = {"metadata": {"labels": one["metadata"]["labels"]}, "spec": one["spec"]}
    members = {"master": 1, "weak": failing, "worker": others}
    replicated = [
        {"name": name, "replicas": pods, "template": template} for name, pods in members.items()
    ]
    for number in range(failing):
        stage.lives[f"train-weak-{number}"] = [Life(run=10.0, exit_code=3)]
    for name in ("train-master-0", *(f"train-worker-{number}" for number in range(others))):
        stage.lives[name] = [Life(run=1e6, on_sigterm=(2.0, 1))]
    body = {**one, "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet"}
    body["spec"] = {"failurePolicy": {"maxRestarts": 3}, "replicatedJobs": replicated}
    path = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/team-b/jobsets"
    made = replace(workload(stage.ask("POST", path, body), "Running"), kind="Distributed")
    return PodLogReader(made, PodSource())


def until_has_failed(stage: Stage, job: str) -> None:
    while stage.pods(job)[0]["status"].get("phase") != "Failed":
        stage.clock.advance(0.1)


def test_members_that_failed_are_shown_once_and_not_too_many(
    stage: Stage, written: Written
) -> None:
    reader = gang(stage, MOST + 2, 0)
    stage.clock.advance(8.0)
    written.write("train-master-0", "of the master")
    for number in range(MOST + 2):
        written.write(f"train-weak-{number}", *(f"{number}.{line}" for line in range(50)))
    before = look(stage, reader, stage.clock.now())
    assert (before.lines, before.members) == (("of the master",), ())
    until_has_failed(stage, "train-weak-0")
    part = look(stage, reader, stage.clock.now(), before.place)
    assert part.lines == ()
    assert len(part.members) == MOST
    for one in part.members:
        own = one.pod.split("-")[2]
        assert one.node == "node-0"
        assert one.lines == tuple(f"{own}.{line}" for line in range(50 - LINES_OF_EACH, 50))
    seen = LogPosition.from_json(part.place.to_json())
    assert look(stage, reader, stage.clock.now(), seen).members == ()


def test_members_that_are_removed_for_the_sake_of_one_that_failed_are_not_shown(
    stage: Stage, written: Written
) -> None:
    reader = gang(stage, 1, 2)
    stage.clock.advance(8.0)
    for name in ("train-master-0", "train-weak-0", "train-worker-0", "train-worker-1"):
        written.write(name, f"of {name}")
    moment, uid = stage.clock.now(), stage.pods("train-master-0")[0]["metadata"]["uid"]
    shown: set[tuple[str, ...]] = set()
    ends: set[str] = set()
    while any(one["metadata"]["uid"] == uid for one in stage.pods("train-master-0")):
        shown |= {one.lines for one in look(stage, reader, moment).members}
        ends |= {pod["status"]["phase"] for pod in stage.pods("train-worker-0")}
        stage.clock.advance(0.1)
    assert shown == {("of train-weak-0",)}
    assert "Failed" in ends, "they exit with 1, as if they had failed"
