"""The files of a rung: whatever else lies there is named and does not count, and no claim is made twice."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from airflow_runai.checkpoints.storage.exclusive import NotExclusive
from airflow_runai.checkpoints.storage.small_files import SmallFile
from airflow_runai.core.sweep.halving import PROMOTE, SKIP, WAIT
from airflow_runai.errors import InvalidArgument
from airflow_runai.tasks.rung_files import (
    Rung,
    RungMemory,
    RungQuery,
    end_trial,
    trial_number,
)
from tests.checkpoints.stepped_store import Store, StoredPath

TRIALS = 6


def rung(folder: Path, trial: int, mode: str = "max", memory: RungMemory | None = None) -> Rung:
    query = RungQuery(0, trial, TRIALS, 3, "accuracy", mode)
    return Rung(query, SmallFile(folder, folder), memory)


def record(folder: Path, *scores: float) -> None:
    for trial, score in enumerate(scores):
        rung(folder, trial).record(score)


@pytest.mark.parametrize(("mode", "goes_on"), [("max", 2), ("min", 0)])
def test_the_better_end_of_the_metric_goes_on(tmp_path: Path, mode: str, goes_on: int) -> None:
    record(tmp_path, 0.1, 0.2, 0.3)
    decisions = [rung(tmp_path, trial, mode).settle() for trial in range(3)]
    assert decisions == [PROMOTE if trial == goes_on else WAIT for trial in range(3)]
    assert rung(tmp_path, goes_on, mode).settle() == PROMOTE


def test_a_look_claims_nothing(tmp_path: Path) -> None:
    record(tmp_path, 0.1, 0.2, 0.3)
    assert rung(tmp_path, 2).look() == PROMOTE
    assert not (tmp_path / "0" / "claims").exists()


def test_trials_that_have_ended_are_not_waited_for(tmp_path: Path) -> None:
    record(tmp_path, 0.1, math.nan)
    assert (rung(tmp_path, 0).settle(), rung(tmp_path, 1).settle()) == (WAIT, SKIP)
    for trial in range(1, TRIALS):
        assert rung(tmp_path, 0).settle() == WAIT
        end_trial(SmallFile(tmp_path), trial)
        end_trial(SmallFile(tmp_path), trial)
    assert rung(tmp_path, 0).settle() == PROMOTE


def test_what_is_no_result_is_named_once_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record(tmp_path, 0.1, 0.2)
    results, memory = tmp_path / "0" / "results", RungMemory()
    (results / "3.json").write_text('{"trial": 2, "metric": "accuracy", "score": 0.9}')
    (results / "4.json").write_text("{")
    (results / "5.json").symlink_to(results / "0.json")
    (results / "9.json").write_text("of no trial")
    (results / "notes.txt").write_text("not ours")
    for _ in range(2):
        assert rung(tmp_path, 1, memory=memory).look() == WAIT
    said = [line.getMessage() for line in caplog.records if "passed over" in line.getMessage()]
    assert [name for line in said for name in ("3", "4", "5") if f"/{name}.json: " in line] == [
        "3",
        "4",
        "5",
    ]


def test_a_rung_may_have_as_many_files_as_the_sweep_has_trials(tmp_path: Path) -> None:
    trials = 10_500
    folder = SmallFile(tmp_path, tmp_path)
    Rung(RungQuery(0, 0, trials, trials, "accuracy", "max"), folder).record(0.1)
    ended = tmp_path / "ended"
    ended.mkdir()
    for trial in range(1, trials):
        (ended / f"{trial}.json").touch()
    alone = Rung(RungQuery(0, 0, trials, trials, "accuracy", "max"), folder)
    assert alone.look() == PROMOTE


def test_a_claim_that_cannot_be_read_counts(tmp_path: Path) -> None:
    record(tmp_path, *(trial / 10 for trial in range(TRIALS)))
    (tmp_path / "0" / "claims").mkdir()
    (tmp_path / "0" / "claims" / "0.json").write_text("{")
    assert [rung(tmp_path, trial).settle() for trial in (4, 5)] == [SKIP, PROMOTE]


def test_the_first_result_stays(tmp_path: Path) -> None:
    record(tmp_path, 0.1, 0.2, 0.3)
    rung(tmp_path, 0).record(0.9)
    assert rung(tmp_path, 0).settle() == WAIT


def test_something_else_under_ones_own_name_is_refused(tmp_path: Path) -> None:
    record(tmp_path, 0.1)
    own = tmp_path / "0" / "results" / "0.json"
    own.write_text("{")
    with pytest.raises(ValueError, match=r"results/0\.json: is no result of trial 0 .* remove it"):
        rung(tmp_path, 0).record(0.2)
    assert own.read_text() == "{"


def test_a_storage_that_overwrites_is_refused() -> None:
    folder = SmallFile(StoredPath(Store(conditional=False), "bucket/rungs"))
    with pytest.raises(NotExclusive, match="ignores If-None-Match"):
        Rung(RungQuery(0, 0, 3, 3, "accuracy", "max"), folder).record(0.1)


@pytest.mark.parametrize("value", ["3", -1, "x", "", None, "1.0"])
def test_a_trial_is_one_of_the_sweep(value: object) -> None:
    assert trial_number("2", 3) == 2
    with pytest.raises(InvalidArgument, match="allowed: a whole number from 0 to 2"):
        trial_number(value, 3)
