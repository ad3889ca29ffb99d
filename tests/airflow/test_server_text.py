"""Whatever the control plane says, Airflow gets only what its database and its encoder take, and what prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from airflow_runai.emulator import Emulator
from airflow_runai.emulator.faults import HOSTILE_TEXT
from tests.airflow.running import Run, dag_of
from tests.airflow.test_training import SPEC, training

both = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "blocking"])
FAILING = {**SPEC, "command": "sh -c 'exit 7'", "backoff_limit": 0}


def hostile(emulator: Emulator, text: str = HOSTILE_TEXT) -> None:
    fields = [
        "phaseMessage",
        "message",
        "reason",
        "desiredPhase",
        "projectName",
        "namespace",
        "command",
    ]
    emulator.faults.add("replace", path="/api/v1/workloads*", times=None, fields=fields, text=text)


@pytest.mark.slow
@both
@pytest.mark.parametrize("text", [HOSTILE_TEXT, "x" * 1_000_000], ids=["hostile", "long"])
def test_a_training_with_hostile_words_is_a_success(
    run: Callable[..., Run],
    emulator: Emulator,
    capsys: pytest.CaptureFixture[str],
    deferrable: bool,
    text: str,
) -> None:
    hostile(emulator, text)
    done = run(dag_of(training(deferrable=deferrable)))
    assert done.state == "success"
    for key in ("return_value", "runai_workload", "runai_timeline"):
        fit(done.xcom(key))
    assert done.xcom("runai_timeline")["timeline"][-1]["message"][:4] == text[:4]
    logged = [line for line in capsys.readouterr().out.split("\n") if "airflow_runai" in line]
    assert any(f"Completed: {text[:4]}" in line for line in logged)
    fit(logged)


@pytest.mark.slow
@both
def test_a_failure_with_hostile_words_names_them_printably(
    run: Callable[..., Run], emulator: Emulator, deferrable: bool
) -> None:
    hostile(emulator)
    done = run(dag_of(training("failing", spec=FAILING, deferrable=deferrable)))
    assert done.state == "failed"
    assert "failed: nul \N{REPLACEMENT CHARACTER} ink" in done.words
    fit(done.words.split("\n"))


def fit(value: Any) -> None:
    assert len(msgspec.json.encode(value)) < 50_000
    # ``json.dumps`` escapes all that does not print; what it escapes beside is read back.
    assert "\\u0000" not in json.dumps(value)
    texts = value if isinstance(value, list) else json.dumps(value, ensure_ascii=False).split("\n")
    assert all(text.isprintable() for text in texts)
