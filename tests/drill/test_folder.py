"""The copy that a run works on."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from airflow_runai.drill import folder
from airflow_runai.drill.plan import DrillError


def names(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name in (
        "startup.sh",
        "src/train.py",
        "out/step-3.pt",
        ".git/config",
        "src/__pycache__/train.pyc",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "startup.sh").chmod(0o755)
    return root


def test_copy_is_complete_but_for_old_checkpoints_and_what_others_left(
    project: Path, tmp_path: Path
) -> None:
    folder.copy(project, tmp_path / "copy", PurePosixPath("out"))
    assert names(tmp_path / "copy") == ["out", "src", "src/train.py", "startup.sh"]
    assert os.access(tmp_path / "copy" / "startup.sh", os.X_OK)


def test_links_lead_where_they_led(project: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "x").write_text("x")
    (project / "data").symlink_to("../data")
    (project / "start").symlink_to("startup.sh")
    (project / "loop").symlink_to("loop")
    folder.copy(project, tmp_path / "elsewhere" / "copy")
    copied = tmp_path / "elsewhere" / "copy"
    assert (copied / "data").resolve() == data
    assert (copied / "start").resolve() == copied / "startup.sh"
    assert (copied / "loop").is_symlink()


def test_fifos_are_left_out(project: Path, tmp_path: Path) -> None:
    os.mkfifo(project / "pipe")
    folder.copy(project, tmp_path / "copy")
    assert "pipe" not in names(tmp_path / "copy")


def test_a_folder_with_the_data_in_it_is_refused_before_anything_is_copied(
    project: Path, tmp_path: Path
) -> None:
    with (project / "data.bin").open("wb") as file:
        file.truncate(folder.MAX_BYTES + 1)
    with pytest.raises(
        DrillError, match=r"holds more than 1024 MiB or 20000 files; the drill works on a copy"
    ):
        folder.copy(project, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_checkpoints_elsewhere_in_the_copy_are_found(project: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    folder.copy(project, copied)
    (copied / "results").mkdir()
    (copied / "results" / "model.pt").write_bytes(b"new")
    assert folder.new_checkpoint_files(copied, project) == ["results/model.pt"]
