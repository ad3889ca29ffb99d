"""The wheel in fresh environments, with the lowest and with the newest dependencies; minutes each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.package import ROOT
from tests.packaging.conftest import Distributions
from tests.packaging.fresh_install import DEPENDENCIES, Environment, floors, look_around

#: What the fast tests need. All that the extra `test` brings has floors above ours.
TOOLS = (
    "hypothesis",
    "jsonschema",
    "psutil",
    "psycopg2-binary",
    "pytest",
    "pytest-timeout",
    "runapy==1.224.0",
)


@pytest.mark.slow
def test_each_requirement_has_a_floor(distributions: Distributions) -> None:
    names = [floor.split("==")[0] for floor in floors(distributions.wheel)]
    assert len(names) == len(set(names))
    assert {"apache-airflow", "httpx", "numpy"} <= set(names)
    (airflow,) = DEPENDENCIES["lowest-airflow"](distributions.wheel)
    assert airflow.startswith("apache-airflow==3.")


@pytest.mark.qualify
def test_wheel_with_the_newest_dependencies(distributions: Distributions, tmp_path: Path) -> None:
    look_around(Environment(tmp_path, distributions.wheel, "newest"))


@pytest.mark.qualify
def test_wheel_with_the_lowest_dependencies(distributions: Distributions, tmp_path: Path) -> None:
    extras = "[examples,openlineage,optuna]"
    environment = Environment(tmp_path, distributions.wheel, "lowest", extras)
    look_around(environment)
    environment.install(*TOOLS)
    fast = ("-m", "not slow and not standalone and not rig and not qualify")
    parts = ("tests/core", "tests/backends", "tests/emulator", "tests/airflow")
    environment.run("-m", "pytest", "-q", "-x", *fast, *parts, cwd=ROOT)
