from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_runai.checkpoints import Finding, Report, Verdict, check
from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.findings import CODES
from airflow_runai.checkpoints.checking.request import CheckRequest
from airflow_runai.checkpoints.checking.steps import step_in_name
from airflow_runai.checkpoints.checking.verdict import verdict_of
from tests.checkpoints.samples import torch_file, write

SOURCES = Path(check.__code__.co_filename).parents[1]


def test_every_code_of_the_table_is_used() -> None:
    text = "".join(path.read_text() for path in SOURCES.rglob("*.py") if path.name != "findings.py")
    assert [code for code in CODES if f'"{code}"' not in text] == []


def test_a_definite_fact_decides_over_doubt() -> None:
    assert verdict_of(["unreadable", "zip-crc"]) is Verdict.INVALID
    assert verdict_of(["gguf-no-checksum", "unreadable"]) is Verdict.UNKNOWN
    assert verdict_of(["all-zero", "gguf-no-checksum"]) is Verdict.UNVERIFIABLE
    assert verdict_of(["zip-crc", "zip-bomb"]) is Verdict.UNSAFE
    assert verdict_of(["all-zero"]) is verdict_of([]) is Verdict.VALID


def test_what_is_accepted_by_its_code_does_not_decide() -> None:
    assert verdict_of(["non-finite", "gguf-no-checksum"], {"non-finite"}) is Verdict.UNVERIFIABLE


def test_findings_are_bounded_and_the_verdict_is_not_lost() -> None:
    context = CheckContext(CheckRequest(3))
    for number in range(500):
        context.note("all-zero", f"t{number}", "x" * 5000)
    context.note("pickle-dangerous", "x", "os.system")
    assert (len(context.account.findings), context.account.findings[-1].code, context.verdict) == (
        101,
        "more-findings",
        Verdict.UNSAFE,
    )
    assert max(len(finding.message) for finding in context.account.findings) == 500


def test_a_report_is_plain_json(tmp_path: Path) -> None:
    report = check(write(tmp_path / "step-7.pt", torch_file()))
    assert json.loads(json.dumps(report.to_json()))["verdict"] == "valid"


def test_accepting_is_about_the_verdict_alone() -> None:
    warned = Report(
        "x", Verdict.VALID, None, 1, 3, 0, (Finding("all-zero", "warning", "x", "zero"),)
    )
    assert warned.accepted()


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step-00000042", 42),
        ("checkpoint-500", 500),
        ("epoch=3-step=40-v1.ckpt", 40),
        ("global_step12", 12),
        ("iter_0000100", 100),
        ("model_step_9.pt", 9),
        ("last.ckpt", None),
        ("epoch=3.ckpt", None),
        ("instep-4", None),
        ("model-00001-of-00003.safetensors", None),
    ],
)
def test_the_step_is_read_from_names_that_trainers_give(name: str, step: int | None) -> None:
    assert step_in_name(name) == step
