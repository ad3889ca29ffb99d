"""What the worker writes of a log when a wait has ended: nothing twice, and never an error."""

from __future__ import annotations

import dataclasses
import http.server
import ssl
import threading
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from airflow_runai.backends import drivers
from airflow_runai.backends.runai import RunaiBackend
from airflow_runai.backends.settings import Settings
from airflow_runai.core.flow import Flow
from airflow_runai.core.log_lines import LogPosition, growth
from airflow_runai.core.outcome import FAILED, Outcome
from airflow_runai.core.timeline import Moment, clocks
from airflow_runai.errors import Untrusted
from airflow_runai.tasks.log_end import show_end_of_log
from tests.airflow.test_provider import self_signed

SETTINGS = Settings("https://org.run.ai", "id", "a-secret", cluster_url="https://c.example")
TIMELINE = tuple(
    Moment(at, phase)
    for at, phase in ((100, "Pending"), (200, "Running"), (300, "Terminating"), (310, "Failed"))
)
LOG = "epoch 1\nlast words\n"


class Wire(httpx.BaseTransport):
    """A control plane and one cluster are played; other hosts are looked for in earnest."""

    def __init__(self, answer: Callable[[], httpx.Response]) -> None:
        self.answer = answer
        self.earnest = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "c.example":
            return self.answer()
        if request.url.host != "org.run.ai":
            return self.earnest.handle_request(request)
        if request.url.path.endswith("/pods"):
            return httpx.Response(200, json={"pods": []})
        return httpx.Response(200, json={"id": "4501", "name": "team-a", "spec": {}})


class Hook:
    """Sends the flows of a worker over that wire."""

    def __init__(self, answer: Callable[[], httpx.Response], settings: Settings = SETTINGS) -> None:
        self.settings, self.backend = settings, RunaiBackend(settings)
        self.wire = Wire(answer)

    def run(self, flow: Flow[Any]) -> Any:
        with httpx.Client(transport=self.wire, base_url="https://org.run.ai/") as client:
            return drivers.run(flow, client)


def ended(**log: Any) -> Outcome:
    return Outcome(
        FAILED,
        "id-train",
        "train",
        "Failed",
        "",
        310.0,
        clocks(TIMELINE, 310.0),
        TIMELINE,
        project_id="4501",
        cluster_id="c-1",
        kind="Training",
        log=log,
    )


def seen(*lines: str, is_whole: bool = True) -> Any:
    return growth(LogPosition(), lines, is_whole=is_whole).place.to_json()


@pytest.fixture
def told() -> Iterator[list[str]]:
    """The lines of the task log."""
    lines: list[str] = []

    def note(_: Any, __: str, event: MutableMapping[str, Any]) -> Any:
        lines.append(event["event"] % event.get("positional_args", ()))
        raise structlog.DropEvent

    before = structlog.get_config()["processors"]
    structlog.configure(processors=[note])
    yield lines
    structlog.configure(processors=before)


def show(hook: Any, outcome: Outcome, get_logs: str = "tail") -> list[str]:
    return show_end_of_log(hook, outcome, get_logs, tail_on_success=False)


HEAD = "log of train, incarnation 1:"


@pytest.mark.parametrize("get_logs", ["tail", "follow"])
def test_what_the_wait_has_written_is_not_written_again(told: list[str], get_logs: str) -> None:
    hook = Hook(lambda: httpx.Response(200, text=LOG))
    tab = show(hook, ended(number=1, **seen("epoch 1", "last words")), get_logs)
    assert told == []
    assert tab == [HEAD, "| epoch 1", "| last words"], "the tab shows the end all the same"


@pytest.mark.parametrize("get_logs", ["tail", "follow"])
def test_what_the_wait_has_not_seen_is_written(told: list[str], get_logs: str) -> None:
    hook = Hook(lambda: httpx.Response(200, text=LOG))
    show(hook, ended(number=1, **seen("epoch 1")), get_logs)
    assert told == [HEAD, "| last words"]


@pytest.mark.parametrize("log", [{}, {"number": 0, **seen()}, {"number": 7, **seen("epoch 1")}])
def test_of_an_incarnation_that_the_wait_did_not_see_all_is_written(
    told: list[str], log: dict[str, Any]
) -> None:
    show(Hook(lambda: httpx.Response(200, text=LOG)), ended(**log))
    assert told == [HEAD, "| epoch 1", "| last words"]


@pytest.mark.parametrize("url", ["https://c..example", "https://münchen_.example"])
def test_an_address_that_is_none_is_a_sentence(told: list[str], url: str) -> None:
    settings = dataclasses.replace(SETTINGS, cluster_url=url)
    assert show(Hook(lambda: httpx.Response(200), settings), ended()) == told
    (line,) = told
    assert line.startswith(f"the log of train cannot be read (GET {url}: not an address: ")
    assert "check the connection's cluster_url" in line


def test_a_certificate_that_is_not_trusted_is_a_sentence(told: list[str], tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), http.server.BaseHTTPRequestHandler
    ) as cluster:
        cluster.socket = context.wrap_socket(cluster.socket, server_side=True)
        threading.Thread(target=cluster.serve_forever, args=(0.05,), daemon=True).start()
        url = f"https://127.0.0.1:{cluster.server_port}"
        settings = dataclasses.replace(SETTINGS, cluster_url=url)
        show(Hook(lambda: httpx.Response(200), settings), ended())
        cluster.shutdown()
    (line,) = told
    assert line.startswith(f"the log of train cannot be read (GET {url}: ")
    assert "certificate is not trusted" in line
    assert "name its CA file in the connection" in line


def test_what_nobody_has_thought_of_is_a_sentence(told: list[str]) -> None:
    assert show(Hook(lambda: [][0]), ended()) == told
    assert told == ["the log of train cannot be read (IndexError: list index out of range)"]
    told.clear()
    assert show(Hook(lambda: [][0]), ended(complaint="said before")) == told == []


@pytest.mark.parametrize(
    ("count", "says"),
    [(1, "(1 line of logs is left out: "), (2, "(2 lines of logs are left out: ")],
)
def test_what_had_no_room_is_counted(told: list[str], count: int, says: str) -> None:
    show(Hook(lambda: httpx.Response(404, json={})), ended(kept=["| a"], left_out=count))
    assert told[0].startswith(says)
    assert told[1:] == ["| a", "the log of train is gone with its pod"]


def test_the_advice_is_not_cut_off(told: list[str]) -> None:
    url = "https://runai-cluster.eu-central.example-company.com"
    words = "the server's certificate is not trusted " + "x" * 150 + "; name its CA file"
    where = f"{url}/cluster-api/api/v1/{'p' * 60}/workloads/training/runai/{'t' * 60}/logs/download"

    def fail() -> httpx.Response:
        raise Untrusted(f"GET {where}: {words}")

    show(Hook(fail), ended())
    assert told == [f"the log of train cannot be read (GET {url}: {words})"]
