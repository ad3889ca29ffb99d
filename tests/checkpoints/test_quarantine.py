"""Putting bad checkpoints aside: by a rename, with a reason, never over anything, and never a good one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from airflow_runai.checkpoints import Report, Verdict, candidates, check, select
from airflow_runai.checkpoints.keeping.quarantine import QuarantineProblem, quarantine
from tests.checkpoints.samples import GOLDEN, publish, torch_file, write


def torn(root: Path, step: int = 5) -> tuple[Path, Report]:
    path = publish(root, step)
    write(path / "model.safetensors", b"torn")
    return path, check(path)


def test_a_bad_one_is_moved_with_its_report_beside_it(tmp_path: Path) -> None:
    path, report = torn(tmp_path)
    moved = quarantine(path, report)
    assert moved == tmp_path / "quarantine" / path.name / path.name
    assert (moved / "model.safetensors").read_bytes() == b"torn"
    assert not path.exists()
    assert json.loads((moved.parent / "report.json").read_text())["verdict"] == "invalid"


def test_what_is_in_quarantine_is_no_candidate_and_comes_back_by_a_move(tmp_path: Path) -> None:
    path, report = torn(tmp_path)
    publish(tmp_path, 4)
    moved = quarantine(path, report)
    assert [found.step for found in candidates(tmp_path)] == [4]
    shutil.move(moved, path)
    assert [found.step for found in candidates(tmp_path)] == [5, 4]


def test_the_same_name_again_never_overwrites(tmp_path: Path) -> None:
    moved = [quarantine(*torn(tmp_path)) for _ in range(3)]
    assert [path.parent.name for path in moved] == [
        f"step-00000005{end}" for end in ("", ".2", ".3")
    ]
    assert all((path / "manifest.json").exists() for path in moved)


def test_a_single_file_is_moved_too(tmp_path: Path) -> None:
    path = write(tmp_path / "step-7.pt", torch_file()[:-1])
    assert quarantine(path, check(path)).read_bytes() == torch_file()[:-1]


def test_an_index_takes_its_data_files_with_it(tmp_path: Path) -> None:
    for name in (
        "ckpt-3.index",
        "ckpt-3.data-00000-of-00002",
        "ckpt-3.data-00001-of-00002",
        "ckpt-30.index",
    ):
        write(tmp_path / name, b"no table")
    path = tmp_path / "ckpt-3.index"
    moved = quarantine(path, check(path))
    assert sorted(found.name for found in moved.parent.iterdir()) == [
        "ckpt-3.data-00000-of-00002",
        "ckpt-3.data-00001-of-00002",
        "ckpt-3.index",
        "report.json",
    ]
    assert (tmp_path / "ckpt-30.index").exists()


@pytest.mark.parametrize(
    "verdict", [v for v in Verdict if v not in (Verdict.INVALID, Verdict.POISONED, Verdict.UNSAFE)]
)
def test_only_what_is_known_to_be_bad_is_moved(tmp_path: Path, verdict: Verdict) -> None:
    path = publish(tmp_path)
    with pytest.raises(QuarantineProblem, match=f"is {verdict}; only invalid, poisoned, unsafe"):
        quarantine(path, Report(str(path), verdict, None, 42, 3, 0))
    assert path.exists()


def test_what_was_written_anew_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path, report = torn(tmp_path)
    shutil.rmtree(path)
    publish(tmp_path, 5)
    with pytest.raises(QuarantineProblem, match="changed since it was checked"):
        quarantine(path, report)
    assert check(path).verdict is Verdict.VALID
    assert not (tmp_path / "quarantine").exists()


def test_what_is_gone_meanwhile_is_no_traceback(tmp_path: Path) -> None:
    path, report = torn(tmp_path)
    shutil.rmtree(path)
    with pytest.raises(QuarantineProblem, match="changed since"):
        quarantine(path, report)


def test_where_no_folder_can_be_made_nothing_is_lost(tmp_path: Path) -> None:
    path, report = torn(tmp_path)
    write(tmp_path / "quarantine", b"a file is in the way")
    with pytest.raises(QuarantineProblem, match="cannot be renamed"):
        quarantine(path, report)
    assert path.exists()


def test_object_storage_has_no_rename_and_is_left_alone() -> None:
    from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]  # has no types
    from upath import UPath

    MemoryFileSystem().pipe("/q/step-5.pt", torch_file()[:-1])
    path = UPath("memory:///q/step-5.pt")
    with pytest.raises(QuarantineProblem, match="object storage has no rename"):
        quarantine(path, check(path))
    assert path.exists()


def test_after_quarantine_the_previous_one_is_chosen(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "nan.pt", tmp_path / "step-9.pt")
    shutil.copy(GOLDEN / "state.pt", tmp_path / "step-4.pt")
    for report in select(tmp_path).rejected:
        quarantine(Path(report.path), report)
    chosen = select(tmp_path)
    assert (chosen.rejected, chosen.chosen is not None and chosen.chosen.step) == ((), 4)
