"""Whatever the control plane says, a terminal gets only what prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_runai.emulator import Emulator
from airflow_runai.emulator.faults import HOSTILE_TEXT
from tests.airflow.running import Person
from tests.cli.conftest import Airflow
from tests.cli.test_dry_run import TASK
from tests.cli.test_ps import submit

#: What is replaced: texts, phases, names, ids, words of a policy.
FIELDS = (
    (
        "phaseMessage",
        "message",
        "details",
        "reason",
        "type",
        "desiredPhase",
        "phase",
        "actualPhase",
    ),
    ("projectName", "namespace", "version", "state", "value", "max"),
    ("name",),
    ("id",),
    ("uuid", "clusterId"),
)
CASES = [*((fields, HOSTILE_TEXT) for fields in FIELDS), (FIELDS[0] + FIELDS[1], "x" * 100_000)]


@pytest.mark.slow
@pytest.mark.parametrize(("fields", "words"), CASES, ids=[*map(" ".join, FIELDS), "long"])
def test_commands_print_only_what_prints(
    airflow: Airflow,
    dags: Callable[[str], Path],
    emulator: Emulator,
    database: None,
    fields: tuple[str, ...],
    words: str,
) -> None:
    name = submit(emulator, "long", dag_id="example")
    Person(emulator).wait_for(name, "Running")
    emulator.faults.add("replace", times=None, fields=fields, text=words)
    dry = ("dry-run", "example", "train", "-S", str(dags(TASK)), "--run-id", "run1")
    for command in (
        ("ps", "--all"),
        ("ps", "-o", "yaml"),
        ("logs", name),
        dry,
        (*dry, "-o", "json"),
    ):
        shown = airflow(*command)
        lines = (shown.out + shown.err).split("\n")
        assert "Traceback" not in shown.err
        assert all(line.isprintable() for line in lines), command
        assert max(map(len, lines)) < 2_000


@pytest.mark.slow
def test_names_of_pods_cannot_be_taken_for_shell_commands(
    airflow: Airflow, emulator: Emulator
) -> None:
    name = submit(emulator, "long")
    emulator.faults.add("replace", path="*/pods", times=None, fields=["name"], text="x; rm -rf ~")
    emulator.faults.add("status", path="/cluster-api/*", times=None)
    assert "kubectl logs -n runai-team-a 'x; rm -rf ~'" in airflow("logs", name).out
