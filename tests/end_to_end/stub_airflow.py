"""As much of Airflow as the plugin's tab asks: its own files, and REST answers under a sub-path."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_runai.core.outcome import moments_to_json
from airflow_runai.core.timeline import Moment, clocks
from airflow_runai.plugin import RunaiPlugin

ASSETS = Path(__file__).parents[2] / "airflow_runai" / "plugin_assets"
#: Address of the tab's files, below the sub-path.
[TAB] = [app["bundle_url"] for app in RunaiPlugin.react_apps]
_STUB = Path(__file__).with_name("stub_react.js")
_BASE = "/sub/path/"
_TASK = f"{_BASE}api/v2/dags/a%2Fb/dagRuns/manual__2026-01-01T00%3A00%3A00%2B00%3A00/taskInstances/train"


class StubAirflow:
    """A server; a test changes what it knows at any time. An answer that is a number is a status."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}{_BASE}"

    def knows(
        self,
        state: str,
        timeline: Sequence[Moment] = (),
        now: float = 0,
        url: str = "https://run.ai/w",
        **news: Any,
    ) -> None:
        self.answers = {"": {"state": state, "operator_name": "RunaiTrainingOperator"}}
        if timeline:
            told = {
                "timeline": moments_to_json(tuple(timeline)),
                "clocks": clocks(timeline, now).to_dict(),
                "phase": timeline[-1].phase,
                **news,
            }
            workload = {"id": "1", "name": "train-abc-g1", "project": "team-a", "url": url}
            self.knows_xcom("runai_timeline", told)
            self.knows_xcom("runai_workload", workload)

    def knows_xcom(self, key: str, value: object) -> None:
        self.answers[f"/xcomEntries/{key}"] = {"value": value}

    def knows_result(
        self, operator: str, result: Mapping[str, Any], state: str = "success"
    ) -> None:
        """Be a task that has ended with a result and waited for no workload."""
        self.answers = {"": {"state": state, "operator_name": operator}}
        self.knows_xcom("return_value", dict(result))

    def page(self, **props: Any) -> str:
        props = {
            "dagId": "a/b",
            "runId": "manual__2026-01-01T00:00:00+00:00",
            "taskId": "train",
            **props,
        }
        return (
            f'<!doctype html><meta charset="utf-8"><base href="{_BASE}"><script>{_STUB.read_text()}</script>'
            f'<main></main><script type="module">await import(new URL("{TAB}", document.baseURI).href);'
            f'render(React.createElement(globalThis["Run:ai"], {json.dumps(props)}), document.querySelector("main"));'
            "</script>"
        )

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        pages = {f"{_BASE}tab": {}, f"{_BASE}mapped": {"mapIndex": "3"}}
        if path in pages:
            return 200, "text/html", self.page(**pages[path]).encode()
        folder = _BASE + TAB.rpartition("/")[0]
        if path.startswith(folder):
            return 200, "text/javascript", (ASSETS / path.rpartition("/")[2]).read_bytes()
        index = "/3" if path == f"{_TASK}/3" else ""
        known = path.startswith(_TASK)
        found = self.answers.get(path.removeprefix(_TASK + index)) if known else None
        if isinstance(found, int):
            return found, "application/json", b"{}"
        return 404 if found is None else 200, "application/json", json.dumps(found or {}).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                status, kind, body = outer._answer(urlsplit(self.path).path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Stay quiet."""

        return Handler


@contextmanager
def stub_airflow() -> Iterator[StubAirflow]:
    """Run one for as long as a ``with`` block lasts."""
    airflow = StubAirflow()
    # Half a second, the default, would be the longest part of most tests.
    thread = threading.Thread(target=airflow.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield airflow
    finally:
        airflow.server.shutdown()
        airflow.server.server_close()
