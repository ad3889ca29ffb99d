"""`airflow runai champion`: who is champion, who was, and back again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.checkpoints import check
from airflow_runai.checkpoints.keeping.champion import read_champion, write_champion
from airflow_runai.checkpoints.keeping.champion_history import ChampionHistory
from tests.airflow.test_checkpoints import publish
from tests.cli.conftest import Airflow

RUN = {"dag_id": "nightly", "run_id": "run1", "task_id": "promote"}


@pytest.fixture
def pointer(tmp_path: Path) -> str:
    """A pointer to the third of three champions."""
    history, present = ChampionHistory(tmp_path / "champion.json"), None
    for step in (10, 20, 30):
        report = check(publish(tmp_path / "ckpt", step), level=2)
        present = history.append(
            {
                "uri": report.path,
                "step": step,
                "digest": report.digest,
                "metrics": {"loss": 1 / step, "accuracy": 0.5},
                "promoted_at": 1_700_000_000.0 + step,
                "run": RUN,
            },
            present,
        )
    return str(tmp_path / "champion.json")


def documents(airflow: Airflow, *words: str) -> list[dict[str, Any]]:
    shown = airflow("champion", *words, "-o", "json")
    assert shown.code == 0, shown.err
    found: list[dict[str, Any]] = json.loads(shown.out)
    return found


def test_the_champion_and_its_history_are_shown(airflow: Airflow, pointer: str) -> None:
    assert documents(airflow, "show", pointer) == [read_champion(Path(pointer))]
    assert [one["step"] for one in documents(airflow, "history", pointer)] == [30, 20, 10]
    head, _, row, *_ = airflow("champion", "history", pointer).out.splitlines()
    assert head.split() == [
        "number",
        "step",
        "metrics",
        "promoted",
        "dag",
        "run",
        "rollback",
        "uri",
    ]
    words = row.split()
    assert words[:6] == ["3", "30", "accuracy", "0.5,", "loss", "0.0333333"]
    assert words[6:10] == ["2023-11-14", "22:13:50+00:00", "nightly", "run1"]


def test_after_a_crash_the_history_is_shown_and_the_pointer_stays(
    airflow: Airflow, pointer: str
) -> None:
    write_champion(Path(pointer), ChampionHistory(Path(pointer)).entries()[0][1])
    assert [one["step"] for one in documents(airflow, "show", pointer)] == [30]
    assert (read_champion(Path(pointer)) or {})["step"] == 10


def test_a_rollback_goes_back_and_says_that_no_event_is_raised(
    airflow: Airflow, pointer: str
) -> None:
    shown = airflow("champion", "rollback", pointer, "--level", "2")
    assert shown.code == 0
    assert "from 3 to 2" in shown.out
    assert shown.err == (
        "note: no asset event was raised, so DAGs that wait for one do not start; "
        "RunaiRollbackChampionOperator raises it\n"
    )
    now = read_champion(Path(pointer))
    assert now is not None
    assert (now["step"], now["rollback"]) == (20, {"to": 2, "from": 3, "by": None})
    again = documents(airflow, "rollback", pointer)
    assert (again[0]["step"], again[0]["number"]) == (10, 5)
    assert documents(airflow, "rollback", pointer, "--to", "3")[0]["step"] == 30


def test_what_cannot_be_done_is_one_sentence(airflow: Airflow, pointer: str) -> None:
    second = Path(documents(airflow, "history", pointer)[1]["uri"])
    shutil.rmtree(second)
    shown = airflow("champion", "rollback", pointer)
    assert (shown.code, shown.out) == (1, "")
    assert shown.err.startswith(f"error: {second}: cannot be the champion again: ")
    assert shown.err.count("\n") == 1
    shown = airflow("champion", "rollback", pointer, "--to", "9")
    assert shown.err == "error: to: 9; the history has: 1, 2, 3\n"
    shown = airflow("champion", "show", pointer, "--to", "2")
    assert (shown.code, shown.err) == (
        2,
        "error: --to: show goes back to none; allowed: with rollback\n",
    )
    assert airflow("champion", "promote", pointer).code == 2


def test_no_champion_and_no_pointer_are_told(airflow: Airflow, tmp_path: Path) -> None:
    for action in ("show", "history"):
        shown = airflow("champion", action, str(tmp_path / "champion.json"))
        assert (shown.code, shown.out) == (1, "no champion\n")
    shown = airflow("champion", "rollback", str(tmp_path / "champion.json"))
    assert "champion.json: nothing was ever promoted" in shown.err
    (tmp_path / "champion.json").write_text("[]")
    shown = airflow("champion", "show", str(tmp_path / "champion.json"))
    assert shown.code == 1
    assert "champion.json: is no champion pointer; move it away" in shown.err


def test_an_entry_that_cannot_be_read_is_told_beside_the_others(
    airflow: Airflow, pointer: str
) -> None:
    Path(f"{pointer}.history", "000002.json").write_text("{")
    shown = airflow("champion", "history", pointer, "-o", "json")
    assert shown.code == 1
    assert [one["step"] for one in json.loads(shown.out)] == [30, 10]
    assert "000002.json: is no champion pointer" in shown.err


def test_a_connection_that_is_not_there_is_named(
    airflow: Airflow, database: None, tmp_path: Path
) -> None:
    place = str(tmp_path / "champion.json")
    shown = airflow("champion", "show", place, "--storage-conn", "nowhere")
    assert shown.code == 1
    assert "storage_conn_id: 'nowhere' is not a connection that Airflow can read" in shown.err


def test_text_in_the_pointer_does_not_reach_the_terminal(airflow: Airflow, pointer: str) -> None:
    champion = {"uri": "x", "number": 4, "run": {"dag_id": "\x1b[2J"}}
    Path(pointer).write_text(json.dumps(champion))
    shown = airflow("champion", "show", pointer)
    assert (shown.code, shown.out) == (1, "")
    assert "is no champion pointer (wrong in it: run)" in shown.err
    assert "\x1b" not in shown.err
