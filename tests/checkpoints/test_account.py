from __future__ import annotations

from dataclasses import dataclass, fields

import pytest

from airflow_runai.checkpoints import Finding, Verdict
from airflow_runai.checkpoints.checking.account import CheckAccount
from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.ledger import ENTRY_LIMIT, TensorEntry
from airflow_runai.checkpoints.checking.request import CheckRequest
from airflow_runai.checkpoints.checking.step_claim import StepClaim

TORN = Finding("zip-crc", "error", "b", "torn")
PART = CheckAccount(
    findings=[TORN],
    codes={"zip-crc"},
    crcs={"b": (1, 2)},
    manifest_verified={"b"},
    checksum_matched={"b"},
    excluded={"b.json"},
    entries={("b", "w"): TensorEntry("F32", (1,))},
    tensors=1,
    tensor_names={"b": frozenset({"w"})},
    world_size=2,
    metrics={"loss": 1.0},
    steps=[StepClaim("b", 4)],
    name_binds=True,
    learning_rates={"b": 0.1},
    skipped_steps=3,
)


@dataclass
class Extended(CheckAccount):
    forgotten: int = 0


def test_a_field_that_does_not_say_how_it_is_merged_is_refused() -> None:
    with pytest.raises(TypeError, match="Extended: no merge rule for forgotten"):
        Extended()


@pytest.mark.parametrize("name", [item.name for item in fields(CheckAccount)])
def test_no_field_is_lost_when_the_account_of_a_part_is_merged(name: str) -> None:
    whole = CheckAccount()
    assert getattr(whole, name) != getattr(PART, name)
    whole.merge(PART)
    assert getattr(whole, name) == getattr(PART, name)


def test_what_the_whole_knows_already_is_kept() -> None:
    whole = CheckAccount(world_size=1, name_binds=False, metrics={"loss": 2.0}, tensors=4)
    whole.add(TORN)
    whole.merge(PART)
    assert (whole.world_size, whole.name_binds, whole.metrics) == (1, False, {"loss": 2.0})
    assert (whole.findings, whole.tensors) == ([TORN], 5)


def test_findings_of_a_part_that_are_not_listed_still_count() -> None:
    whole, part = CheckContext(CheckRequest(3)), CheckContext(CheckRequest(3))
    for context in (whole, part):
        for number in range(200):
            context.note("all-zero", f"t{number}", "zero")
    part.note("pickle-dangerous", "x", "os.system")
    whole.account.merge(part.account)
    assert whole.verdict is Verdict.UNSAFE
    assert "pickle-dangerous" not in {finding.code for finding in whole.account.findings}


@pytest.mark.slow
def test_a_merged_account_stays_bounded() -> None:
    whole = CheckAccount()
    for half in ("a", "b"):
        part = CheckAccount()
        for number in range(ENTRY_LIMIT):
            part.enter(half, str(number), TensorEntry("F32", (1,)))
        whole.merge(part)
    assert len(whole.entries) == ENTRY_LIMIT + 1
