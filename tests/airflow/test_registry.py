"""The hand-over of a champion to the real MLflow, which has an environment of its own."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.emulator import Emulator
from tests.airflow.conftest import ROOT
from tests.airflow.running import Run

Runner = Callable[..., Run]
#: What the example's docstring names; MLflow 3.17 refuses the cachetools that Airflow's tests have.
MLFLOW = ("mlflow-skinny==3.17.2", "sqlalchemy>=2", "alembic>=1.13")


@pytest.fixture
def mlflow_python(tmp_path: Path) -> str:
    """A fresh Python with MLflow: 170 MB."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "mlflow"], check=True)
    python = str(tmp_path / "mlflow" / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *MLFLOW], check=True)
    return python


@pytest.mark.qualify
def test_a_champion_is_registered_once_by_its_digest(
    run: Runner,
    emulator: Emulator,
    shared: Path,
    mlflow_python: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("AIRFLOW_VAR_MLFLOW_PYTHON", mlflow_python)
    dag = DagBag(str(ROOT / "dags" / "digits_registry.py")).dags["digits_registry"]
    night = datetime(2026, 1, 1, tzinfo=timezone.utc)
    done = run(dag, at=night)
    assert done.state == "success", done.words
    champion = done.xcom(task_id="retraining.promote")
    assert done.xcom(task_id="register") == {"version": "1", "digest": champion["digest"]}
    tags = {
        "digest": champion["digest"],
        "step": str(champion["step"]),
        "airflow_run": f"digits_registry/{done.run_id}",
    }
    tags |= {f"metric.{name}": str(value) for name, value in champion["metrics"].items()}
    wanted = [(1, champion["uri"], tags)], [("champion", 1)]
    assert registered(shared) == wanted
    again = run(dag, at=night)
    assert again.xcom(task_id="register") == done.xcom(task_id="register"), again.words
    assert registered(shared) == wanted


def registered(shared: Path) -> Any:
    """Return version, source and tags of each version, and all aliases, from MLflow's own tables."""
    with sqlite3.connect(shared / "mlflow.db") as tables:
        versions = tables.execute("SELECT version, source FROM model_versions").fetchall()
        tags = tables.execute("SELECT version, key, value FROM model_version_tags").fetchall()
        aliases = tables.execute("SELECT alias, version FROM registered_model_aliases").fetchall()
    of = {number: {key: value for n, key, value in tags if n == number} for number, _ in versions}
    return [(number, source, of[number]) for number, source in versions], aliases
