"""`airflow runai logs`: the log itself, and what there is instead."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from airflow_runai.backends import drivers
from airflow_runai.backends.cluster_api import Clusters
from airflow_runai.backends.runai import RunaiBackend
from airflow_runai.backends.settings import Settings
from airflow_runai.backends.workload_logs import WorkloadLog
from airflow_runai.cli.logs import PATIENCE, _Reader
from airflow_runai.core.flow import Flow
from airflow_runai.core.log_reader import LogQuery
from airflow_runai.core.workload import Workload
from airflow_runai.emulator import Emulator
from airflow_runai.errors import Unreachable
from tests.airflow.running import Person, meanwhile
from tests.cli.conftest import Airflow
from tests.support.waiting import wait_until

TALKS = "sh -c 'echo key is $API_KEY; seq 150; sleep 99'"
VARIABLES = [{"name": "API_KEY", "value": "0123456789abcdef"}]


def talking(emulator: Emulator, command: str, words: str, **spec: Any) -> None:
    Person(emulator).submit("team-a", "talks", command=command, **spec)
    wait_until(lambda: words in emulator.log("talks"), words)


@pytest.mark.slow
def test_the_log_is_shown_cut_and_masked(airflow: Airflow, emulator: Emulator) -> None:
    talking(emulator, TALKS, "150", environmentVariables=VARIABLES)
    shown = airflow("logs", "talks")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.split() == [str(number) for number in range(51, 151)]
    assert airflow("logs", "talks", "--tail", "2", "--since", "1d").out == "149\n150\n"
    whole = airflow("logs", "talks", "--tail", "-1", "--pod", "talks-0-0", "--container", "talks")
    assert whole.out.startswith("key is ***\n1\n")
    document = json.loads(airflow("logs", "talks", "--tail", "1", "-o", "json").out)
    assert (document["name"], document["logs"], document["error"]) == ("talks", ["150"], None)


@pytest.mark.slow
def test_previous_is_the_incarnation_that_failed(
    airflow: Airflow, emulator: Emulator, tmp_path: Any
) -> None:
    mark = tmp_path / "mark"
    once = f"sh -c 'test -e {mark} && echo again && exec sleep 99; touch {mark}; echo bang; exit 3'"
    talking(emulator, once, "again")
    assert airflow("logs", "talks").out == "again\n"
    assert airflow("logs", "talks", "--previous").out == "bang\n"


@pytest.mark.slow
def test_followed_until_the_workload_has_ended(airflow: Airflow, emulator: Emulator) -> None:
    go = emulator.root / "go"
    waits = f"sh -c 'echo one; until test -e {go}; do sleep 0.05; done; echo two'"
    talking(emulator, waits, "one")

    def let_it_end() -> None:
        path = "/cluster-api/api/v1/team-a/workloads/training/runai/talks/logs/download"
        wait_until(lambda: any(one.path == path for one in emulator.requests), "the first look")
        go.touch()

    with meanwhile(let_it_end):
        shown = airflow("logs", "talks", "-f")
    assert (shown.code, shown.out) == (0, "one\ntwo\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--since", "yesterday"), "--since: 'yesterday'; allowed: a whole number with s, m, h"),
        (("-f", "-o", "json"), "--follow: together with -o"),
    ],
)
def test_what_does_not_fit_is_named(
    airflow: Airflow, emulator: Emulator, words: tuple[str, ...], says: str
) -> None:
    shown = airflow("logs", "talks", *words)
    assert shown.code == 2
    assert says in shown.err


class Played:
    """The hook of a command: a log that grows at each look, until its workload has ended."""

    settings = Settings("https://org.run.ai", "id", "secret", cluster_url="https://c.example")

    def __init__(self, *looks: list[str] | int, recent: Sequence[str] = ()) -> None:
        self.looks, self.recent = list(looks), recent
        self.backend = RunaiBackend(self.settings)

    def run(self, flow: Flow[Any]) -> Any:
        transport = httpx.MockTransport(self._answer)
        with httpx.Client(transport=transport, base_url="https://org.run.ai/") as client:
            return drivers.run(flow, client)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "c.example":
            return self._log(request)
        phase = "Running" if len(self.looks) > 1 else "Completed"
        body = {"id": "4501", "name": "team-a", "phase": phase, "projectId": "4501", "spec": {}}
        return httpx.Response(200, json=body)

    def _log(self, request: httpx.Request) -> httpx.Response:
        if "since" in request.url.params:
            return httpx.Response(200, text="".join(f"{line}\n" for line in self.recent))
        look = self.looks.pop(0)
        if isinstance(look, int):
            return httpx.Response(look)
        return httpx.Response(200, text="".join(f"{line}\n" for line in look))

    def followed(self, query: LogQuery) -> list[str]:
        workload = Workload("id", "talks", "Running", "4501", "c-1", "Training")
        hook: Any = self
        log = WorkloadLog(workload, Clusters(self.settings))
        return list(_Reader(hook, log, query).followed())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


OLD = [f"old {number}" for number in range(50)]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        (LogQuery(tail=0), []),
        (LogQuery(tail=2), OLD[-2:]),
        (LogQuery(tail=None), OLD),
        (LogQuery(tail=100, since=60), []),
    ],
    ids=str,
)
def test_what_is_older_than_asked_for_does_not_come_later(
    query: LogQuery, first: list[str], quick: None
) -> None:
    assert Played(OLD, OLD, [*OLD, "new"]).followed(query) == [*first, "new"]


def test_of_the_last_minute_each_line_comes_once(quick: None) -> None:
    played = Played(OLD, [*OLD, "new", "newer"], recent=[*OLD[-2:], "new"])
    assert played.followed(LogQuery(tail=100, since=60)) == [*OLD[-2:], "new", "newer"]


def test_a_look_that_is_lost_ends_nothing(quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert Played(["a"], 503, 503, ["a", "b"]).followed(LogQuery(tail=1)) == ["a", "b"]
    assert capsys.readouterr().err.count("503") == 1


def test_a_cluster_that_stays_away_ends_it(quick: None) -> None:
    with pytest.raises(Unreachable):
        Played(503, ["a"]).followed(LogQuery())
    with pytest.raises(Unreachable):
        Played(["a"], *[503] * (PATIENCE + 2)).followed(LogQuery())
