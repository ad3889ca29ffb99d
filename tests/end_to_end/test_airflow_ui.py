"""Airflow's own page in a real browser: the tab of a real run, and the button that tests a connection."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from airflow_runai import __version__
from tests.end_to_end.browser import Browser, browser
from tests.end_to_end.installation import Airflow
from tests.end_to_end.rest import Run
from tests.end_to_end.site import Site, Start

_TAB = "[aria-label='Run:ai workload']"
_KINDS = "return [...document.querySelectorAll('rect[data-kind]')].map(one => one.dataset.kind)"


@pytest.fixture(scope="module")
def window(airflow: Airflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


@pytest.fixture(scope="module")
def preempted(start: Start) -> Iterator[tuple[Site, Run]]:
    """A training that runs again after a preemption."""
    here, run = start()
    here.preempt(here.runs_deferred(run))
    yield here, run
    here.finish()


def address(airflow: Airflow, run: Run) -> str:
    return f"{airflow.url}/dags/{run.dag_id}/runs/{quote(run.run_id)}/tasks/train/plugin/runai"


def test_tab_shows_a_real_run_in_light_and_dark(
    airflow: Airflow, preempted: tuple[Site, Run], window: Browser
) -> None:
    here, run = preempted
    shades = {}
    window.open(airflow.url)
    for theme in ("light", "dark"):
        window.run("localStorage.setItem('theme', arguments[0])", theme)
        window.run("localStorage.setItem('timezone', '\"Asia/Tokyo\"')")
        window.open(address(airflow, run))
        window.until_text(here.only_workload(run).name, f"{_TAB} h2")
        window.until_text("preempted once", _TAB)
        assert window.run(_KINDS) == ["queue", "running", "preempted", "running"]
        window.run("document.querySelector('rect[data-kind=preempted]').focus()")
        window.until_text("Preempted: node maintenance", "[data-part=chosen]")
        assert window.text("[data-part=zone]") == "All times are in Asia/Tokyo."
        shades[theme] = window.run(
            "return getComputedStyle(document.querySelector(arguments[0])).color", _TAB
        )
    assert shades["light"] != shades["dark"]


def test_each_file_of_the_tab_is_loaded_by_an_address_with_the_version(
    airflow: Airflow, preempted: tuple[Site, Run], window: Browser
) -> None:
    window.open(address(airflow, preempted[1]))
    window.until_text("preempted once", _TAB)
    loaded = window.run(
        "return performance.getEntriesByType('resource').map(one => new URL(one.name).pathname)"
        ".filter(path => path.startsWith('/runai/'))"
    )
    assert {path.rpartition("/")[0] for path in loaded} == {f"/runai/{__version__}"}
    assert len(loaded) > 5


@pytest.mark.parametrize(
    ("has_port", "words"),
    [
        (True, "Test Connection Successful"),
        # Airflow's own defect, of which docs/connection.md tells: once this fails, tell it no more.
        (False, "Test Connection Failed"),
    ],
)
def test_button_tests_a_connection_that_has_a_port(
    airflow: Airflow, preempted: tuple[Site, Run], window: Browser, has_port: bool, words: str
) -> None:
    here, _ = preempted
    name = f"tested_{has_port}".lower()
    port = here.emulator.port if has_port else None
    airflow.rest.post("/connections", {"connection_id": name, **here.connection(), "port": port})
    window.open(f"{airflow.url}/connections")
    window.until_text(name)
    window.run(
        "[...document.querySelectorAll('tr')].find(one => one.innerText.includes(arguments[0]))"
        ".querySelector('[aria-label=\"Test Connection\"]').click()",
        name,
    )
    window.until_text(words, "[data-scope=toast][data-part=root]")
    if has_port:
        assert "project team-a found" in window.text("[data-scope=toast][data-part=root]")
