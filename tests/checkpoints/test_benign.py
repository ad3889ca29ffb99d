"""Good checkpoints that look odd: a false alarm throws work away, and teaches users to switch the check off."""

from __future__ import annotations

import math
import os
import struct
from collections import OrderedDict
from pathlib import Path

import pytest

from airflow_runai.checkpoints import Verdict, candidates, check
from airflow_runai.checkpoints.pickles.tensors import read_contents
from airflow_runai.checkpoints.pickles.values import Call, Global, Persistent
from tests.checkpoints.finding_codes import codes
from tests.checkpoints.samples import safetensors_file, state_dict, tensor, text, torch_file, write


@pytest.mark.parametrize("name", ["random_states_0.pkl", "custom_checkpoint_0.pkl"])
def test_accelerates_pkl_files_are_files_of_torch(tmp_path: Path, name: str) -> None:
    report = check(write(tmp_path / name, torch_file()))
    assert (report.format, report.verdict) == ("torch-zip", Verdict.VALID)


def accelerates(folder: Path) -> Path:
    """What ``Accelerator.save_state`` leaves, in the order of its writing."""
    folder.mkdir()
    write(folder / "model.safetensors", safetensors_file())
    for name in ("optimizer.bin", "scheduler.bin", "random_states_0.pkl"):
        write(folder / name, torch_file(state_dict({"weight": tensor("0", 4, (2, 2), (2, 1))})))
    return folder


def test_accelerate_may_use_the_names_of_the_trainer(tmp_path: Path) -> None:
    report = check(accelerates(tmp_path / "checkpoint-10"))
    assert (report.format, report.verdict, report.step) == ("directory", Verdict.UNVERIFIABLE, 10)


def test_what_accelerate_writes_last_must_be_there(tmp_path: Path) -> None:
    folder = accelerates(tmp_path / "checkpoint-10")
    (folder / "random_states_0.pkl").unlink()
    assert check(folder).verdict is Verdict.INVALID


@pytest.mark.parametrize(
    ("name", "step"), [("step-8.pt", 8), ("model_step_4000.pt", 4000), ("checkpoint_3.pt", 7)]
)
def test_the_count_of_an_unknown_script_may_differ_from_the_name(
    tmp_path: Path, name: str, step: int
) -> None:
    report = check(write(tmp_path / name, torch_file()))
    assert (codes(report), report.verdict, report.step) == (["step-differs"], Verdict.VALID, step)


def test_a_sequence_of_schedulers_counts_as_a_whole() -> None:
    inner = [{"last_epoch": 9, "_step_count": 10}, {"last_epoch": 1, "_step_count": 2}]
    contents = read_contents({"last_epoch": 4, "_milestones": [2], "_schedulers": inner})
    assert contents.scheduler_steps[0] == 4


@pytest.mark.parametrize(
    ("kind", "items", "size"), [("QUInt4x2Storage", 7, 4), ("QUInt2x4Storage", 13, 4)]
)
def test_quantized_numbers_share_bytes(kind: str, items: int, size: int) -> None:
    storage = Persistent(("storage", Global("torch", kind), "0", "cpu", size))
    view = Call(
        Global("torch._utils", "_rebuild_qtensor"),
        (storage, 0, (items,), (1,), (), False, OrderedDict()),
    )
    (found,) = read_contents({"weight": view}).tensors
    assert (found.begin, found.end) == (0, size)


@pytest.mark.parametrize(
    "name", ["observer.min_val", "observer.max_val", "metric.min_value", "grad_norm"]
)
def test_what_begins_as_infinity_or_only_measures_is_no_weight(tmp_path: Path, name: str) -> None:
    pickle = state_dict({name: tensor("0", 4, (2, 2), (2, 1))})
    report = check(
        write(tmp_path / "x.pt", torch_file(pickle, struct.pack("<4f", math.inf, 1, 2, math.nan)))
    )
    assert (codes(report), report.verdict) == (["score-non-finite"], Verdict.VALID)


def test_a_list_of_losses_is_no_list_of_weights(tmp_path: Path) -> None:
    losses = b"](" + tensor("0", 4, (2, 2), (2, 1)) + b"e"
    data = struct.pack("<4f", math.nan, 1, 2, 3)
    verdicts = [
        check(write(tmp_path / "x.pt", torch_file(state_dict({name: losses}), data))).verdict
        for name in ("losses", "layers")
    ]
    assert verdicts == [Verdict.VALID, Verdict.POISONED]


def test_a_name_may_say_tar_where_there_is_none(tmp_path: Path) -> None:
    pickle = state_dict({"note": text("x"), "weight": tensor("0", 4, (2, 2), (2, 1))})
    assert check(write(tmp_path / "x.pth.tar", torch_file(pickle))).verdict is Verdict.VALID


# -- roots
# -------------------------------------------------------------------------------------------------------------
def named(root: Path, **ages: float) -> list[str]:
    """Names of candidates, newest first; of files that were written at these times."""
    for name, mtime in ages.items():
        write(root / name.replace("__", "."), b"x", mtime=mtime)
    return [candidate.path.name for candidate in candidates(root)]


def test_last_is_newer_than_the_best_that_was_kept(tmp_path: Path) -> None:
    write(tmp_path / "epoch=0-step=8.ckpt", b"x", mtime=100.0)
    write(tmp_path / "epoch=9-step=80.ckpt", b"x", mtime=300.0)
    assert named(tmp_path, last__ckpt=200.0) == [
        "epoch=9-step=80.ckpt",
        "last.ckpt",
        "epoch=0-step=8.ckpt",
    ]
    assert named(tmp_path, last__ckpt=400.0)[0] == "last.ckpt"


def test_a_link_called_last_comes_after_what_it_links_to(tmp_path: Path) -> None:
    write(tmp_path / "epoch=0-step=8.ckpt", b"x", mtime=100.0)
    os.symlink("epoch=0-step=8.ckpt", tmp_path / "last.ckpt")
    assert named(tmp_path) == ["epoch=0-step=8.ckpt", "last.ckpt"]


def test_the_best_one_is_not_the_last_one_however_late_it_was_copied(tmp_path: Path) -> None:
    write(tmp_path / "step-8.pt", b"x", mtime=100.0)
    assert named(tmp_path, best__pt=900.0, blast__pt=950.0) == ["step-8.pt", "blast.pt", "best.pt"]


def test_directories_of_epochs_are_candidates_by_time(tmp_path: Path) -> None:
    for name, mtime in (("epoch_2", 100.0), ("epoch_10", 200.0), ("logs", 900.0)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (mtime, mtime))
    assert named(tmp_path) == ["epoch_10", "epoch_2"]


def test_files_of_the_examples_of_pytorch_are_candidates(tmp_path: Path) -> None:
    assert named(tmp_path, model_best__pth__tar=1.0, checkpoint__pth__tar=2.0) == [
        "checkpoint.pth.tar",
        "model_best.pth.tar",
    ]
