"""What people and machines hand to the reader that is no checkpoint at all, or stops being one while it is read."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_runai.checkpoints import (
    Policy,
    RootProblem,
    Verdict,
    candidates,
    check,
    select,
)
from tests.checkpoints.finding_codes import codes
from tests.checkpoints.samples import publish, safetensors_file, torch_file, write

MIB = 1024 * 1024
ROOT = Path(__file__).parents[2]


# -- names and places
# --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["nothing", "nothing/step-1", "file/step-1", "x" * 300, "a\0b"])
def test_a_path_that_leads_nowhere_gets_a_report_or_a_problem_with_a_name(
    tmp_path: Path, path: str
) -> None:
    (tmp_path / "file").touch()
    report = check(tmp_path / path)
    assert report.verdict in (Verdict.INVALID, Verdict.UNKNOWN)
    with pytest.raises(RootProblem) as problem:
        candidates(tmp_path / path)
    assert problem.value.code in ("root-missing", "root-unreadable")


def test_links_in_a_circle_end_a_walk_over_a_root(tmp_path: Path) -> None:
    (tmp_path / "step-9.pt").symlink_to("step-8.pt")
    (tmp_path / "step-8.pt").symlink_to("step-9.pt")
    write(tmp_path / "step-7.pt", torch_file())
    selection = select(tmp_path)
    assert [codes(report) for report in selection.rejected] == [["link-loop"], ["link-loop"]]
    assert selection.chosen is not None
    (tmp_path / "root").symlink_to("root")
    with pytest.raises(RootProblem, match="cannot be read"):
        candidates(tmp_path / "root")


def test_a_directory_that_leads_back_to_its_parent_is_not_walked(tmp_path: Path) -> None:
    folder = publish(tmp_path, 1)
    (folder / "up").symlink_to("..")
    assert codes(check(folder)) == ["link"]


def test_fifos_and_devices_under_a_root_do_not_stop_the_walk(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "step-9.pt")
    (tmp_path / "step-8.pt").symlink_to("/dev/zero")
    write(tmp_path / "step-7.pt", torch_file())
    selection = select(tmp_path)
    assert [codes(report) for report in selection.rejected] == [["special-file"], ["special-file"]]
    assert selection.chosen is not None


class Replaced(type(Path())):  # type: ignore[misc]  # the concrete Path differs by system
    """A file that becomes a fifo between the look at it and its opening."""

    def stat(self, *, follow_symlinks: bool = True) -> Any:
        return os.stat(__file__)


def test_what_has_become_a_fifo_since_it_was_listed_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.pt")
    report = check(Replaced(tmp_path / "x.pt"))
    assert (report.verdict, codes(report)) == (Verdict.UNKNOWN, ["unreadable"])


def test_names_in_no_encoding_are_read_like_any_other(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"step-7-\xff\xfe")
    folder.mkdir()
    odd = folder / os.fsdecode(b"\xe9\x80.pt")
    odd.write_bytes(torch_file())
    (folder / os.fsdecode(b"\x80.txt")).write_bytes(b"x")
    selection = select(tmp_path)
    assert selection.chosen is not None
    assert (selection.chosen.verdict, selection.chosen.step) == (Verdict.VALID, 7)
    odd.write_bytes(torch_file()[:-1])
    command: list[str | Path] = [sys.executable, "-m", "airflow_runai.checkpoints", "check", folder]
    done = subprocess.run(
        command, capture_output=True, cwd=ROOT, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert os.fsencode(json.loads(done.stdout)["path"]) == os.fsencode(folder)


# -- too much
# ----------------------------------------------------------------------------------------------------------
class Endless:
    """A directory with a million entries, which counts how many anybody has taken."""

    name = "runs"

    def __init__(self, mode: int = 0o100600) -> None:
        self.taken = 0
        self.mode = mode

    def __str__(self) -> str:
        return "s3://bucket/runs"

    def stat(self) -> Any:
        return SimpleNamespace(st_mode=0o040700, st_size=0, st_mtime=1.0)

    def iterdir(self) -> Iterator[Any]:
        for number in range(1_000_000):
            self.taken += 1
            stat = partial(SimpleNamespace, st_mode=self.mode, st_size=1)
            yield SimpleNamespace(name=f"step-{number}", stat=stat, iterdir=lambda: iter(()))

    def open(self, mode: str) -> Any:
        raise IsADirectoryError(self.name)


@pytest.mark.parametrize("mode", [0o100600, 0o040700])
def test_a_million_entries_are_not_listed_and_it_is_said(mode: int) -> None:
    endless = Endless(mode)
    with pytest.raises(
        RootProblem, match="more than 10000 entries; at most 10000 are listed"
    ) as problem:
        candidates(endless)
    assert (problem.value.code, endless.taken) == ("root-too-large", 10_001)
    report = check(endless)
    assert (report.verdict, codes(report)) == (Verdict.UNKNOWN, ["too-many-entries"])
    assert endless.taken <= 20_003


@pytest.mark.slow
def test_ten_thousand_candidates_are_ordered_in_seconds(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"step-{number}.pt").touch()
    begin = time.process_time()
    found = candidates(tmp_path)
    assert [candidate.step for candidate in found[:3]] == [9999, 9998, 9997]
    assert time.process_time() - begin < 3


def test_a_tree_that_is_too_deep_is_unknown(tmp_path: Path) -> None:
    folder = tmp_path / "step-1" / "/".join("d" * 40)
    folder.mkdir(parents=True)
    write(folder / "x.pt", torch_file())
    assert codes(check(tmp_path / "step-1")) == ["too-many-entries"]


# -- changes under the reader's hands
# ----------------------------------------------------------------------------------
def plain(size: int = 4 * MIB) -> bytes:
    return safetensors_file(
        {"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}, b"\1" * size
    )


def cut(path: Path) -> None:
    os.truncate(path, MIB)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\2")
    os.utime(path, (1, 1))


def publish_another(path: Path) -> None:
    write(path.with_name("new"), plain(5 * MIB)).replace(path)


@pytest.mark.parametrize("change", [Path.unlink, cut, grow, overwrite, publish_another])
@pytest.mark.parametrize("single", [True, False])
def test_a_file_that_changes_while_it_is_read_is_in_progress(
    tmp_path: Path, change: Callable[[Path], None], single: bool
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    path = write(folder / "x.safetensors", plain())
    changed = False

    def now(read: int) -> None:
        nonlocal changed
        if read > 2 * MIB and not changed:
            changed = True
            change(path)

    report = check(path if single else folder, progress=now)
    assert changed
    assert (report.verdict, set(codes(report)) - {"safetensors-no-checksum"}) == (
        Verdict.IN_PROGRESS,
        {"changing"},
    )


def test_a_file_that_fails_in_the_middle_is_unknown() -> None:
    """A disk with a bad sector, or an NFS server that was stopped."""

    class Failing:
        name = "x.safetensors"
        data = plain()

        def stat(self) -> Any:
            return SimpleNamespace(st_mode=0o100600, st_size=len(self.data), st_mtime=1.0)

        def iterdir(self) -> Iterator[Any]:
            raise NotADirectoryError(self.name)

        def open(self, mode: str) -> Any:
            self.at = 0
            return self

        def seek(self, offset: int) -> None:
            self.at = offset

        def read(self, size: int) -> bytes:
            if self.at > 2 * MIB:
                raise OSError(errno.EIO, "Input/output error")
            self.at += size
            return self.data[self.at - size : self.at]

        def close(self) -> None:
            pass

    report = check(Failing())
    assert (report.verdict, codes(report)[-1]) == (Verdict.UNKNOWN, "unreadable")


# -- arguments
# ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("limit", [0, -1, 2.5, True, "many", None])
def test_a_policy_that_lists_nothing_is_refused(limit: Any) -> None:
    with pytest.raises(ValueError, match=r"policy\.entry_limit: .* must be an integer"):
        Policy(entry_limit=limit)


@pytest.mark.parametrize("level", [-1, 4, "3", None, True, 2.0])
def test_a_level_that_is_none_is_refused(tmp_path: Path, level: Any) -> None:
    with pytest.raises(ValueError, match=r"level: .* is not one of 0"):
        check(tmp_path, level=level)
