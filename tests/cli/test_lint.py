"""`airflow runai lint`: collects what is known, prints what the rules find."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_runai.core.lint import RULES, Script, Subject, lint
from airflow_runai.emulator import Emulator
from airflow_runai.training.preemptible import save_checkpoint
from tests.cli.conftest import Airflow, Ran

Dags = Callable[..., Path]
SPEC = "{'image': 'x:1', 'environment': {'CHECKPOINTS': '/not/mounted'}, 'termination_grace_period': 1}"


def codes(shown: Ran) -> list[str]:
    return [row["code"] for row in json.loads(shown.out)]


def test_findings_are_those_of_the_rules(airflow: Airflow, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        "image: x\ntermination_grace_period: 1\nenvironment:\n  CHECKPOINTS: /not/mounted\n"
    )
    shown = airflow("lint", "--spec", str(path), "-o", "json")
    spec = {
        "image": "x",
        "termination_grace_period": 1,
        "environment": {"CHECKPOINTS": "/not/mounted"},
    }
    expected = lint(Subject(spec=spec))
    assert codes(shown) == [finding.code for finding in expected]
    assert (shown.code, len(expected) > 1) == (1, True)
    (first, *_) = json.loads(shown.out)
    assert set(first) == {"code", "severity", "where", "message", "section"}


def test_findings_can_be_silenced_by_code_and_unknown_codes_are_refused(
    airflow: Airflow, tmp_path: Path
) -> None:
    line = "runai submit t -i x -g 1"
    found = codes(airflow("lint", "--line", line, "-o", "json"))
    silenced = [word for code in found for word in ("--ignore", code)]
    quiet = airflow("lint", "--line", line, *silenced)
    assert (quiet.code, quiet.out) == (0, "nothing found\n")
    wrong = airflow("lint", "--line", line, "--ignore", "no-such-code")
    assert wrong.code == 2
    assert "'no-such-code' is not the code" in wrong.err
    assert set(found) <= set(RULES)


def test_what_a_task_silences_stays_silent(airflow: Airflow, dags: Dags) -> None:
    task = f"RunaiTrainingOperator(task_id='train', spec={SPEC}, lint_ignore=())"
    found = codes(airflow("lint", "example", "train", "-S", str(dags(task)), "-o", "json"))
    quiet = airflow("lint", "example", "train", "-S", str(dags(task.replace("=()", f"={found}"))))
    assert (quiet.code, quiet.out) == (0, "nothing found\n")


def test_script_is_read_with_its_neighbours(airflow: Airflow, tmp_path: Path) -> None:
    script = tmp_path / "startup.sh"
    script.write_text("#!/bin/sh\npython main.py\n")
    (tmp_path / "requirements.txt").write_text("numpy\n")
    script.chmod(0o644)
    shown = airflow("lint", "--script", str(script), "-o", "json")
    seen = Script("startup.sh", script.read_text(), 0o644, ("requirements.txt",))
    assert codes(shown) == [finding.code for finding in lint(Subject(script=seen))]


def test_files_that_are_none_are_refused(airflow: Airflow, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"#" * 1_100_000)
    (tmp_path / "latin").write_bytes(b"image: \xff")
    for option, name in itertools.product(("--script", "--spec"), ("none", "pipe", "large", ".")):
        shown = airflow("lint", option, str(tmp_path / name))
        assert (shown.code, shown.out) == (2, "")
        assert f"error: {option} {tmp_path / name}: " in shown.err
    assert "not UTF-8" in airflow("lint", "--spec", str(tmp_path / "latin")).err


def test_all_trainings_of_a_dag_or_one_are_looked_at(airflow: Airflow, dags: Dags) -> None:
    body = f"""
RunaiTrainingOperator(task_id="one", spec={SPEC}, retries=5)
RunaiTrainingOperator(task_id="two", spec={SPEC})
EmptyOperator(task_id="other")
"""
    path = str(dags(body))
    both = json.loads(airflow("lint", "example", "-S", path, "-o", "json").out)
    assert {row["task"] for row in both} == {"one", "two"}
    one = json.loads(airflow("lint", "example", "one", "-S", path, "-o", "json").out)
    assert one == [row for row in both if row["task"] == "one"]
    assert airflow("lint", "example", "other", "-S", path).code == 2


def test_retries_and_limits_of_a_task_reach_the_rules(airflow: Airflow, dags: Dags) -> None:
    line = "runai submit t -i x:1 --backoff-limit 6 -- ./x.sh"
    body = f"""
RunaiTrainingOperator(
    task_id="train", command_line={line!r}, retries=3, timeouts={{"queue": 100, "total": 10}}, on_kill="keep",
)
"""
    shown = airflow("lint", "example", "train", "-S", str(dags(body)), "-o", "json")
    spec = {"image": "x:1", "backoff_limit": 6, "args": "./x.sh"}
    subject = Subject(
        spec, retries=3, timeouts={"queue": 100, "total": 10}, on_kill="keep", deferrable=True
    )
    assert set(codes(shown)) >= {finding.code for finding in lint(subject)}


def test_a_site_that_does_not_defer_holds_worker_slots(
    airflow: Airflow, dags: Dags, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = f"RunaiTrainingOperator(task_id='train', spec={SPEC})"
    arguments = ("lint", "example", "train", "-S", str(dags(task)), "-o", "json")
    assert "holds-worker-slot" not in codes(airflow(*arguments))
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "false")
    assert "holds-worker-slot" in codes(airflow(*arguments))


@pytest.mark.slow
def test_measured_save_time_and_limit_of_the_project_reach_the_rules(
    airflow: Airflow, emulator: Emulator, tmp_path: Path
) -> None:
    root = tmp_path / "checkpoints"
    with save_checkpoint(root, 1) as folder:
        (folder / "weights.bin").write_bytes(b"x")
    (manifest,) = root.glob("*/manifest.json")
    document = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**document, "save_seconds": 500.0}))
    path = tmp_path / "spec.yaml"
    path.write_text("image: x:1\ntermination_grace_period: 30\ncompute:\n  gpu_devices: 3\n")
    shown = airflow(
        "lint",
        "--spec",
        str(path),
        "--checkpoints",
        str(root),
        "--conn",
        "runai_default",
        "-o",
        "json",
    )
    spec = {"image": "x:1", "termination_grace_period": 30, "compute": {"gpu_devices": 3}}
    subject = Subject(spec, save_seconds=500.0, gpu_quota=2.0)
    assert codes(shown) == [finding.code for finding in lint(subject)]
    assert set(codes(shown)) > {finding.code for finding in lint(Subject(spec))}
    assert airflow("lint", "--spec", str(path), "--checkpoints", str(tmp_path / "none")).code == 2


def test_it_needs_something_to_look_at(airflow: Airflow) -> None:
    assert airflow("lint").code == 2
    assert airflow("lint", "--line", "runai submit t -i x", "--spec", "f").code == 2


def test_one_task_that_cannot_be_looked_at_hides_nothing_in_the_others(
    airflow: Airflow, dags: Dags
) -> None:
    body = """
RunaiTrainingOperator(task_id="later", template="{{ params.t }}")
RunaiTrainingOperator(task_id="lost", template="nowhere", templates={"team": {"spec": {"image": "x:1"}}})
RunaiTrainingOperator(task_id="one", spec={"image": "x:1"})
"""
    shown = airflow("lint", "example", "-S", str(dags(body)), "-o", "json")
    assert {row["task"] for row in json.loads(shown.out)} == {"one"}
    assert (
        "warning: task later: template '{{ params.t }}' is known only when the task runs; not looked"
        in shown.err
    )
    assert "error: task lost: template: no template is called 'nowhere'" in shown.err
    assert shown.code == 1


def test_mistakes_in_a_specification_are_told_beside_the_findings(
    airflow: Airflow, tmp_path: Path
) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("image: x:1\ncomand: ./start.sh\ncompute: {gpu_devices: two}\n")
    shown = airflow("lint", "--spec", str(path), "--ignore", "no-checkpoint-path", "-o", "json")
    assert shown.code == 1
    assert f"error: {path}: spec.comand: unknown key; did you mean 'command'?\n" in shown.err
    assert "spec.compute.gpu_devices: 'two'" in shown.err
    assert "submitted" not in shown.err


def test_another_script_than_the_one_that_starts_is_warned_of(
    airflow: Airflow, tmp_path: Path
) -> None:
    script = tmp_path / "other.sh"
    script.write_text('#!/bin/sh\nexec python train.py "$@"\n')
    line = "runai submit a -i x:1 --command ./startup.sh"
    assert (
        "the line starts startup.sh, and --script is other.sh"
        in airflow("lint", "--line", line, "--script", str(script)).err
    )
    python = "runai submit a -i x:1 --command -- python train.py"
    assert (
        "the line starts python train.py, and --script is other.sh: name the script that starts"
        in airflow("lint", "--line", python, "--script", str(script)).err
    )
    for unknown in ("bash -c 'cd /code && ./other.sh'", ""):
        line_of = (
            f"runai submit a -i x:1 --command -- {unknown}" if unknown else "runai submit a -i x:1"
        )
        assert "--script is" not in airflow("lint", "--line", line_of, "--script", str(script)).err
    same = airflow("lint", "--line", line.replace("startup", "other"), "--script", str(script))
    assert "--script is" not in same.err


def test_requirements_beside_the_script_are_looked_into(airflow: Airflow, tmp_path: Path) -> None:
    script = tmp_path / "startup.sh"
    script.write_text('#!/bin/sh\npip install -r requirements.txt\nexec python train.py "$@"\n')
    (tmp_path / "requirements.txt").write_text("torch\nnumpy==1.26.4\n")
    script.chmod(0o755)
    shown = airflow("lint", "--script", str(script), "-o", "json")
    assert [(row["code"], row["message"].split(":")[0]) for row in json.loads(shown.out)] == [
        ("script-installs-unpinned", "torch")
    ]
