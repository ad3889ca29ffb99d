"""Sdist and wheel are complete, and the index can show them."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import airflow_runai
from tests.house.package import ROOT, relative
from tests.packaging.conftest import Distributions

#: Made by tools, so they may lie in a checkout, and must not be in an sdist.
LEFTOVERS = re.compile(r"(^|/)(\.venv|\.demo|\.rig|\.git|dist|build|__pycache__|\.\w+_cache)(/|$)")


@pytest.fixture(scope="module")
def wheel(distributions: Distributions) -> zipfile.ZipFile:
    return zipfile.ZipFile(distributions.wheel)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(wheel.read(name))


@pytest.mark.slow
def test_the_index_will_take_both(distributions: Distributions) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict"]
    files = [str(distributions.sdist), str(distributions.wheel)]
    done = subprocess.run([*command, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_wheel_holds_all_that_is_needed_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    held = wheel.namelist()
    on_disk = {
        relative(path)
        for path in (ROOT / "airflow_runai").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert on_disk <= set(held)
    info = f"airflow_provider_runai-{airflow_runai.__version__}.dist-info"
    assert {name.split("/")[0] for name in held} == {"airflow_runai", info}
    entry_points = wheel.read(f"{info}/entry_points.txt").decode()
    assert "[apache_airflow_provider]" in entry_points
    assert "[airflow.plugins]" in entry_points
    assert "airflow_runai/py.typed" in held


@pytest.mark.slow
def test_the_sdist_holds_what_demo_and_tests_need(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert [name for name in sorted(held) if LEFTOVERS.search(name)] == []
    assert _wanted(ROOT) - held == set()


def _wanted(root: Path) -> set[str]:
    """Return the files of a checkout that git does not ignore, or those of an unpacked sdist."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode == 0:
        return {name for name in done.stdout.splitlines() if (root / name).is_file()}
    return {"Makefile", "constraints.txt", "docker-compose.yaml", ".ci/run", "demo/__main__.py"}


@pytest.mark.slow
def test_the_index_can_follow_every_link_of_the_readme(metadata: Message) -> None:
    readme = str(metadata.get_payload())
    links = re.findall(r"\]\(([^)]+)\)", readme)
    assert len(links) > 10
    assert [link for link in links if not link.startswith("https://")] == []
    version = f"v{airflow_runai.__version__}"
    assert [link for link in links if "repository.invalid" in link and version not in link] == []
    assert any("/raw/" in link and link.endswith("timeline.svg") for link in links)


@pytest.mark.slow
def test_metadata_say_who_what_and_where(metadata: Message) -> None:
    assert metadata["Author"] or metadata["Author-email"]
    assert metadata["License-Expression"] == "Apache-2.0"
    classifiers = metadata.get_all("Classifier") or []
    pythons = [f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)]
    assert [name for name in pythons if name not in classifiers] == []
    urls = dict(text.split(", ", 1) for text in metadata.get_all("Project-URL") or [])
    # Airflow's page of providers shows this one.
    assert "Documentation" in urls
