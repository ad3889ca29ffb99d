from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_runai.checkpoints import RootProblem, Verdict, candidates, select
from tests.checkpoints.samples import (
    GOOD_PICKLE,
    publish,
    safetensors_file,
    state_dict,
    tensor,
    torch_file,
    write,
)


def stepless() -> bytes:
    """A good torch file that says nothing about its step."""
    return torch_file(GOOD_PICKLE.replace(b"global_step", b"globalxstep"))


def names(root: Path) -> list[str]:
    return [candidate.path.name for candidate in candidates(root)]


def test_the_newest_step_comes_first_whatever_its_time_or_spelling(tmp_path: Path) -> None:
    for name, mtime in (("checkpoint-9", 300.0), ("checkpoint-10", 100.0), ("checkpoint-2", 200.0)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (mtime, mtime))
    assert names(tmp_path) == ["checkpoint-10", "checkpoint-9", "checkpoint-2"]


def test_files_of_one_step_and_without_a_step_go_by_time(tmp_path: Path) -> None:
    for name, mtime in (
        ("epoch=1-step=4.ckpt", 100.0),
        ("epoch=1-step=4-v1.ckpt", 200.0),
        ("last.ckpt", 50.0),
    ):
        write(tmp_path / name, b"x", mtime=mtime)
    assert names(tmp_path) == ["epoch=1-step=4-v1.ckpt", "epoch=1-step=4.ckpt", "last.ckpt"]


def test_what_is_unfinished_or_no_checkpoint_of_its_own_is_left_out(tmp_path: Path) -> None:
    publish(tmp_path, 5)
    for name in (".tmp-step-00000006-0-ab", ".trash-step-1", "logs"):
        (tmp_path / name).mkdir()
    for name in ("training_args.bin", "model.safetensors", "latest", "step-7.pt.tmp", "notes.txt"):
        write(tmp_path / name, b"x")
    assert names(tmp_path) == ["step-00000005"]


def test_a_root_that_is_itself_a_checkpoint_is_its_own_candidate(tmp_path: Path) -> None:
    folder = publish(tmp_path, 5)
    assert [(found.path, found.step) for found in candidates(folder)] == [(folder, 5)]


def test_the_newest_that_passes_is_chosen_and_the_others_are_reported(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        publish(tmp_path, step)
    write(tmp_path / "latest", b"step-00000004\n")
    write(tmp_path / "step-00000004" / "model.safetensors", b"torn")
    (tmp_path / "step-00000003" / "manifest.json").unlink()
    selection = select(tmp_path)
    assert selection.chosen is not None
    assert selection.chosen.step == 2
    assert [(report.step, report.verdict) for report in selection.rejected] == [
        (4, Verdict.INVALID),
        (3, Verdict.UNVERIFIABLE),
    ]


def test_unverifiable_ones_are_taken_only_when_allowed(tmp_path: Path) -> None:
    write(tmp_path / "step-1.safetensors", safetensors_file())
    assert select(tmp_path).chosen is None
    chosen = select(tmp_path, accept_unverifiable=True).chosen
    assert chosen is not None
    assert chosen.verdict is Verdict.UNVERIFIABLE


def test_foreign_classes_are_refused_only_when_strict(tmp_path: Path) -> None:
    weight = tensor("0", 4, (2, 2), (2, 1))
    write(
        tmp_path / "step-1.pt",
        torch_file(state_dict({"config": b"cmylib\nConfig\n)\x81", "weight": weight})),
    )
    assert select(tmp_path).chosen is not None
    assert select(tmp_path, strict=True).chosen is None


def test_a_lower_or_unknown_step_than_wanted_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "epoch=0-step=7.ckpt", torch_file())
    write(tmp_path / "last.ckpt", stepless())
    assert select(tmp_path, min_step=7).chosen is not None
    selection = select(tmp_path, min_step=8)
    assert selection.chosen is None
    assert [report.findings[-1].code for report in selection.rejected] == ["below-min-step"]


def test_a_pointer_to_nothing_is_no_candidate(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(tmp_path / "step-00000009")
    publish(tmp_path, 8)
    assert names(tmp_path) == ["step-00000008"]


def test_a_link_to_nothing_is_reported_not_skipped(tmp_path: Path) -> None:
    (tmp_path / "step-9.pt").symlink_to(tmp_path / "gone.pt")
    write(tmp_path / "step-7.pt", torch_file())
    selection = select(tmp_path)
    assert [report.findings[0].code for report in selection.rejected] == ["missing"]
    assert selection.chosen is not None


@pytest.mark.parametrize(
    ("make", "code", "advice"),
    [
        (lambda root: None, "root-missing", "does not exist"),
        (lambda root: write(root, b"x"), "root-is-file", "is a file"),
        (lambda root: root.mkdir(), "root-empty", "0 entries"),
        (
            lambda root: (root / ".tmp-step-00000001-0-aa").mkdir(parents=True),
            "root-empty",
            "1 of them unfinished",
        ),
    ],
)
def test_every_unusable_root_has_its_own_answer(
    tmp_path: Path, make: object, code: str, advice: str
) -> None:
    assert callable(make)
    root = tmp_path / "root"
    make(root)
    with pytest.raises(RootProblem, match=advice) as caught:
        select(root)
    assert caught.value.code == code
    assert str(root) in str(caught.value)


@pytest.mark.slow
def test_a_root_of_too_many_entries_is_refused_with_the_limit(tmp_path: Path) -> None:
    for number in range(10_001):
        (tmp_path / f"step-{number}.pt").touch()
    with pytest.raises(RootProblem, match="10000") as caught:
        candidates(tmp_path)
    assert caught.value.code == "root-too-large"


def test_a_name_with_a_superscript_digit_is_a_name_as_any_other(tmp_path: Path) -> None:
    write(tmp_path / "model-1²3.pt", b"x")
    assert names(tmp_path) == ["model-1²3.pt"]
