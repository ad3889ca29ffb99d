"""What people look at, in a real browser: the embedded Run:ai's page, and the plugin's tab in a stub of Airflow."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_runai.core.outcome import moments_to_json
from airflow_runai.core.timeline import Moment, clocks
from airflow_runai.emulator import Emulator, EmulatorSettings, serve
from tests.emulator.conftest import Client
from tests.end_to_end.browser import Browser, browser

pytestmark = pytest.mark.slow

_ASSETS = Path(__file__).parents[2] / "airflow_runai" / "plugin_assets"
_STUB = Path(__file__).with_name("stub_react.js")
_HOSTILE = "<img src=x onerror='window.hurt=1'><script>window.hurt=1</script>"
_HOSTILE_NAME = '<img src=x onerror="window.hurt=1">'
_PREEMPTED = "Preempted: GPUs reclaimed by project team-b"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


@pytest.mark.parametrize(
    ("required", "ending"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
def test_missing_browser_is_a_skip_or_where_required_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, required: str, ending: type[BaseException]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("RUNAI_REQUIRE_BROWSER", required)
    with (
        pytest.raises(ending, match="apt-get install chromium chromium-driver"),
        browser(tmp_path / "profile"),
    ):
        pass


# -- the embedded Run:ai
# ----------------------------------------------------------------------------------------------


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(EmulatorSettings(grace=1)) as running:
        yield running


@pytest.fixture
def client(emulator: Emulator) -> Client:
    return Client(emulator)


def address(emulator: Emulator, path: str = "/") -> str:
    return f"{emulator.url}{path}#client_id={emulator.client_id}&client_secret={emulator.client_secret}"


def test_nothing_is_shown_before_the_log_in_and_a_wrong_secret_is_told(
    emulator: Emulator, client: Client, window: Browser
) -> None:
    client.create("train-1")
    window.open(emulator.url)
    window.until_text("Client secret")
    assert "train-1" not in window.text()
    window.write("input[name=id]", emulator.client_id)
    window.write("input[name=secret]", "wrong", enter=True)
    window.until_text("the client id or the client secret is wrong")
    window.run("document.querySelector('input[name=secret]').value = ''")
    window.write("input[name=secret]", emulator.client_secret, enter=True)
    window.until_text("train-1")
    assert emulator.client_secret not in "".join(
        window.run("return [location.href, ...Object.values(sessionStorage)]")
    )


def test_fragment_logs_in_and_is_gone_from_the_address(emulator: Emulator, window: Browser) -> None:
    window.open(address(emulator))
    window.until_text("There is no workload yet")
    assert window.run("return location.href") == f"{emulator.url}/"
    assert all(emulator.client_secret not in seen.query for seen in emulator.requests)


def test_preempting_by_hand_shows_in_the_timeline(
    emulator: Emulator, client: Client, window: Browser
) -> None:
    workload = client.create("train-1", command="sh -c 'echo I am on $NODE_NAME; exec sleep 100'")
    client.wait_for(workload, "Running")
    window.open(address(emulator))
    window.until_text("train-1", ".gpu.busy")
    window.click("button[data-action=preempt]")
    row = "tr[data-workload=train-1]"
    window.until("return document.querySelector(arguments[0] + ' .bar .preempted') !== null", row)
    window.until_text("Running", row)
    label = window.run(
        "return document.querySelector(arguments[0] + ' .bar').getAttribute('aria-label')", row
    )
    assert label.index("running") < label.index("preempted") < label.rindex("running")
    assert window.text(f"{row} td:nth-child(3)") == "node-2"
    assert [window.text(f"{row} td:nth-child({n})") for n in (4, 5)] == ["2", "1"]


def test_story_shows_history_events_and_the_log_of_each_incarnation(
    emulator: Emulator, client: Client, window: Browser
) -> None:
    workload = client.create("train-1", command="sh -c 'echo I am on $NODE_NAME; exec sleep 100'")
    client.wait_for(workload, "Running")
    emulator.preempt("train-1")
    client.wait_for(workload, "Pending", "Initializing")
    client.wait_for(workload, "Running")
    window.open(address(emulator, "/workloads?search=train"))
    window.until_text("train-1", "#rows")
    window.click("#rows a")
    window.until_text("I am on node-2", "#log")
    assert window.run("return location.pathname") == "/workloads/train-1"
    assert "Preempted: node maintenance" in window.text("[aria-label=History]")
    assert "Evict" in window.text("[aria-label=Events]")
    window.click("[data-incarnation='1']")
    window.until_text("I am on node-1", "#log")
    window.run("history.back()")
    window.until_text("Find")


def test_suspend_resume_and_delete_by_hand(
    emulator: Emulator, client: Client, window: Browser
) -> None:
    client.create("train-1")
    window.open(address(emulator, "/workloads/train-1"))
    for action, phase in (("suspend", "Stopped"), ("resume", "Running")):
        window.until(
            "return document.querySelector(`button[data-action=${arguments[0]}]`) !== null", action
        )
        window.click(f"button[data-action={action}]")
        window.until_text(phase, "#story .phase")
    window.click("button[data-action=delete]")
    window.accept()
    window.until_text("Deleted", "#story .phase")


def test_refreshing_keeps_the_elements_and_the_focus(
    emulator: Emulator, client: Client, window: Browser
) -> None:
    client.create("train-1")
    window.open(address(emulator))
    window.until_text("Running", "tr[data-workload=train-1]")
    window.run(
        "const one = document.querySelector('button[data-action=suspend]'); one.mark = 1; one.focus()"
    )
    client.create("train-2")
    window.until_text("train-2", "#rows")
    assert window.run(
        "return [document.activeElement.mark, document.activeElement.dataset.name]"
    ) == [1, "train-1"]


def test_hostile_text_is_shown_as_text(emulator: Emulator, client: Client, window: Browser) -> None:
    client.create("train-1", image=_HOSTILE, command=f"echo {_HOSTILE!r}")
    with emulator.plane.lock:
        # Admission refuses such a name; a page must not rely on it.
        next(iter(emulator.world.workloads.values())).name = _HOSTILE_NAME
    window.open(address(emulator))
    window.until_text(_HOSTILE_NAME, "#rows")
    window.click("#rows a")
    window.until_text(_HOSTILE_NAME, "#story h2")
    assert _HOSTILE in window.text("#story dl")
    assert window.run("return [window.hurt ?? null, document.querySelectorAll('img').length]") == [
        None,
        0,
    ]


def test_restarted_emulator_is_found_again(tmp_path: Path, window: Browser) -> None:
    with serve(EmulatorSettings(state=tmp_path)) as emulator:
        Client(emulator).create("train-1")
        window.open(address(emulator))
        window.until_text("train-1")
        emulator.restart()
        window.until_text("live", "#state")
        window.until_text("train-1", "#rows")


# -- the plugin's tab
# -------------------------------------------------------------------------------------------------


class Airflow:
    """As much of Airflow as the tab asks: its own file, and three REST answers under a sub-path."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/sub/path/"

    def knows(
        self,
        state: str,
        timeline: Sequence[Moment] = (),
        now: float = 0,
        url: str = "https://run.ai/w",
    ) -> None:
        self.answers = {"": {"state": state}}
        if timeline:
            told = {
                "timeline": moments_to_json(tuple(timeline)),
                "clocks": clocks(timeline, now).to_dict(),
            }
            self.answers["/xcomEntries/runai_timeline"] = {
                "value": {**told, "phase": timeline[-1].phase}
            }
            workload = {"id": "1", "name": "train-abc-g1", "project": "team-a", "url": url}
            self.answers["/xcomEntries/runai_workload"] = {"value": workload}

    def page(self, **props: Any) -> str:
        props = {
            "dagId": "a/b",
            "runId": "manual__2026-01-01T00:00:00+00:00",
            "taskId": "train",
            **props,
        }
        return (
            f'<!doctype html><meta charset="utf-8"><base href="/sub/path/"><script>{_STUB.read_text()}</script>'
            '<main></main><script type="module">await import(new URL("runai/timeline.js", document.baseURI).href);'
            f'render(React.createElement(globalThis["Run:ai"], {json.dumps(props)}), document.querySelector("main"));'
            "</script>"
        )

    def _answer(self, path: str) -> tuple[str, bytes] | None:
        if path.endswith("timeline.js"):
            return "text/javascript", (_ASSETS / "timeline.js").read_bytes()
        task = "/sub/path/api/v2/dags/a%2Fb/dagRuns/manual__2026-01-01T00%3A00%3A00%2B00%3A00/taskInstances/train"
        index = "/3" if path == f"{task}/3" else ""
        found = self.answers.get(path.removeprefix(task + index)) if path.startswith(task) else None
        return None if found is None else ("application/json", json.dumps(found).encode())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                path = urlsplit(self.path)
                pages = {"/sub/path/tab": {}, "/sub/path/mapped": {"mapIndex": "3"}}
                found = outer._answer(path.path)
                if path.path in pages:
                    found = ("text/html", outer.page(**pages[path.path]).encode())
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", found[0] if found else "application/json")
                self.end_headers()
                self.wfile.write(found[1] if found else b"{}")

            def log_message(self, format: str, *args: object) -> None:
                """Stay quiet."""

        return Handler


@contextmanager
def serving(airflow: Airflow) -> Iterator[Airflow]:
    thread = threading.Thread(target=airflow.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield airflow
    finally:
        airflow.server.shutdown()
        airflow.server.server_close()


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    with serving(Airflow()) as running:
        yield running


def told(*moments: tuple[float, str, str]) -> tuple[Moment, ...]:
    return tuple(Moment(*moment) for moment in moments)


_START = time.time() - 1000
_LIFE = told(
    (_START, "Creating", ""),
    (_START + 10, "Pending", "Waiting in the queue"),
    (_START + 30, "Running", "Running on node-1"),
    (_START + 230, "Terminating", _PREEMPTED),
    (_START + 240, "Pending", f"Queued again. {_PREEMPTED}"),
    (_START + 300, "Initializing", ""),
    (_START + 310, "Running", "Running on node-2"),
    (_START + 600, "Stopping", "Suspended by the user"),
    (_START + 700, "Running", ""),
    (_START + 900, "Completed", ""),
)
_RECTS = "return [...document.querySelectorAll('rect[data-kind]')]"


def test_tab_draws_queue_runs_preemption_and_interruption(
    airflow: Airflow, window: Browser
) -> None:
    airflow.knows("success", _LIFE, _START + 900)
    window.open(airflow.url + "tab")
    window.until_text("train-abc-g1")
    kinds = window.run(f"{_RECTS}.map(one => one.dataset.kind)")
    assert kinds == ["queue", "running", "preempted", "running", "interrupted", "running"]
    widths = window.run(f"{_RECTS}.map(one => one.width.baseVal.value)")
    assert widths == pytest.approx(
        [30 / 0.9, 200 / 0.9, 80 / 0.9, 290 / 0.9, 100 / 0.9, 200 / 0.9], abs=0.5
    )
    assert "interrupted 2 times, preempted once" in window.text()
    assert window.text("[data-part=phase]") == "Completed"
    assert window.run("return document.querySelector('a').href") == "https://run.ai/w"


def test_tab_tells_the_words_of_the_stretch_that_has_the_focus(
    airflow: Airflow, window: Browser
) -> None:
    airflow.knows("success", _LIFE, _START + 900)
    window.open(airflow.url + "tab")
    window.until_text("train-abc-g1")
    window.run("document.querySelector('rect[data-kind=preempted]').focus()")
    window.until_text(_PREEMPTED, "[data-part=chosen]")
    assert "preempted 1 min 20 s" in window.text("[data-part=chosen]")


def test_tab_goes_on_by_itself_and_stops_when_the_task_has_ended(
    airflow: Airflow, window: Browser
) -> None:
    ran_for_16_minutes = time.time() - 1000
    life = told((ran_for_16_minutes - 30, "Creating", ""), (ran_for_16_minutes, "Running", ""))
    airflow.knows("deferred", life, ran_for_16_minutes)
    window.open(airflow.url + "tab")
    window.until_text("Running", "[data-part=phase]")
    running = window.text("[data-clock=running] dd")
    assert running.startswith("16 min"), "the clock goes on since the last change"
    airflow.knows("success", _LIFE, _START + 900)
    window.until_text("Completed", "[data-part=phase]")
    asked = len(airflow.asked)
    # Its timers are the page's: one that were still set for the next look would be due before this.
    window.run("setTimeout(() => { window.later = true; }, 6000)")
    window.until("return window.later")
    assert len(airflow.asked) == asked


def test_tab_shows_the_shortest_preemption_beside_the_longest_run(
    airflow: Airflow, window: Browser
) -> None:
    life = told(
        (1, "Running", ""),
        (864001, "Pending", _PREEMPTED),
        (864002, "Running", ""),
        (1728000, "Completed", ""),
    )
    airflow.knows("success", life, 1728000)
    window.open(airflow.url + "tab")
    window.until_text("preempted once")
    run, preemption, rest = window.run(
        f"{_RECTS}.map(one => [one.x.baseVal.value, one.width.baseVal.value])"
    )
    assert preemption[1] > 5
    assert run[0] + run[1] == pytest.approx(preemption[0], abs=0.1)
    assert preemption[0] + preemption[1] == pytest.approx(rest[0], abs=0.1)


def test_tab_of_a_mapped_task_asks_for_its_own_index(airflow: Airflow, window: Browser) -> None:
    airflow.knows("success", _LIFE, _START + 900)
    window.open(airflow.url + "mapped")
    window.until_text("train-abc-g1")
    assert any(path.endswith("/xcomEntries/runai_timeline?map_index=3") for path in airflow.asked)
    assert any(path.endswith("/taskInstances/train/3") for path in airflow.asked)


@pytest.mark.parametrize(
    ("state", "words"), [("success", "so there is nothing to show"), ("running", "(yet)")]
)
def test_tab_of_another_task_says_so_kindly(
    airflow: Airflow, window: Browser, state: str, words: str
) -> None:
    airflow.knows(state)
    window.open(airflow.url + "tab")
    window.until_text("has submitted nothing to Run:ai")
    assert words in window.text()


def test_tab_shows_hostile_text_as_text_and_no_dangerous_link(
    airflow: Airflow, window: Browser
) -> None:
    life = told(
        (_START, "Pending", _HOSTILE), (_START + 9, _HOSTILE, ""), (_START + 10, "Failed", _HOSTILE)
    )
    airflow.knows("failed", life, _START + 10, url="javascript:window.hurt=1")
    window.open(airflow.url + "tab")
    window.until_text(_HOSTILE, "table")
    assert window.run(
        "return [window.hurt ?? null, document.querySelectorAll('img, a').length]"
    ) == [None, 0]


@pytest.mark.parametrize(
    "life",
    [
        _LIFE,
        _LIFE[:5],
        _LIFE[:8],
        told(
            (1, "Pending", ""),
            (5, "Stopped", ""),
            (9, "Running", ""),
            (10, "Unknown", ""),
            (15, "Pending", ""),
        ),
        told((1, "Creating", ""), (2, "Running", ""), (7, "Terminating", ""), (9, "Completed", "")),
        told((1, "Running", ""), (4, "NeverHeardOf", ""), (6, "Running", ""), (7, "Deleting", "")),
        told((1, "Running", ""), (4, "Failed", ""), (6, "Deleting", "")),
        told(
            (1, "Running", ""),
            (4, "Failed", ""),
            (6, "Pending", ""),
            (9, "Running", ""),
            (20, "Completed", ""),
        ),
        told(
            (1, "Unknown", ""),
            (4, "Running", ""),
            (6, "Pending", ""),
            (9, "Initializing", _PREEMPTED),
        ),
    ],
)
def test_tab_and_clocks_agree(airflow: Airflow, window: Browser, life: tuple[Moment, ...]) -> None:
    airflow.knows("success")
    window.open(airflow.url + "tab")
    now = life[-1].at + 50
    drawn, clocked = window.until(
        """const [moments, now, before] = arguments;
        return globalThis.found ?? void import("/sub/path/runai/timeline.js").then(tab =>
            globalThis.found = [tab.stretches(moments, now), tab.goOn(before, moments, now)])""",
        *(moments_to_json(life), now, clocks(life, now - 45).to_dict()),
    )
    seconds = _sums(drawn)
    expected = clocks(life, now)
    assert seconds["running"] == pytest.approx(expected.running)
    assert seconds["queue"] == pytest.approx(expected.queue)
    assert seconds["preempted"] + seconds["interrupted"] == pytest.approx(
        expected.interrupted_total
    )
    assert sum(part["kind"] == "preempted" for part in drawn) == expected.preemptions
    assert clocked == pytest.approx(expected.to_dict())


def _sums(drawn: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    kinds = ("queue", "running", "interrupted", "preempted")
    return {
        kind: sum(one["until"] - one["since"] for one in drawn if one["kind"] == kind)
        for kind in kinds
    }
