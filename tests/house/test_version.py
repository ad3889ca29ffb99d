"""The version is written once, in the package; the build and everything else read it there."""

from __future__ import annotations

import importlib.metadata
import re

import airflow_runai
from airflow_runai.provider_info import get_provider_info
from tests.house.package import ROOT


def test_installed_metadata_carry_the_packages_version() -> None:
    assert importlib.metadata.version("airflow-provider-runai") == airflow_runai.__version__
    assert get_provider_info()["versions"] == [airflow_runai.__version__]


def test_the_build_has_no_version_of_its_own() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert re.search(r'^dynamic = \[.*"version"', project, re.MULTILINE)
    assert not re.search(r"^version\b", project, re.MULTILINE)
