"""
One promise: whoever looks finds the old or the new checkpoint, whatever happens to the writer.
"""

from __future__ import annotations

import ast
import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_runai.checkpoints.keeping.leases import hold
from airflow_runai.training import preemptible
from airflow_runai.training.preemptible import (
    Checkpoint,
    CheckpointVerificationError,
    newest_valid,
    prune,
    save_checkpoint,
    verify,
)

from . import publisher

SOURCE = Path(preemptible.__file__)


def save(root: Path, step: int, content: str = "weights", **about: object) -> None:
    with save_checkpoint(root, step, **about) as folder:  # type: ignore[arg-type]  # tests pass wrong ones, too
        (folder / "model.bin").write_text(content)


def save_and_fail(root: Path, error: Exception) -> None:
    with save_checkpoint(root, 2) as folder:
        (folder / "model.bin").write_text("half")
        raise error


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def found(root: Path) -> Checkpoint:
    checkpoint = newest_valid(root)
    assert checkpoint is not None
    return checkpoint


def assert_whole(checkpoint: Checkpoint) -> None:
    for name in publisher.NAMES:
        expected = publisher.content(checkpoint.step, checkpoint.epoch or 0, name)
        assert (checkpoint.path / name).read_bytes() == expected


@contextmanager
def publishing(root: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.training.publisher", str(root), how]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=SOURCE.parents[2])
    try:
        yield child
    finally:
        child.kill()
        child.wait()


# --- what is written
# -------------------------------------------------------------------------------------


def test_manifest_is_written_as_agreed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {"JOB_NAME": "train1", "JOB_UUID": "u-1", "NODE_NAME": "node-2"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("RUNAI_JOB_NAME", raising=False)
    save(tmp_path, 41)
    before = time.time()
    with save_checkpoint(tmp_path, 42, epoch=3, framework="numpy", metrics={"loss": 0.5}) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "rng.bin").write_bytes(b"123456789")
    text = json.loads((tmp_path / "step-00000042" / "manifest.json").read_text())
    crc = text.pop("crc32")
    assert (
        crc == f"{zlib.crc32(json.dumps(text, sort_keys=True, separators=(',', ':')).encode()):08x}"
    )
    passed = time.time() - before
    assert before - 1 <= text.pop("created_at") <= before + passed + 1
    assert 0 <= text.pop("save_seconds") <= passed + 0.001
    assert text == {
        "schema": "runai-checkpoint/1",
        "step": 42,
        "epoch": 3,
        "world_size": 1,
        "framework": "numpy",
        "workload": {"name": "train1", "uuid": "u-1", "node": "node-2"},
        "previous_step": 41,
        "metrics": {"loss": 0.5},
        "files": [{"path": "deep/rng.bin", "size": 9, "crc32": "cbf43926"}],
        "complete": True,
    }
    assert (tmp_path / "latest").read_text() == "step-00000042\n"
    assert names(tmp_path) == ["latest", "step-00000041", "step-00000042"]


def test_newest_valid_tells_what_the_trainer_needs(tmp_path: Path) -> None:
    save(tmp_path, 7, epoch=2, metrics={"accuracy": 0.9})
    assert newest_valid(tmp_path) == Checkpoint(tmp_path / "step-00000007", 7, 2, {"accuracy": 0.9})


def test_names_of_other_frameworks_are_found_by_their_step(tmp_path: Path) -> None:
    for step, name in enumerate(
        ["checkpoint-1", "epoch=0-step=2.ckpt", "preempted-step=3.ckpt", "last.ckpt"], 1
    ):
        with save_checkpoint(tmp_path, step, name=name) as folder:
            (folder / "model.bin").write_text("weights")
    (tmp_path / "epoch=9-step=99.ckpt").write_text("a file of Lightning's own")
    (tmp_path / "checkpoint-100").mkdir()
    assert found(tmp_path).path.name == "preempted-step=3.ckpt"
    assert [path.name for path in prune(tmp_path, keep_last=3)] == ["checkpoint-1"]


def test_other_files_than_announced_are_not_sealed(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_text("weights")
    entry = preemptible.fsync_and_sum(tmp_path, "model.bin")
    with pytest.raises(ValueError, match=r"announced were \['optimizer\.bin'\]"):
        preemptible.write_manifest(
            tmp_path, preemptible.describe(1), [{**entry, "path": "optimizer.bin"}]
        )
    assert names(tmp_path) == ["model.bin"]


def test_no_root_and_an_empty_root_mean_start_from_scratch(tmp_path: Path) -> None:
    assert newest_valid(tmp_path / "missing") is None
    assert newest_valid(tmp_path) is None


def test_file_that_only_its_owner_can_read_becomes_as_readable_as_the_directory(
    tmp_path: Path,
) -> None:
    with save_checkpoint(tmp_path, 1) as folder:
        (folder / "model.safetensors").touch(0o600)
        (folder / "model.safetensors").write_text("x")
        directory_mode = folder.stat().st_mode
    mode = (tmp_path / "step-00000001" / "model.safetensors").stat().st_mode
    assert mode & 0o444 == directory_mode & 0o444


# --- killed at any moment
# --------------------------------------------------------------------------------


@pytest.mark.slow
def test_publisher_killed_at_fifty_random_moments_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    moments, last = random.Random(20240521), 0
    publisher.publish(tmp_path, 0, 0)
    for turn in range(50):
        with publishing(tmp_path, "advance") as child:
            assert child.stdout is not None
            # The next start finds what we found.
            assert child.stdout.readline() == f"resumed {last}\n"
            for _ in range(3 * (turn % 2)):  # a busy machine gets on, too
                child.stdout.readline()
            time.sleep(moments.uniform(0, 0.06))  # the moment of death, not a wait for something
            child.kill()
            said = re.findall(r"published (\d+)\n", child.stdout.read())
        checkpoint = found(tmp_path)
        assert_whole(checkpoint)
        assert checkpoint.step >= int((said or [last])[-1])  # what was reported is never lost
        for path in tmp_path.glob("step-*"):
            assert_whole(verify(path))
        last = checkpoint.step
    assert last > 10


@pytest.mark.slow
def test_concurrent_reader_never_sees_a_partial_or_missing_step(tmp_path: Path) -> None:
    publisher.publish(tmp_path, 0, 0)
    versions: set[int | None] = set()
    with publishing(tmp_path, "overwrite") as child:
        while len(versions) < 100:
            assert child.poll() is None
            versions.add(found(tmp_path).epoch)
    assert_whole(found(tmp_path))


def test_left_overs_of_a_dead_writer_are_removed_by_the_next_save(tmp_path: Path) -> None:
    with publishing(tmp_path, "advance") as child:
        assert child.stdout is not None
        assert "published 0\n" in iter(child.stdout.readline, "")
        child.send_signal(signal.SIGSTOP)  # alive, so what it writes must stay
        own = tmp_path / preemptible._temporary(tmp_path / "step-00000009").name.replace(
            f"{os.getpid():08x}", f"{child.pid:08x}"
        )
        own.mkdir()
        save(tmp_path, 1000)
        assert own.exists()
    save(tmp_path, 1001)
    assert not own.exists()


def test_left_overs_of_another_workload_are_removed_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_UUID", "another")
    foreign = preemptible._temporary(tmp_path / "step-00000009")
    foreign.mkdir()
    monkeypatch.setenv("JOB_UUID", "this")
    save(tmp_path, 1)
    assert foreign.exists()
    os.utime(foreign, (time.time() - 25 * 3600,) * 2)
    save(tmp_path, 2)
    assert not foreign.exists()


def test_unfinished_deletion_is_finished_by_the_next_save(tmp_path: Path) -> None:
    (tmp_path / ".trash-step-00000001-abcdef01" / "deep").mkdir(parents=True)
    save(tmp_path, 2)
    assert names(tmp_path) == ["latest", "step-00000002"]


# --- what goes wrong while writing
# -----------------------------------------------------------------------


def test_exception_while_writing_leaves_the_root_as_it_was(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(RuntimeError, match="CUDA"):
        save_and_fail(tmp_path, RuntimeError("CUDA error"))
    assert names(tmp_path) == ["latest", "step-00000001"]
    assert found(tmp_path).step == 1


def test_full_disk_leaves_the_root_as_it_was(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(OSError, match="No space left"):
        save_and_fail(tmp_path, OSError(errno.ENOSPC, "No space left on device"))
    assert names(tmp_path) == ["latest", "step-00000001"]


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"step": -1}, "step=-1: expected 0 or more"),
        ({"step": 1, "metrics": {"loss": float("nan")}}, "finite numbers"),
        ({"step": 1, "metrics": {"loss": object()}}, "finite numbers or text"),
    ],
)
def test_bad_argument_is_refused_before_anything_is_written(
    tmp_path: Path, about: dict[str, object], says: str
) -> None:
    root = tmp_path / "root"
    with pytest.raises(ValueError, match=says):
        save(root, **about)  # type: ignore[arg-type]  # wrong on purpose
    assert not root.exists()


def test_checkpoint_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected files"), save_checkpoint(tmp_path, 1):
        pass
    assert names(tmp_path) == []


def test_link_in_a_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("x")
    with pytest.raises(ValueError, match="links"), save_checkpoint(tmp_path / "root", 1) as folder:
        (folder / "model.bin").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "root") == []


# --- the same step again
# ---------------------------------------------------------------------------------


def test_same_step_with_equal_content_keeps_the_published_one(tmp_path: Path) -> None:
    save(tmp_path, 5)
    before = (tmp_path / "step-00000005").stat().st_ino
    save(tmp_path, 5)
    assert (tmp_path / "step-00000005").stat().st_ino == before
    assert names(tmp_path) == ["latest", "step-00000005"]


def test_same_step_with_other_content_replaces_the_published_one(tmp_path: Path) -> None:
    save(tmp_path, 5, "old")
    save(tmp_path, 5, "new")
    assert (found(tmp_path).path / "model.bin").read_text() == "new"
    assert names(tmp_path) == ["latest", "step-00000005"]


def test_torn_step_is_replaced_when_training_comes_by_again(tmp_path: Path) -> None:
    save(tmp_path, 5)
    (tmp_path / "step-00000005" / "model.bin").write_text("torn")
    save(tmp_path, 5)
    assert (found(tmp_path).path / "model.bin").read_text() == "weights"


# --- what readers refuse
# ---------------------------------------------------------------------------------


def damage_truncated(folder: Path) -> None:
    (folder / "model.bin").write_text("weight")


def damage_flipped(folder: Path) -> None:
    (folder / "model.bin").write_text("weighty"[::-1])


def damage_missing(folder: Path) -> None:
    (folder / "model.bin").unlink()


def damage_added(folder: Path) -> None:
    (folder / "extra.bin").write_text("x")


def damage_no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def damage_manifest_cut(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text[:-20])


def damage_manifest_edited(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"world_size": 1', '"world_size": 2'))


def damage_manifest_other_json(folder: Path) -> None:
    (folder / "manifest.json").write_text("[1]")


def damage_renamed(folder: Path) -> None:
    os.replace(folder, folder.with_name("step-00000077"))


def damage_linked(folder: Path) -> None:
    os.replace(folder / "model.bin", folder.parent / "moved")
    (folder / "model.bin").symlink_to(folder.parent / "moved")


@pytest.mark.parametrize(
    "damage", [value for name, value in sorted(globals().items()) if name[:7] == "damage_"]
)
def test_damaged_newest_is_refused_with_a_reason_and_the_previous_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: object
) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    assert callable(damage)
    damage(tmp_path / "step-00000002")
    assert found(tmp_path).step == 1
    assert re.search(r"checkpoint refused: .*step-000000(02|77)", capsys.readouterr().err)


def test_temporary_and_deleted_directories_are_no_candidates(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    os.replace(tmp_path / "step-00000002", tmp_path / ".tmp-step-00000002-0000000000000000000000aa")
    save(tmp_path, 3)
    os.replace(tmp_path / "step-00000003", tmp_path / ".trash-step-00000003-abcdef01")
    assert found(tmp_path).step == 1


def test_root_that_is_a_file_is_an_error_and_not_a_fresh_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError):
        newest_valid(tmp_path / "file")


# --- retention
# -------------------------------------------------------------------------------------------


def test_prune_keeps_the_last_ones_and_every_nth(tmp_path: Path) -> None:
    for step in range(1, 11):
        save(tmp_path, step)
    deleted = prune(tmp_path, keep_last=2, keep_every=4)
    assert sorted(path.name[-2:] for path in deleted) == ["01", "02", "03", "05", "06", "07"]
    assert names(tmp_path) == [
        "latest",
        "step-00000004",
        "step-00000008",
        "step-00000009",
        "step-00000010",
    ]


def test_prune_leaves_what_is_being_evaluated(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4, 5):
        save(tmp_path, step)
    for step, until in ((1, time.time() + 60), (2, time.time() - 60)):
        hold(tmp_path / f"step-{step:08d}", "evaluation", until=until)
    (tmp_path / ".leases" / "step-00000003@x.json").write_text("{")
    assert [path.name for path in prune(tmp_path, keep_last=1)] == [
        "step-00000004",
        "step-00000002",
    ]


def test_a_save_sweeps_our_trash_and_not_what_retention_may_give_back(tmp_path: Path) -> None:
    for name in (".trash-step-1-x", ".trash-retention-x"):
        (tmp_path / name).mkdir()
    save(tmp_path, 1)
    assert names(tmp_path) == [".trash-retention-x", "latest", "step-00000001"]


def test_prune_never_deletes_the_newest_valid_one(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        save(tmp_path, step)
    for step in (2, 3, 4):
        damage_flipped(tmp_path / f"step-0000000{step}")
    prune(tmp_path, keep_last=1)
    assert names(tmp_path) == ["latest", "step-00000001", "step-00000004"]
    damage_flipped(tmp_path / "step-00000001")
    assert prune(tmp_path, keep_last=1) == []


def test_prune_refuses_to_keep_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        prune(tmp_path, keep_last=0)


# --- one file, any image
# ---------------------------------------------------------------------------------


def test_the_file_compiles_for_python_3_8_and_imports_the_standard_library_only() -> None:
    tree = ast.parse(SOURCE.read_text(), feature_version=(3, 8))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    imported |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names


def command_line(*arguments: object) -> tuple[int, str, str]:
    command = [sys.executable, str(SOURCE), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_command_line_prints_the_newest_valid_one(tmp_path: Path) -> None:
    assert command_line("latest", tmp_path) == (1, "", "")
    save(tmp_path, 1)
    assert command_line("latest", tmp_path) == (0, f"{tmp_path}/step-00000001\n", "")


@pytest.mark.slow
def test_command_line_tells_invalid_from_unreadable_from_misuse(tmp_path: Path) -> None:
    save(tmp_path, 1)
    assert command_line("check", tmp_path / "step-00000001")[0] == 0
    damage_truncated(tmp_path / "step-00000001")
    code, _, error = command_line("check", tmp_path / "step-00000001")
    assert code == 1
    assert "model.bin" in error
    (tmp_path / "file").write_text("x")
    assert command_line("latest", tmp_path / "file")[0] == 2
    assert command_line("newest")[0] == 2


def test_invalid_checkpoint_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointVerificationError, match=r"no manifest\.json, so it was never published"
    ):
        verify(tmp_path)
