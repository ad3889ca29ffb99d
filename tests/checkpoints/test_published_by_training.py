"""The training side and this reader were written to one text by two hands; here they meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_runai.checkpoints import RootProblem, Verdict, check, select
from airflow_runai.training.preemptible import newest_valid, save_checkpoint
from tests.checkpoints.samples import safetensors_file


def save(root: Path, step: int) -> None:
    with save_checkpoint(
        root, step, epoch=1, framework="numpy", metrics={"loss": 0.25, "wörd": "ä"}
    ) as folder:
        (folder / "model.safetensors").write_bytes(safetensors_file())
        (folder / "more").mkdir()
        (folder / "more" / "notes.txt").write_text("done")


def test_what_training_publishes_is_valid(tmp_path: Path) -> None:
    for step in (1, 2):
        save(tmp_path, step)
    chosen, found = select(tmp_path).chosen, newest_valid(tmp_path)
    assert chosen is not None
    assert found is not None
    assert (chosen.verdict, chosen.step, chosen.path) == (
        Verdict.VALID,
        found.step,
        str(found.path),
    )


def test_what_is_being_written_is_in_progress_and_no_candidate(tmp_path: Path) -> None:
    with save_checkpoint(tmp_path, 1) as folder:
        (folder / "model.safetensors").write_bytes(safetensors_file())
        assert check(folder).verdict is Verdict.IN_PROGRESS
        with pytest.raises(RootProblem, match="1 of them unfinished"):
            select(tmp_path)
    assert select(tmp_path).chosen is not None


def test_both_refuse_the_same_damage(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    (tmp_path / "step-00000002" / "more" / "notes.txt").write_text("gone")
    chosen, found = select(tmp_path).chosen, newest_valid(tmp_path)
    assert chosen is not None
    assert found is not None
    assert (chosen.step, found.step) == (1, 1)
