"""Commands through Airflow's own parser, in this process, beside the Airflow and the Run:ai of ``tests/airflow``."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.airflow.conftest import connect, database, emulator, minutes, run, shared

__all__ = ["connect", "database", "emulator", "minutes", "run", "shared"]


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Airflow = Callable[..., Ran]


def executable(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real ``airflow runai WORDS``."""
    program, around = (
        Path(sys.executable).with_name("airflow"),
        {**os.environ, "COLUMNS": "200", **environment},
    )
    return subprocess.run([program, "runai", *words], capture_output=True, text=True, env=around)


@pytest.fixture
def called_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hashes in names be known beforehand."""
    monkeypatch.setenv("AIRFLOW__RUNAI__INSTANCE_NAME", "airflow")


@pytest.fixture
def airflow(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Airflow:
    """Run ``airflow runai WORDS``."""

    def call(*words: str, stdin: str = "") -> Ran:
        from airflow.cli.cli_parser import get_parser

        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()  # what was printed before is not the command's
        code = 0
        try:
            arguments = get_parser().parse_args(["runai", *words])
            arguments.func(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        return Ran(code, *capsys.readouterr())

    return call


@pytest.fixture
def dags(tmp_path: Path) -> Callable[[str], Path]:
    """Write a DAG file; the body stands inside ``with DAG("example", …)``."""

    def write(body: str, before: str = "") -> Path:
        path = tmp_path / "dags" / "example.py"
        path.parent.mkdir(exist_ok=True)
        indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
        path.write_text(f"{HEAD}{before}\nwith DAG('example', schedule=None):\n{indented}\n")
        return path

    return write


HEAD = """
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.operators.training import RunaiTrainingOperator
"""
