"""What a drill refuses before anything runs, and how it says so."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from airflow_runai.drill.plan import DrillError, DrillPlan, duration

from .samples import SCRIPT


def script(folder: Path, text: str = "#!/bin/sh\n", mode: int = 0o755) -> Path:
    path = folder / "startup.sh"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("20s", 20), ("2m", 120), ("1.5h", 5400), (" 3s ", 3), ("0.25s", 0.25)],
)
def test_durations_have_a_unit(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "20", "s", "0s", "0.0m", "-3s", "20 s", "1,5h", "1h30m", "inf", "3d", "٣s5"]
)
def test_other_durations_are_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(
        ValueError, match="is not a duration; allowed: a number above 0 with ms, s, m or h"
    ):
        duration(text)


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ({"times": 0}, "--times: 0 is not in 1..100; a drill without a preemption shows nothing"),
        ({"times": 101}, "--times: 101 is not in"),
        ({"references": 3}, "--references: 3 is neither 1 nor 2"),
        ({"rate": -1.0}, "--rate: -1 is not a number of preemptions a day"),
        ({"rate": float("nan")}, "--rate: nan is not a number"),
        ({"limit": 20.0}, "--limit: 20 s for a run is over before the first preemption at 20 s"),
        ({"environment": {"2X": "1"}}, "--env: '2X' is not a variable name"),
        ({"checkpoints": "."}, "--checkpoints: '.' is all of the folder"),
        ({"checkpoints": "a/.."}, "is all of the folder"),
        ({"checkpoints": "../out"}, "--checkpoints: '../out' leads out of the script's folder"),
        ({"checkpoints": "/"}, "is all of the folder"),
        (
            {"checkpoints": "/nfs/out"},
            "lies outside of the script's folder, and no argument or --env names it",
        ),
    ],
)
def test_what_cannot_be_held_is_refused(details: dict[str, Any], words: str) -> None:
    with pytest.raises(DrillError) as refused:
        DrillPlan(SCRIPT, **details)
    assert words in str(refused.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(DrillError) as refused:
        DrillPlan(Path("nowhere.sh"), times=0, references=0)
    assert [problem.split(":")[0] for problem in refused.value.problems] == [
        "script nowhere.sh",
        "--times",
        "--references",
    ]


def test_script_must_be_there_and_be_something_that_can_be_started(tmp_path: Path) -> None:
    for path, words in (
        (tmp_path / "none.sh", "does not exist"),
        (tmp_path, "is not a file"),
        (script(tmp_path, "echo hello\n"), "does not begin with"),
    ):
        with pytest.raises(DrillError, match=words):
            DrillPlan(path)
    with pytest.raises(DrillError, match=r"is not executable.*chmod"):
        DrillPlan(script(tmp_path, mode=0o644))


@pytest.mark.parametrize(
    ("checkpoints", "inside"),
    [("out", "out"), ("./out/", "out"), ("a/../out/b", "out/b"), (str(SCRIPT.parent / "x"), "x")],
)
def test_places_in_the_folder_are_found_in_its_copy(checkpoints: str, inside: str) -> None:
    assert DrillPlan(SCRIPT, checkpoints=checkpoints).saves_inside == PurePosixPath(inside)


def test_a_place_elsewhere_must_be_named_by_an_argument_or_a_variable() -> None:
    assert (
        DrillPlan(SCRIPT, checkpoints="/nfs/out", arguments=["--save-to=/nfs/out"]).saves_inside
        is None
    )
    assert (
        DrillPlan(SCRIPT, checkpoints="/nfs/out/", environment={"OUT": "/nfs/out"}).saves_inside
        is None
    )
