"""What a worker finds out at the end: checkpoints for usage and progress, nodes for the tab."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.core.outcome import Outcome
from airflow_runai.core.progress import StepProgress
from airflow_runai.core.saves import Saved
from airflow_runai.core.timeline import Moment, clocks
from airflow_runai.emulator import Emulator
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.links import push_timeline
from airflow_runai.tasks.checkpoint_root import CheckpointRoot
from airflow_runai.tasks.last_look import last_look, lives_of
from airflow_runai.tasks.mark_verdicts import NEWEST, with_verdicts
from airflow_runai.tasks.usage_report import Saves, usage_of
from tests.airflow.running import Run, dag_of, meanwhile
from tests.airflow.test_logs import both, preempted_once, training
from tests.checkpoints.samples import safetensors_file

STORY = (
    Moment(1000.0, "Pending"),
    Moment(1100.0, "Running"),
    Moment(1500.0, "Pending", "Preempted"),
    Moment(1600.0, "Running"),
    Moment(2000.0, "Completed"),
)


def ended(progress: StepProgress | None = None) -> Outcome:
    end = STORY[-1].at
    whole = Outcome("succeeded", "w-1", "train-g1", "Completed", "", end, clocks(STORY, end), STORY)
    return replace(whole, progress=progress)


def save(root: Path, step: int, at: float, seconds: Any = None) -> None:
    folder = root / f"step-{step:08}"
    folder.mkdir()
    if seconds is not None:
        (folder / "manifest.json").write_text(json.dumps({"save_seconds": seconds}))
    os.utime(folder, (at, at))


def test_the_checkpoints_of_an_interrupted_training_tell_what_was_lost(
    emulator: Emulator, tmp_path: Path
) -> None:
    save(tmp_path, 10, 1300.0, seconds=4.0)
    save(tmp_path, 20, 1800.0, seconds=6.5)
    outcome, saves = last_look(ended(), CheckpointRoot(str(tmp_path), expected_steps=30))
    assert saves == Saves([Saved(10, 1300.0), Saved(20, 1800.0)], 6.5, is_whole=False)
    assert outcome.progress is not None
    assert (outcome.progress.step, outcome.progress.target) == (20, 30)
    assert outcome.progress.checkpoints == (Saved(10, 1300.0), Saved(20, 1800.0))
    found = usage_of(RunaiHook(), outcome, 2, saves)
    assert found is not None
    assert (found["useful"], found["lost"]) == (2 * (200.0 + 400.0), 2 * 200.0)


def test_what_the_wait_saw_counts_after_it_was_removed(tmp_path: Path) -> None:
    save(tmp_path, 20, 1800.0)
    seen = StepProgress(10, checkpoints=(Saved(5, 1200.0), Saved(10, 1300.0)), is_whole=True)
    outcome, saves = last_look(ended(seen), CheckpointRoot(str(tmp_path)))
    assert saves == Saves([Saved(5, 1200.0), Saved(10, 1300.0), Saved(20, 1800.0)])
    assert outcome.progress is not None
    assert outcome.progress.step == 20


def test_what_nobody_saw_is_not_guessed(emulator: Emulator, tmp_path: Path) -> None:
    save(tmp_path, 20, 1800.0)
    outcome, saves = last_look(ended(), CheckpointRoot(str(tmp_path)))
    found = usage_of(RunaiHook(), outcome, 1, saves)
    assert found is not None
    assert (found["useful"], found["allocated"]) == (None, 800.0)


@pytest.mark.parametrize("path", [None, "/not/mounted/here/at/all", "/not-here", "{tmp}/later"])
def test_without_a_root_nothing_is_known(tmp_path: Path, path: str | None) -> None:
    root = CheckpointRoot(path.format(tmp=tmp_path)) if path else None
    seen = ended(StepProgress(10, checkpoints=(Saved(10, 1300.0),), is_whole=True))
    assert last_look(seen, root) == (seen, None)


def test_what_was_seen_counts_where_all_is_removed(tmp_path: Path) -> None:
    seen = StepProgress(10, checkpoints=(Saved(10, 1300.0),), is_whole=True)
    outcome, saves = last_look(ended(seen), CheckpointRoot(str(tmp_path)))
    assert (outcome.progress, saves) == (seen, Saves([Saved(10, 1300.0)]))


def test_what_was_not_published_keeps_nothing(emulator: Emulator, tmp_path: Path) -> None:
    save(tmp_path, 10, 1300.0, seconds=4.0)
    save(tmp_path, 20, 1999.0)  # cut off while it was written
    seen = StepProgress(20, checkpoints=(Saved(20, 1999.0),), is_whole=True)
    outcome, saves = last_look(replace(ended(seen), status="failed"), CheckpointRoot(str(tmp_path)))
    assert saves == Saves([Saved(10, 1300.0)], 4.0)
    found = usage_of(RunaiHook(), outcome, 1, saves)
    assert found is not None
    assert found["useful"] == 200.0


def test_of_a_storage_without_times_only_the_steps_count(tmp_path: Path) -> None:
    save(tmp_path, 10, 0.0)
    outcome, saves = last_look(ended(), CheckpointRoot(str(tmp_path)))
    assert saves is None
    assert outcome.progress is not None
    assert outcome.progress.step == 10


@pytest.mark.parametrize("seconds", [math.nan, math.inf, 1e400, -1.0, 1e9, True, "7"])
def test_a_manifest_may_say_anything(tmp_path: Path, seconds: Any) -> None:
    save(tmp_path, 10, 1300.0, seconds=seconds)
    _, saves = last_look(ended(), CheckpointRoot(str(tmp_path)))
    assert saves is not None
    assert saves.seconds is None


def test_where_nothing_was_ever_saved_nothing_was_kept(emulator: Emulator, tmp_path: Path) -> None:
    outcome, saves = last_look(ended(), CheckpointRoot(str(tmp_path)))
    assert (outcome.progress, saves) == (None, Saves((), is_whole=True))
    found = usage_of(RunaiHook(), outcome, 1, saves)
    assert found is not None
    assert (found["useful"], found["lost"]) == (400.0, 400.0)


def test_marks_have_verdicts_by_their_structure(tmp_path: Path) -> None:
    good = safetensors_file()
    for step, content in {10: good, 20: good[:-1], 30: good}.items():
        folder = tmp_path / f"step-{step}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(content)
        os.utime(folder, (1200.0 + step, 1200.0 + step))
    marks = (Saved(5, 1205.0), Saved(10, 1210.0), Saved(20, 1220.0), Saved(30, 1999.0))
    news = ended(StepProgress(30, checkpoints=marks)).to_news()
    found = with_verdicts(news, CheckpointRoot(str(tmp_path)))["progress"]["checkpoints"]
    assert [mark.get("verdict") for mark in found] == [None, "unverifiable", "invalid", None]
    assert [mark.get("level") for mark in found] == [None, 1, 1, None]


@pytest.mark.parametrize("root", [None, "/not/mounted/here/at/all"])
def test_marks_that_cannot_be_judged_stay_as_they_are(root: str | None) -> None:
    news = ended(StepProgress(30, checkpoints=(Saved(30, 1230.0),))).to_news()
    assert with_verdicts(news, CheckpointRoot(root) if root else None) == news


def test_only_the_newest_are_judged(tmp_path: Path) -> None:
    for step in range(1, NEWEST + 6):
        save(tmp_path, step, 1200.0 + step)
    marks = tuple(Saved(step, 1200.0 + step) for step in range(1, NEWEST + 6))
    news = ended(StepProgress(30, checkpoints=marks)).to_news()
    found = with_verdicts(news, CheckpointRoot(str(tmp_path)))["progress"]["checkpoints"]
    assert ["verdict" in mark for mark in found] == [False] * 5 + [True] * NEWEST


def test_nodes_that_cannot_be_asked_for_are_left_empty(connect: Callable[..., None]) -> None:
    connect("http://127.0.0.1:9")
    assert lives_of(RunaiHook(), ended()) == [
        {"since": 1100.0, "node": "", "until": 1500.0},
        {"since": 1600.0, "node": "", "until": 2000.0},
    ]


#: Saves once in each incarnation; the first one leaves only when the second may begin.
SAVING = """#!/bin/bash
root=$(dirname "$0")/ckpt
test -d $root/step-10 && { mkdir $root/step-20; exit 0; }
mkdir -p $root/step-10
trap 'echo saving; touch $(dirname "$0")/was-here-asked; exit 1' TERM
echo "epoch 1"
sleep 100 & wait
"""


@pytest.mark.slow
@both
def test_a_preempted_training_leaves_usage_marks_and_nodes(
    run: Callable[..., Run], emulator: Emulator, shared: Path, deferrable: bool
) -> None:
    script = shared / "train.sh"
    script.write_text(SAVING)
    script.chmod(0o755)
    spec: dict[str, Any] = {
        "image": "x",
        "command": "/shared/train.sh",
        "compute": {"gpu_devices": 1},
        "environment": {"CHECKPOINTS": "/shared/ckpt"},
        "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
        "backoff_limit": 0,
    }
    mapped = {"/shared": str(shared)}
    with meanwhile(preempted_once(emulator, shared)):
        done = run(dag_of(training(spec, deferrable=deferrable, path_map=mapped)))
    assert done.state == "success"
    usage = done.xcom()["usage"]
    assert usage["useful"] > 0
    assert usage["starting"] + usage["useful"] + usage["lost"] == pytest.approx(
        usage["allocated"], abs=0.01
    )
    shown = done.xcom("runai_timeline")
    assert [one["node"] for one in shown["incarnations"]] == ["node-1", "node-2"]
    assert [one["step"] for one in shown["progress"]["checkpoints"]] == [10, 20]


def test_news_that_airflow_does_not_take_cost_no_task(caplog: pytest.LogCaptureFixture) -> None:
    class Refusing:
        def xcom_push(self, key: str, value: Any) -> None:
            raise ValueError("Out of range float values are not JSON compliant")

    context: Any = {"task": object(), "ti": Refusing()}
    push_timeline(context, {"usage": math.nan})
    assert "the tab cannot be shown the news of the workload (Out of range" in caplog.text
