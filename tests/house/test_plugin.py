"""
The plugin as Airflow sees it: cheap to import, one tab, a few files.

How the tab looks: end_to_end/test_tab.py.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from airflow_runai import __version__
from airflow_runai.core.phases import PHASES
from airflow_runai.plugin import RunaiPlugin

_ASSETS = Path(__file__).parents[2] / "airflow_runai" / "plugin_assets"
_VERSION = f"runai/{__version__}"


def get(path: str) -> httpx.Response:
    """Send a request to the plugin's app, mounted under a sub-path as by Airflow's web server."""
    [app] = RunaiPlugin.fastapi_apps
    airflow = Starlette()
    airflow.mount("/sub/path" + app["url_prefix"], app["app"])

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=airflow)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://airflow/sub/path/"
        ) as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_tab_is_offered_on_task_instances_and_found_relative_to_the_base() -> None:
    [tab] = RunaiPlugin.react_apps
    assert tab["destination"] == "task_instance"
    assert not tab["bundle_url"].startswith(("/", "http"))
    served = get(tab["bundle_url"])
    assert served.status_code == 200
    # Browsers refuse modules of any other type.
    assert served.headers["content-type"].startswith("text/javascript")
    assert f'globalThis["{tab["name"]}"] = ' in served.text


def test_each_file_is_imported_by_an_address_with_the_version_in_it() -> None:
    imported = set()
    for file in _ASSETS.glob("*.js"):
        imported |= set(re.findall(r'^(?:import|export) .* from "(.*)";$', file.read_text(), re.M))
    assert imported == {f"./{file.name}" for file in _ASSETS.glob("*.js")} - {"./tab.js"}
    for address in imported:
        # Relative to the file that imports it, so below the version.
        served = get(f"{_VERSION}/{address.removeprefix('./')}")
        assert served.headers["content-type"].startswith("text/javascript")


@pytest.mark.slow
@pytest.mark.parametrize(("value", "tabs", "warned"), [("False", 0, False), ("perhaps", 1, True)])
def test_option_removes_the_tab_and_nothing_else(value: str, tabs: int, warned: bool) -> None:
    script = (
        "from airflow_runai.plugin import RunaiPlugin as it; "
        "print(len(it.react_apps), len(it.listeners), len(it.fastapi_apps))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "AIRFLOW__RUNAI__TAB": value},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == f"{tabs} 1 1"
    assert ("[runai] tab: 'perhaps'; allowed: true or false" in done.stdout + done.stderr) == warned


@pytest.mark.parametrize(
    "path",
    [
        "runai/",
        "runai/tab.js",
        f"{_VERSION}/",
        f"{_VERSION}/../plugin.py",
        f"{_VERSION}/%2e%2e/plugin.py",
        f"{_VERSION}/nothing.js",
    ],
)
def test_nothing_but_the_assets_is_served(path: str) -> None:
    assert get(path).status_code == 404


@pytest.mark.slow
def test_importing_the_plugin_brings_no_web_server_with_it() -> None:
    script = (
        "import sys, airflow.sdk.plugins_manager; before = set(sys.modules); import airflow_runai.plugin; "
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    brought = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert brought.split() == ["airflow_runai"]


def test_tab_knows_the_same_phases_as_the_core() -> None:
    table = re.search(r"MEANINGS = \{(.*?)\};", (_ASSETS / "phases.js").read_text(), re.DOTALL)
    assert table
    known = dict(re.findall(r'(\w+): "(\w+)"', table[1]))
    assert known == {phase: meaning.value for phase, (meaning, _) in PHASES.items()}


def test_tab_loads_nothing_from_elsewhere_and_writes_no_markup() -> None:
    text = "".join(file.read_text() for file in _ASSETS.glob("*.js"))
    assert not re.findall(r'from "(?!\./)', text)
    for foreign in (
        "import(",
        "dangerouslySetInnerHTML",
        "innerHTML",
        "eval(",
        "http://",
        "https://",
    ):
        assert foreign not in text
