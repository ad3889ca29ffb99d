from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_runai.checkpoints.__main__ import main
from tests.checkpoints.samples import GOLDEN, publish, safetensors_file, write

KEYS = ["path", "verdict", "format", "step", "level", "bytes", "findings", "digest", "tensors"]


def run(
    capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, list[dict[str, object]], str]:
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, [json.loads(line) for line in printed.out.splitlines()], printed.err


def test_one_object_a_line_and_success_when_all_are_accepted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, lines, _ = run(capsys, "check", GOLDEN / "state.pt", GOLDEN / "types.pt")
    assert code == 0
    assert [list(line) for line in lines] == [KEYS, KEYS]


def test_failure_when_one_is_not_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = run(capsys, "check", GOLDEN / "nan.pt", GOLDEN / "state.pt", "--level", 3)
    assert (code, [line["verdict"] for line in lines]) == (1, ["poisoned", "valid"])
    findings = lines[0]["findings"]
    assert isinstance(findings, list)
    assert list(findings[0]) == ["code", "severity", "path", "message"]


def test_policy_comes_from_options(capsys: pytest.CaptureFixture[str]) -> None:
    path = GOLDEN / "checkpoint-4"
    assert run(capsys, "check", path)[0] == 1
    assert run(capsys, "check", path, "--accept-unverifiable")[0] == 0
    assert run(capsys, "check", path, "--accept-unverifiable", "--strict")[0] == 1
    assert run(capsys, "check", GOLDEN / "nan.pt", "--level", 2)[0] == 0


def test_select_prints_the_rejected_first_and_the_chosen_last(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    publish(tmp_path, 1)
    write(publish(tmp_path, 2) / "model.safetensors", b"torn")
    code, lines, _ = run(capsys, "select", tmp_path)
    assert (code, [(line["step"], line["verdict"]) for line in lines]) == (
        0,
        [(2, "invalid"), (1, "valid")],
    )
    assert run(capsys, "select", tmp_path, "--min-step", 2)[0] == 1


def test_misuse_is_told_apart_from_a_bad_checkpoint(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, lines, errors = run(capsys, "select", tmp_path / "nothing")
    assert (code, lines, errors.startswith("root-missing: ")) == (2, [], True)
    assert run(capsys, "select", tmp_path)[0] == 1
    with pytest.raises(SystemExit) as caught:
        main(["check", "--level", "9", "x"])
    assert caught.value.code == 2


@pytest.mark.slow
def test_a_reader_that_has_enough_causes_no_traceback() -> None:
    program = (
        f"{sys.executable} -m airflow_runai.checkpoints check "
        + f"{GOLDEN / 'state.pt'} " * 200
        + "| head -1"
    )
    done = subprocess.run(program, shell=True, capture_output=True, text=True)
    assert (done.stderr, len(done.stdout.splitlines())) == ("", 1)


@pytest.mark.slow
def test_the_module_runs_as_a_program(tmp_path: Path) -> None:
    path = write(tmp_path / "x.safetensors", safetensors_file()[:-1])
    command = [
        sys.executable,
        "-m",
        "airflow_runai.checkpoints",
        "check",
        str(path),
        str(tmp_path / "gone"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == [
        "invalid",
        "invalid",
    ]


def test_the_report_of_one_selection_is_what_others_are_compared_with(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root, report = tmp_path / "root", tmp_path / "reports" / "report.json"
    publish(root, 1)
    assert run(capsys, "select", root, "--report", report)[0] == 0
    other = {"other": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
    lost = publish(root, 2, {"model.safetensors": safetensors_file(other)})
    code, lines, _ = run(capsys, "check", lost, "--ledger", report)
    assert (code, lines[0]["verdict"]) == (1, "invalid")
    assert "tensor-lost" in json.dumps(lines)
    code, lines, _ = run(capsys, "check", lost, "--requirements", report)
    assert (code, lines[0]["verdict"]) == (1, "valid")
    assert "not-as-expected" in json.dumps(lines)
    assert [line["step"] for line in run(capsys, "select", root, "--requirements", report)[1]] == [
        2,
        1,
    ]


FILES = [
    (["--ledger", "gone"], "--ledger: gone: does not exist"),
    (["--ledger", "/"], "/: cannot be used (WrongKind"),
    (["--requirements", "gone"], "gone: does not exist; a JSON object"),
    (["--report", "/dev/null/x"], "/dev/null/x: cannot be used (FileExistsError"),
    (["--report", "x", "--ledger", "x"], "--report and --ledger: both name"),
]


@pytest.mark.parametrize(("options", "words"), FILES, ids=[words for _, words in FILES])
def test_a_file_that_cannot_be_used_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, options: list[str], words: str
) -> None:
    publish(tmp_path, 1)
    code, lines, errors = run(capsys, "select", tmp_path, *options)
    assert (code, lines) == (2, [])
    assert words in errors


def test_only_what_is_known_to_be_bad_is_put_aside(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good = publish(tmp_path, 1)
    assert run(capsys, "quarantine", good) == (
        1,
        [],
        f"{good}: is valid; only invalid, poisoned, unsafe ones are put aside\n",
    )
    assert run(capsys, "quarantine", tmp_path / "gone")[0] == 1
    write(good / "model.safetensors", b"torn")
    code, (told,), _ = run(capsys, "quarantine", good)
    assert (code, told["verdict"]) == (0, "invalid")
    assert Path(str(told["quarantined"]), "manifest.json").exists()
    assert not good.exists()


def test_old_ones_go_by_rule_and_a_dry_run_only_tells(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for step in (1, 2, 3):
        publish(tmp_path, step)
    rules = ("retain", tmp_path, "--keep-last", 1, "--min-age", 0, "--keep-name", "*1")
    _, (told,), _ = run(capsys, *rules, "--dry-run")
    assert told["removed"] == ["step-00000002"]
    assert (tmp_path / "step-00000002").exists()
    code, (told,), _ = run(capsys, *rules)
    assert (code, told["removed"], told["dry_run"]) == (0, ["step-00000002"], False)
    assert not (tmp_path / "step-00000002").exists()
    assert (
        run(capsys, "retain", tmp_path, "--keep-last", 0)[2]
        == "keep_last: 0; allowed: a whole number from 1\n"
    )
