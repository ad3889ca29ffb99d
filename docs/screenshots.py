"""
Takes the pictures of web pages for the documentation: ``make screenshots``.

It starts an Airflow, three embedded Run:ais and a browser, as the tests do, and needs a few
minutes. The pictures are of real runs, so they differ each time.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from tests.end_to_end.browser import Browser, browser
from tests.end_to_end.database import postgres
from tests.end_to_end.installation import Airflow, installed
from tests.end_to_end.rest import Run
from tests.end_to_end.site import CLIENT_ID, CLIENT_SECRET, Site, begin, site
from tests.support.waiting import wait_until

IMAGES = Path(__file__).with_name("images")
_FAILING = "#!/bin/sh\necho 'cannot read the data'; sleep 2; exit 3\n"
#: One GPU, which belongs to another project than the trainings'.
_BORROWED = {"nodes": 1, "gpus_per_node": 1, "projects": ("team-a:0", "team-b:1")}


def main() -> None:
    """Let three trainings meet what is to be seen, and take the pictures."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        resumed = stack.enter_context(site(home / "resumed"))
        evicted = stack.enter_context(site(home / "evicted", **_BORROWED))
        failing = stack.enter_context(site(home / "failing"))
        (failing.shared / "wait.sh").write_text(_FAILING)
        database = stack.enter_context(postgres())
        (home / "airflow").mkdir()
        airflow = stack.enter_context(installed(home / "airflow", database.address, {}))
        runs = {
            "tab-running": _resumed(airflow, resumed),
            "tab-preempted": _preempted(airflow, evicted),
            "tab-failed": _failed(airflow, failing),
        }
        window = stack.enter_context(browser(home / "browser"))
        window.open(airflow.url)
        for name, run in runs.items():
            _tab(window, airflow, run, "light", name)
        _tab(window, airflow, runs["tab-running"], "dark", "tab-dark")
        _connection_form(window, airflow, resumed)
        _embedded(window, resumed)


def _resumed(airflow: Airflow, here: Site) -> Run:
    run = begin(airflow.rest, here, "waiting")
    here.preempt(here.runs_deferred(run))
    return run


def _preempted(airflow: Airflow, here: Site) -> Run:
    run = begin(airflow.rest, here, "waiting")
    workload = here.runs_deferred(run)
    here.submit("colleague", "team-b", 1)
    wait_until(lambda: workload.phase == "Pending", "it is queued again")
    return run


def _failed(airflow: Airflow, here: Site) -> Run:
    run = begin(airflow.rest, here, "waiting_once")
    wait_until(lambda: run.task()["state"] == "failed", "the training has failed")
    return run


def _tab(window: Browser, airflow: Airflow, run: Run, theme: str, name: str) -> None:
    window.run("localStorage.setItem('theme', arguments[0])", theme)
    window.open(
        f"{airflow.url}/dags/{run.dag_id}/runs/{quote(run.run_id)}/tasks/train/plugin/runai"
    )
    kind = "crashed" if name == "tab-failed" else "preempted"
    window.until(f"return document.querySelector('rect[data-kind={kind}]') !== null")
    window.run(f"document.querySelector('rect[data-kind={kind}]').focus()")
    window.until("return document.querySelector('[data-part=frame]') !== null")
    _picture(window, name)


def _connection_form(window: Browser, airflow: Airflow, here: Site) -> None:
    fields = {**here.connection(), "host": "https://org.run.ai", "port": 443}
    airflow.rest.post("/connections", {"connection_id": "runai_default", **fields})
    window.run("localStorage.setItem('theme', 'light')")
    window.open(f"{airflow.url}/connections")
    window.until_text("runai_default")
    window.run(
        "[...document.querySelectorAll('tr')].find(row => row.innerText.includes('runai_default'))"
        ".querySelector('[aria-label=\"Edit Connection\"]').click()"
    )
    window.until_text("Control plane URL")
    window.until("return document.querySelector('input[name=port]')?.value === '443'")
    _picture(window, "connection")


def _embedded(window: Browser, here: Site) -> None:
    fragment = f"client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}"
    window.open(f"{here.emulator.url}/#{fragment}")
    window.until_text("Running", "#rows")
    _picture(window, "embedded")


def _picture(window: Browser, name: str) -> None:
    path = IMAGES / f"{name}.png"
    window.picture(path)
    shrink(path)


def shrink(path: Path) -> None:
    """
    Leave a picture its 256 most frequent colors: a reader waits for each kilobyte.

    A palette that is computed would mix rare colors, and those of a bar have a meaning.
    """
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    counted = picture.getcolors(picture.width * picture.height) or []
    frequent = [color for _, color in sorted(counted, reverse=True)[:256]]
    palette = Image.new("P", (1, 1))
    palette.putpalette(bytes(part for color in frequent for part in color))
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
