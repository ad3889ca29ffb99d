"""The ledger: what is remembered of an accepted checkpoint, and what it tells about the next."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.checkpoints import Ledger, Report, Verdict, check, select
from airflow_runai.checkpoints.checking.account import CheckAccount
from airflow_runai.checkpoints.checking.drift import advance, compare
from airflow_runai.checkpoints.checking.ledger import ENTRY_LIMIT, TensorEntry
from airflow_runai.checkpoints.storage.listing import Listing
from tests.checkpoints.finding_codes import code_set
from tests.checkpoints.samples import GOLDEN, publish, write
from tests.checkpoints.trainings import safetensors_state, sharded, torch_state, weights

SIZE = 2048


def entry(crc: int | None, **more: Any) -> TensorEntry:
    return TensorEntry(
        **{
            "dtype": "F32",
            "shape": (SIZE,),
            "crc32": crc,
            "zero": False,
            "non_finite": False,
            **more,
        }
    )


def ledger(step: int | None, **tensors: TensorEntry) -> Ledger:
    return Ledger(step, {("", name): found for name, found in tensors.items()})


def codes(report: Report) -> set[str]:
    return code_set(report, "safetensors-no-checksum")


# -- what is remembered
# ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name", ["state.pt", "model.safetensors", "checkpoint-4", "sharded", "types.pt"]
)
def test_a_ledger_survives_its_own_json(name: str) -> None:
    found = check(GOLDEN / name).ledger
    assert found.tensors
    assert Ledger.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_the_sums_stand_in_the_directory_already() -> None:
    structure, content = (
        check(GOLDEN / "state.pt", level=1).ledger,
        check(GOLDEN / "state.pt").ledger,
    )
    assert {key: found.crc32 for key, found in structure.tensors.items()} == {
        key: found.crc32 for key, found in content.tensors.items()
    }
    assert {found.zero for found in structure.tensors.values()} == {None}


def test_a_deflated_file_and_one_without_checksums_have_the_same_ledger() -> None:
    whole = check(GOLDEN / "state.pt").ledger.tensors
    assert check(GOLDEN / "deflated.pt").ledger.tensors == whole
    assert check(GOLDEN / "unsummed.pt").ledger.tensors == whole


def test_a_ledger_is_no_part_of_the_small_report() -> None:
    assert "ledger" not in check(GOLDEN / "state.pt").to_json()


@pytest.mark.parametrize(
    "damage",
    [
        lambda told: None,
        lambda told: [],
        lambda told: {**told, "schema": "runai-ledger/9"},
        lambda told: {**told, "step": -1},
        lambda told: {**told, "complete": "yes"},
        lambda told: {**told, "files": []},
        lambda told: {**told, "files": {"a": [1, "xyz"]}},
        lambda told: {**told, "tensors": {"a": []}},
        lambda told: {**told, "tensors": {"a": {"w": ["F32", [-1], None, None, None, False]}}},
        lambda told: {**told, "tensors": {"a": {"w": ["F32", [1], "0", None, None, False]}}},
        lambda told: {**told, "tensors": {"a": {"w": ["F32", [1], None, 1, None, False]}}},
    ],
)
def test_what_is_no_ledger_is_refused_with_its_place(damage: Callable[[Any], Any]) -> None:
    told = json.loads(json.dumps(check(GOLDEN / "state.pt").ledger.to_json()))
    with pytest.raises(ValueError, match="ledger: "):
        Ledger.from_json(damage(told))


@pytest.mark.slow
def test_a_ledger_is_bounded_and_says_so(tmp_path: Path) -> None:
    account = CheckAccount()
    for number in range(ENTRY_LIMIT + 2):
        account.enter("x", str(number), entry(number))
    found = account.ledger(Listing(tmp_path, "x"), 1)
    assert (len(found.tensors), found.complete) == (ENTRY_LIMIT, False)
    assert [finding.code for finding in compare(found, ledger(2), intact=True)] == []


# -- what it tells
# -----------------------------------------------------------------------------------------------------
HEALTHY = ledger(1, a=entry(1), b=entry(2), c=entry(3))
MOVED = replace(
    HEALTHY, tensors={key: replace(found, moved=True) for key, found in HEALTHY.tensors.items()}
)
NEXT = ledger(2, a=entry(11), b=entry(12), c=entry(13))
TOLD: dict[str, tuple[Ledger, Ledger, set[str]]] = {
    "all moved": (HEALTHY, NEXT, set()),
    "one stands still": (HEALTHY, ledger(2, a=entry(1), b=entry(12), c=entry(13)), set()),
    "one that was trained stands still": (
        MOVED,
        ledger(2, a=entry(1), b=entry(12), c=entry(13)),
        {"tensors-unchanged"},
    ),
    "a small one stands still": (
        ledger(1, a=entry(1, moved=True, shape=(4,)), b=entry(2)),
        ledger(2, a=entry(1, shape=(4,)), b=entry(12)),
        set(),
    ),
    "none moved": (HEALTHY, replace(HEALTHY, step=2), {"weights-frozen"}),
    "nobody knows the sums": (ledger(1, a=entry(None)), ledger(2, a=entry(None)), set()),
    "the same once more": (HEALTHY, HEALTHY, set()),
    "a step without a number": (HEALTHY, replace(HEALTHY, step=None), set()),
    "lost": (HEALTHY, ledger(2, a=entry(11), b=entry(12)), {"tensor-lost"}),
    "new": (HEALTHY, ledger(2, a=entry(11), b=entry(12), c=entry(13), d=entry(14)), {"tensor-new"}),
    "first ledger": (Ledger(), NEXT, set()),
    "half as wide": (
        HEALTHY,
        ledger(2, a=entry(11, dtype="F16"), b=entry(12), c=entry(13)),
        {"dtype-drift"},
    ),
    "another shape": (
        HEALTHY,
        ledger(2, a=entry(11, shape=(9,)), b=entry(12), c=entry(13)),
        {"shape-drift"},
    ),
    "changed places": (HEALTHY, ledger(1, a=entry(2), b=entry(1), c=entry(3)), {"tensors-swapped"}),
    "copied, as target networks are": (
        HEALTHY,
        ledger(2, a=entry(11), b=entry(1), c=entry(13)),
        set(),
    ),
    "zero now": (HEALTHY, ledger(2, a=entry(11, zero=True), b=entry(12), c=entry(13)), {"zeroed"}),
    "zero as before": (
        ledger(1, a=entry(1, zero=True), b=entry(2)),
        ledger(2, a=entry(1, zero=True), b=entry(12)),
        set(),
    ),
    "other bytes of the same step": (HEALTHY, replace(NEXT, step=1), {"changed-since-accepted"}),
    "an older one": (NEXT, ledger(1, a=entry(1, zero=True)), set()),
    "an older one of another width": (NEXT, ledger(1, a=entry(1, dtype="F16")), {"dtype-drift"}),
}


@pytest.mark.parametrize("name", TOLD)
def test_two_ledgers_tell_what_happened_between_them(name: str) -> None:
    before, now, expected = TOLD[name]
    found = {finding.code for finding in compare(before, now)}
    assert found - {"changed-since-accepted"} == expected - {"changed-since-accepted"}
    assert expected <= found


def test_moments_and_masks_may_become_zero() -> None:
    before = ledger(1, **{"state.0.exp_avg": entry(1), "attention_mask": entry(2), "w": entry(3)})
    now = ledger(
        2,
        **{
            "state.0.exp_avg": entry(9, zero=True),
            "attention_mask": entry(9, zero=True),
            "w": entry(4),
        },
    )
    assert compare(before, now) == ()


def test_a_step_saved_once_more_with_good_checksums_is_no_damage() -> None:
    assert [found.code for found in compare(HEALTHY, replace(NEXT, step=1), intact=True)] == [
        "saved-again"
    ]


def test_findings_name_three_tensors_and_count_the_rest() -> None:
    before = ledger(1, **{f"w{number}": entry(number) for number in range(50)})
    (found,) = compare(before, ledger(2))
    assert found.message.startswith(
        "50 tensors, such as 'w0', 'w1', 'w2': each was in the last accepted checkpoint"
    )
    assert "begin a new ledger" in found.message


def test_what_moved_once_is_known_to_be_trained_ever_after() -> None:
    second = advance(HEALTHY, ledger(2, a=entry(1), b=entry(12), c=entry(13)))
    third = advance(second, ledger(3, a=entry(1), b=entry(12), c=entry(23)))
    assert {name: found.moved for (_, name), found in third.tensors.items()} == {
        "a": False,
        "b": True,
        "c": True,
    }


# -- through real files
# ------------------------------------------------------------------------------------------------
def test_healthy_steps_follow_each_other_without_a_finding(tmp_path: Path) -> None:
    known = None
    for step in (1, 2, 3):
        report = check(
            write(tmp_path / f"step-{step}.pt", torch_state(weights(step), step)), ledger=known
        )
        assert (report.verdict, report.findings) == (Verdict.VALID, ())
        known = report.ledger
    assert known is not None
    assert {
        name: found.moved for (_, name), found in known.tensors.items() if name != "global_step"
    } == {
        "first": True,
        "second": True,
        "bias": True,
        "frozen": False,
    }


def test_a_look_at_the_structure_alone_calls_nothing_damaged_that_may_have_been_saved_again(
    tmp_path: Path,
) -> None:
    known = check(write(tmp_path / "step-1.pt", torch_state(weights(1), 1))).ledger
    report = check(write(tmp_path / "step-1.pt", torch_state(weights(2), 1)), level=1, ledger=known)
    assert (report.verdict, codes(report)) == (Verdict.VALID, {"saved-again"})


def test_shards_are_recognised_under_another_number_of_shards(tmp_path: Path) -> None:
    known = check(sharded(tmp_path, 1)).ledger
    two = sharded(tmp_path, 2)
    for name in ("model-00001-of-00002.bin", "model-00002-of-00002.bin"):
        (two / name).rename(two / name.replace("of-00002", "of-00007"))
    index = two / "pytorch_model.bin.index.json"
    index.write_text(index.read_text().replace("of-00002", "of-00007"))
    assert check(two, ledger=known).findings == ()


def test_a_shard_that_never_moved_is_doubted_and_one_that_did_is_refused(tmp_path: Path) -> None:
    first, second, third = (
        check(sharded(tmp_path / "good", step), ledger=None) for step in (1, 2, 3)
    )
    stale = "model-00002-of-00002.bin"
    folder = sharded(tmp_path / "bad", 3)
    for report, verdict, code in (
        (first, Verdict.UNVERIFIABLE, "file-unchanged"),
        (
            replace(second, ledger=advance(first.ledger, second.ledger)),
            Verdict.INVALID,
            "stale-file",
        ),
    ):
        values = weights(report.step or 0)
        # Its own step says 3, so that only the numbers tell.
        write(folder / stale, torch_state({name: values[name] for name in ("second", "frozen")}, 3))
        found = check(folder, ledger=report.ledger)
        assert (found.verdict, codes(found)) == (verdict, {code})
    assert third.verdict is Verdict.VALID


def test_a_file_that_a_manifest_names_is_the_trainings_own_doing(tmp_path: Path) -> None:
    def files(step: int) -> dict[str, bytes]:
        frozen = {"frozen": weights(0)["frozen"]}
        moving = {"first": weights(step)["first"]}
        return {
            "tower.safetensors": safetensors_state(frozen),
            "head.safetensors": safetensors_state(moving),
        }

    known = check(publish(tmp_path, 1, files(1))).ledger
    report = check(publish(tmp_path, 2, files(2)), ledger=known)
    assert (report.verdict, codes(report)) == (Verdict.VALID, {"tensors-unchanged"})


def test_selection_hands_the_ledger_on(tmp_path: Path) -> None:
    write(tmp_path / "step-1.pt", torch_state(weights(1), 1))
    first = select(tmp_path).chosen
    assert first is not None
    write(tmp_path / "step-2.pt", torch_state(weights(2), 2))
    lost = {name: numbers for name, numbers in weights(3).items() if name != "bias"}
    write(tmp_path / "step-3.pt", torch_state(lost, 3))
    found = select(tmp_path, ledger=first.ledger)
    assert found.chosen is not None
    assert found.chosen.step == 2
    assert [codes(report) for report in found.rejected] == [{"tensor-lost"}]
    assert found.chosen.ledger.tensors["", "first"].moved


def test_infinity_that_was_there_before_only_warns(tmp_path: Path) -> None:
    infinity = float("-inf")
    good = check(
        write(tmp_path / "step-1.pt", torch_state({**weights(1), "table": [infinity, 0.0]}, 1))
    )
    assert codes(good) == {"mask-infinite"}
    path = write(tmp_path / "step-2.pt", torch_state({**weights(2), "table": [infinity, 1.0]}, 2))
    assert check(path).verdict is Verdict.POISONED
    report = check(path, ledger=good.ledger)
    assert (report.verdict, codes(report)) == (Verdict.VALID, {"non-finite-before"})
