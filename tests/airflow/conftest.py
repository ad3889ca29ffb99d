"""
An Airflow of our own (SQLite, no scheduler) beside an embedded Run:ai on a real socket.

Airflow reads its home when it is first imported, so the home is made at the top of this file. DAGs
run through ``dag.test()``, which shares this process; only the first one pays for Airflow's
imports.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HOME = Path(tempfile.mkdtemp(prefix="airflow-home-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
(HOME / "dags").mkdir()
SECRET = "a-secret-of-these-tests"
#: Seconds for one request. A machine that stands still for half a minute is no fault of ours; of a
#: server that hangs for good, pytest's own limit (600 s) shows every thread.
PATIENT = 900.0
ENVIRONMENT = {
    "AIRFLOW_HOME": str(HOME),
    # Its alarm would take the place of pytest's own, and a test that hangs would hang for ever.
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "0",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    # Tests follow each other within the 30 s for which Airflow keeps the older DAG of a name.
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
    "AIRFLOW__CORE__DAGS_FOLDER": str(HOME / "dags"),
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__RUNAI__MIN_DEFER_SECONDS": "0",
    "AIRFLOW__RUNAI__POLL_INTERVAL": "0.1",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
}
os.environ.update(ENVIRONMENT)
if "airflow" in sys.modules:
    raise RuntimeError(
        "airflow was imported before tests/airflow/conftest.py could set AIRFLOW_HOME"
    )

from airflow_runai.emulator import Emulator, EmulatorSettings, Scenario, serve  # noqa: E402
from tests.airflow.running import Run, run_dag  # noqa: E402


@pytest.fixture(scope="session")
def database() -> None:
    """Airflow's tables, once per session."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """The storage that containers call ``/shared``, with the digits code in ``code``."""
    code = tmp_path / "shared" / "code"
    code.mkdir(parents=True)
    for source in [
        *(ROOT / "dags" / "digits").glob("*.*"),
        ROOT / "airflow_runai" / "training" / "preemptible.py",
    ]:
        shutil.copy2(source, code)
    return code.parent


@pytest.fixture
def scripts(shared: Path, request: pytest.FixtureRequest) -> Path:
    """The same, with a checkpoint and the ``SCRIPTS`` of the test's module."""
    from tests.checkpoints.samples import safetensors_file

    (shared / "good.safetensors").write_bytes(safetensors_file())
    for name, text in request.module.SCRIPTS.items():
        (shared / name).write_text(text)
        (shared / name).chmod(0o755)
    return shared


#: Runs until somebody interrupts it, however long that takes, and soon ends when it is back.
ONCE_INTERRUPTED = Scenario(run_seconds=0.4, keeps_progress=False, exits={1: (3600.0, 0)})


def fast(shared: Path, **more: Any) -> EmulatorSettings:
    """
    An embedded Run:ai without any theatre.

    Workloads called ``long…`` run until somebody ends them, those called ``patient…`` until
    somebody interrupts them.
    """
    quick = {
        "initializing_seconds": 0.05,
        "backoff_seconds": 0.05,
        "tick_seconds": 0.02,
        "grace": 120,
    }
    scenarios = {"short": Scenario(run_seconds=0.3), "patient": ONCE_INTERRUPTED}
    scenarios["long"] = Scenario(run_seconds=None)
    scenarios["broken"] = Scenario(exits={1: (0.1, 3)})
    given = {
        "volumes": {"shared": shared},
        "client_secret": SECRET,
        "scenarios": scenarios,
        **quick,
        **more,
    }
    return EmulatorSettings(**given)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Define the connection ``runai_default``."""

    def define(
        host: str, secret: str = SECRET, project: str | None = "team-a", **extra: Any
    ) -> None:
        known = {"conn_type": "runai", "host": host, "login": "airflow", "password": secret}
        text = json.dumps({**known, "extra": {"project": project, "timeout": PATIENT, **extra}})
        monkeypatch.setenv("AIRFLOW_CONN_RUNAI_DEFAULT", text)

    return define


@pytest.fixture
def emulator(
    shared: Path, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Emulator]:
    """Two nodes with two GPUs, projects team-a and team-b with a quota of two; the connection names it."""
    monkeypatch.setenv("AIRFLOW_VAR_RUNAI_SHARED", str(shared))
    with serve(fast(shared)) as running:
        connect(running.url)
        yield running


@pytest.fixture
def nothing_heard() -> Iterator[None]:
    """Forget what ``heard`` was told before, and let go at the end whatever hangs in it."""
    from tests.airflow import heard

    heard.CALLS.clear()
    heard.RELEASED.clear()
    yield
    heard.RELEASED.set()


@pytest.fixture
def run(database: None) -> Callable[..., Run]:
    """Run a DAG to its end through ``dag.test()``."""
    return run_dag


@dataclass
class Minutes:
    """
    Long pauses that pass at once.

    :param slept: seconds of each.
    :param meanwhile: what happens in all of them.
    :param shortest: seconds; a shorter pause is slept.
    """

    slept: list[float] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None
    shortest: float = 60.0


@pytest.fixture
def minutes(monkeypatch: pytest.MonkeyPatch) -> Minutes:
    """Let pauses of a minute and more pass at once."""
    passed, sleep = Minutes(), time.sleep

    def pause(seconds: float) -> None:
        if seconds < passed.shortest:
            sleep(seconds)
        else:
            passed.meanwhile()
            passed.slept.append(seconds)

    monkeypatch.setattr("time.sleep", pause)
    return passed
