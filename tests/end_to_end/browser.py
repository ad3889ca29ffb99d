"""
A headless Chromium to look at pages with, driven over WebDriver: JSON over HTTP, so that no client library is needed.

Where there is no Chromium the tests are skipped with the reason; ``RUNAI_REQUIRE_BROWSER=1`` makes
that a failure.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.waiting import wait_until

_MISSING = "needs chromium and chromedriver: apt-get install chromium chromium-driver"
_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--window-size=1300,1000",
)
_ENTER = "\ue007"


class Browser:
    """One window."""

    def __init__(self, driver: str, profile: Path) -> None:
        self._http = httpx.Client(timeout=None, trust_env=False)
        options = {
            "binary": shutil.which("chromium"),
            "args": [*_ARGUMENTS, f"--user-data-dir={profile}"],
        }
        wanted = {
            "capabilities": {
                "alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}
            }
        }
        session = self._value(self._http.post(f"{driver}/session", json=wanted))["sessionId"]
        self._session = f"{driver}/session/{session}"

    def open(self, url: str) -> None:
        """Load a page; a mere change of the fragment loads nothing."""
        self._call("url", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a function body in the page and return what it returns."""
        return self._call("execute/sync", script=script, args=arguments)

    def text(self, selector: str = "body") -> str:
        """Return what a reader sees of the first such element; nothing if there is none."""
        return str(
            self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector)
        )

    def click(self, selector: str) -> None:
        """Click as a person does: it must be there, be visible and not be covered."""
        self._on(selector, "click")

    def write(self, selector: str, text: str, enter: bool = False) -> None:
        """Type into a field."""
        self._on(selector, "value", text=text + (_ENTER if enter else ""))

    def until(self, script: str, *arguments: Any) -> Any:
        """Wait until a script returns something true."""
        return wait_until(lambda: self.run(script, *arguments), lambda: self._lacks(script))

    def until_text(self, wanted: str, selector: str = "body") -> None:
        """Wait until a reader sees this."""
        wait_until(lambda: wanted in self.text(selector), lambda: self._lacks(wanted))

    def accept(self) -> None:
        """Say yes to the question that is open."""
        self._call("alert/accept")

    def picture(self, path: Path) -> None:
        """Save what the window shows."""
        path.write_bytes(
            base64.b64decode(self._value(self._http.get(f"{self._session}/screenshot")))
        )

    def close(self) -> None:
        """End the browser."""
        self._http.delete(self._session)
        self._http.close()

    def _lacks(self, what: str) -> str:
        return f"{what!r}; the page says:\n{self.text()}\n"

    def _on(self, selector: str, action: str, **body: Any) -> None:
        found = self._call("element", using="css selector", value=selector)
        self._call(f"element/{next(iter(found.values()))}/{action}", **body)

    def _call(self, path: str, **body: Any) -> Any:
        return self._value(self._http.post(f"{self._session}/{path}", json=body))

    @staticmethod
    def _value(answer: httpx.Response) -> Any:
        value = answer.json()["value"]
        assert answer.status_code == 200, f"{value['error']}: {value['message'].splitlines()[0]}"
        return value


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """
    Run a Chromium of one's own.

    :param profile: a directory that does not exist yet, for all that the browser keeps.
    """
    driver = shutil.which("chromedriver")
    if not driver or not shutil.which("chromium"):
        (pytest.fail if os.environ.get("RUNAI_REQUIRE_BROWSER") == "1" else pytest.skip)(_MISSING)
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
    process = subprocess.Popen(
        [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _answers(port), "chromedriver listens")
        window = Browser(f"http://127.0.0.1:{port}", profile)
        try:
            yield window
        finally:
            window.close()
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
