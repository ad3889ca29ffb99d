from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from airflow_runai.checkpoints import check, select
from airflow_runai.checkpoints.storage.progress import Progress, ProgressSample, bar, sentence
from tests.checkpoints.samples import publish, safetensors_file, write

MIB = 1024 * 1024
ROOT = Path(__file__).parents[2]


class Clock:
    """A clock that moves by one second with every look."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def filled(size: int) -> bytes:
    header = {"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    return safetensors_file(header, b"\1" * size)


def test_a_long_check_tells_bytes_rate_and_what_is_left() -> None:
    moment = ProgressSample("step-00000042", 1024 * MIB, 4096 * MIB, 2.0)
    assert sentence(moment) == "step-00000042: 1024 of 4096 MiB (25 %), 512 MiB/s, 6 s left"
    assert sentence(ProgressSample("x", 3 * MIB, 0, 1.5)) == "x: 3 MiB, 2 MiB/s"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s left"), (59, "59 s left"), (200, "3 min left"), (3900, "1 h 5 min left")],
)
def test_time_is_told_as_people_do(seconds: float, words: str) -> None:
    assert sentence(ProgressSample("x", MIB, round(MIB * (1 + seconds)), 1.0)).endswith(words)


@pytest.mark.parametrize("width", [0, 10, 40, 79, 200])
@pytest.mark.parametrize(("read", "total"), [(0, 0), (0, 10), (5, 10), (12, 10)])
def test_the_bar_keeps_its_width(width: int, read: int, total: int) -> None:
    assert (
        len(bar(ProgressSample("a-rather-long-name-of-a-checkpoint" * 3, read, total, 1.0), width))
        <= width
    )


def test_it_speaks_not_more_often_than_asked(tmp_path: Path) -> None:
    told: list[ProgressSample] = []
    report = check(
        write(tmp_path / "x.safetensors", filled(5 * MIB)),
        progress=Progress(told.append, 4, Clock()),
    )
    assert [moment.seconds for moment in told] == sorted({moment.seconds for moment in told})
    assert all(later.seconds - earlier.seconds >= 4 for earlier, later in pairwise(told))
    assert (told[-1].name, told[-1].total) == ("x.safetensors", report.bytes)
    assert 0.5 < told[-1].share <= 1


def test_every_checkpoint_of_a_selection_begins_anew(tmp_path: Path) -> None:
    told: list[ProgressSample] = []
    for step in (1, 2):
        folder = publish(tmp_path, step, {"model.safetensors": filled(2 * MIB)})
    (folder / "model.safetensors").write_bytes(filled(2 * MIB)[:-1] + b"\2")
    assert select(tmp_path, progress=Progress(told.append, 2, Clock())).chosen is not None
    assert list(dict.fromkeys(moment.name for moment in told)) == ["step-00000002", "step-00000001"]
    assert all(moment.share <= 1 for moment in told)


@pytest.mark.slow
def test_the_command_line_draws_on_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        size = 128 * MIB
        file.write(
            safetensors_file(
                {"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}, b""
            )
        )
        file.truncate(file.tell() + size)
    command = [sys.executable, "-m", "airflow_runai.checkpoints", "check", str(path)]
    assert subprocess.run(command, capture_output=True, cwd=ROOT, check=False).stderr == b""
    ours, theirs = pty.openpty()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, cwd=ROOT, check=False)
    os.close(theirs)
    drawn = os.read(ours, 100_000).decode()
    os.close(ours)
    assert json.loads(done.stdout)["bytes"] > size
    assert "x.safetensors [" in drawn
    assert drawn.endswith("\r\x1b[K")
