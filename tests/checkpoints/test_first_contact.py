"""What a newcomer meets first: nothing chosen although all is whole, a root given for a checkpoint, odd names."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_runai.checkpoints import RootProblem, Verdict, candidates, check, select
from airflow_runai.checkpoints.checking.steps import step_in_name
from airflow_runai.checkpoints.keeping.quarantine import QuarantineProblem, quarantine
from airflow_runai.tasks.checkpoint_query import no_valid_checkpoint
from tests.checkpoints.samples import GOLDEN, publish, safetensors_file, torch_file, write

SENTENCE = "refused only because nothing in the format can prove the bytes"


def trainings(root: Path, *steps: int) -> Path:
    for step in steps:
        (root / f"step-{step}").mkdir(parents=True)
        write(root / f"step-{step}" / "model.safetensors", safetensors_file())
    return root


# -- nothing was chosen
# ------------------------------------------------------------------------------------------------
def test_what_was_refused_only_for_want_of_a_proof_is_said_in_one_sentence_with_two_ways_out(
    tmp_path: Path,
) -> None:
    found = select(trainings(tmp_path, 1, 2, 3))
    words = str(no_valid_checkpoint("/shared/run-1", found))
    assert found.unproven == 3
    assert f"3 whole checkpoints were {SENTENCE}" in words
    assert "accept_unverifiable=True" in words
    assert "preemptible.save_checkpoint" in words


def test_it_is_said_beside_torn_ones_too_and_never_where_it_does_not_help(tmp_path: Path) -> None:
    trainings(tmp_path, 1, 2)
    write(tmp_path / "step-2" / "model.safetensors", b"torn")
    assert f"1 of 2 checkpoints, which are whole, were {SENTENCE}" in select(tmp_path).advice(
        "the flag"
    )
    write(tmp_path / "step-1" / "model.safetensors", b"torn")
    assert select(tmp_path).advice("the flag") == ""
    assert (
        select(trainings(tmp_path, 3), accept_unverifiable=True, min_step=9).advice("the flag")
        == ""
    )


@pytest.mark.slow
def test_the_command_line_says_it_on_standard_error(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "airflow_runai.checkpoints",
        "select",
        str(trainings(tmp_path, 1)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (1, "unverifiable")
    assert (
        f"1 whole checkpoint was {SENTENCE}: accept that with --accept-unverifiable" in done.stderr
    )
    again = subprocess.run(
        [*command, "--accept-unverifiable"], capture_output=True, text=True, check=False
    )
    assert (again.returncode, again.stderr) == (0, "")


# -- a root
# ------------------------------------------------------------------------------------------------------------
def test_check_says_that_a_root_is_a_root(tmp_path: Path) -> None:
    for step in (4, 8):
        shutil.copytree(GOLDEN / "checkpoint-4", tmp_path / "run" / f"checkpoint-{step}")
    write(tmp_path / "run" / "trainer_state.json", b"{}")
    report = check(tmp_path / "run")
    assert (report.verdict, [finding.code for finding in report.findings]) == (
        Verdict.INVALID,
        ["is-root"],
    )
    assert "2 checkpoints (checkpoint-4, checkpoint-8); use select" in report.findings[0].message
    with pytest.raises(QuarantineProblem, match="is a root of checkpoints"):
        quarantine(tmp_path / "run", report)


def test_a_directory_of_lightning_files_is_a_root(tmp_path: Path) -> None:
    for step in (4, 8):
        shutil.copy(GOLDEN / "epoch=0-step=4.ckpt", tmp_path / f"epoch={step}-step={step}.ckpt")
    assert [finding.code for finding in check(tmp_path).findings] == ["is-root"]


@pytest.mark.parametrize(
    "name", ["deepspeed", "megatron", "other/tensorflow", "other/orbax/7", "checkpoint-4"]
)
def test_what_is_one_checkpoint_is_no_root(name: str) -> None:
    assert check(GOLDEN / name).accepted(accept_unverifiable=True)


def test_parts_that_are_numbered_by_rank_make_no_root(tmp_path: Path) -> None:
    folder = tmp_path / "epoch_3"
    for rank in ("0", "1"):
        (folder / rank).mkdir(parents=True)
        write(folder / rank / "model.pt", torch_file())
        write(folder / f"checkpoint_{rank}.pt", torch_file())
    assert check(folder).verdict is Verdict.VALID


def test_a_root_of_nothing_says_where_checkpoints_lie_below(tmp_path: Path) -> None:
    publish(tmp_path / "version_1" / "checkpoints", 4)
    publish(tmp_path / "version_10", 4)
    with pytest.raises(
        RootProblem, match=r"some lie below: version_1/checkpoints, version_10; name one"
    ) as problem:
        candidates(tmp_path)
    assert problem.value.code == "root-empty"


# -- names
# -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("names", "newest"),
    [
        (("epoch_9.pth", "epoch_12.pth", "epoch_2.pth"), "epoch_12.pth"),
        (("ema-2.pt", "ema-10.pt", "ema-9.pt"), "ema-10.pt"),
        (("ckpt-100k.pt", "ckpt-20k.pt"), "ckpt-100k.pt"),
    ],
)
def test_names_of_equal_age_are_ordered_as_people_do(
    tmp_path: Path, names: tuple[str, ...], newest: str
) -> None:
    for name in names:
        write(tmp_path / name, torch_file(), mtime=1000.0)
    assert candidates(tmp_path)[0].path.name == newest


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("ckpt-100k.pt", None),
        ("ckpt-1M.pt", None),
        ("step_1.5M", None),
        ("checkpoint-2b", None),
        ("iter_100best.pth", 100),
        ("step-100.kept", 100),
        ("step-5-model.pt", 5),
        ("epoch=1-step=40.ckpt", 40),
    ],
)
def test_k_and_m_are_not_guessed(name: str, step: int | None) -> None:
    assert step_in_name(name) == step


def test_rounded_steps_go_by_time(tmp_path: Path) -> None:
    for name, mtime in (("ckpt-100k.pt", 100.0), ("ckpt-1M.pt", 300.0), ("ckpt-900k.pt", 200.0)):
        write(tmp_path / name, torch_file(), mtime=mtime)
    assert [found.path.name for found in candidates(tmp_path)] == [
        "ckpt-1M.pt",
        "ckpt-900k.pt",
        "ckpt-100k.pt",
    ]
    (tmp_path / "below" / "checkpoint-100k").mkdir(parents=True)
    assert [found.path.name for found in candidates(tmp_path / "below")] == ["checkpoint-100k"]
