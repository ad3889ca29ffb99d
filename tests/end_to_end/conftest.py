"""One Airflow for the whole session; an embedded Run:ai for each group of tests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.database import Database, postgres
from tests.end_to_end.installation import DAG_FOLDERS, Airflow, installed
from tests.end_to_end.rest import Run
from tests.end_to_end.site import Site, Start, begin, site
from tests.end_to_end.statsd import Statsd, listening
from tests.rig.needed import pytest_runtest_setup

__all__ = ["pytest_runtest_setup"]

HERE = Path(__file__).parent
TRAINING = HERE.parents[1] / "airflow_runai" / "training" / "preemptible.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Mark what needs Airflow; the search for secrets comes last, when there is most to be searched.
    """
    for item in items:
        if "airflow" in getattr(item, "fixturenames", ()) and HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.standalone)
    items.sort(key=lambda item: item.path == HERE / "test_secrets.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Show Airflow's last words with a failure."""
    report = yield
    airflow = getattr(item, "funcargs", {}).get("airflow")
    if report.failed and isinstance(airflow, Airflow):
        report.sections.append(("Airflow's logs", airflow.tails()))
    return report


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """
    Where the example DAGs train: two nodes of two GPUs; team-a borrows all it gets from team-b.
    """
    with site(
        tmp_path_factory.mktemp("examples") / "shared",
        nodes=2,
        gpus_per_node=2,
        projects=("team-a:0", "team-b:4"),
    ) as place:
        shutil.copytree(DAG_FOLDERS["examples"] / "digits", place.shared / "code")
        shutil.copy(TRAINING, place.shared / "code")
        yield place


@pytest.fixture(scope="session")
def database() -> Iterator[Database]:
    """Airflow's own."""
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def statsd() -> Iterator[Statsd]:
    """Where Airflow sends its metrics."""
    with listening() as server:
        yield server


@pytest.fixture(scope="session")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, examples: Site, database: Database, statsd: Statsd
) -> Iterator[Airflow]:
    """The Airflow, with the examples' connection and variables in its environment."""
    surroundings = {
        **statsd.settings,
        "AIRFLOW_CONN_RUNAI_DEFAULT": json.dumps(examples.connection()),
        "AIRFLOW_VAR_RUNAI_SHARED": str(examples.shared),
        "AIRFLOW_VAR_DIGITS_SECONDS_PER_EPOCH": "0.4",
    }
    with installed(tmp_path_factory.mktemp("airflow"), database.address, surroundings) as running:
        yield running


@pytest.fixture(scope="module")
def start(airflow: Airflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """
    Start one training on a Run:ai of its own, which runs until :meth:`Site.finish`.

    Takes the id of a DAG in ``dags/waiting.py``, and details of a fault that awaits it.
    """
    with ExitStack() as stack:

        def start_one(dag_id: str = "waiting", **fault: Any) -> tuple[Site, Run]:
            here = stack.enter_context(site(tmp_path_factory.mktemp("site") / "shared"))
            if fault:
                here.emulator.faults.add(**fault)
            return here, begin(airflow.rest, here, dag_id)

        yield start_one
