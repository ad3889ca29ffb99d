"""The command line: what it prints, what it writes, with which code it ends, and that it leaves nothing running."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest

from airflow_runai.drill import command
from airflow_runai.drill.__main__ import main
from airflow_runai.drill.plan import duration
from airflow_runai.drill.whole_drill import fitting
from tests.support.signals import ignoring
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
SAVES = """#!{python}
import os, pathlib, sys, time
{more}
sys.path[0:0] = [{root!r}]
from airflow_runai.training.preemptible import PreemptionGuard, newest_valid, save_checkpoint
root, steps = pathlib.Path(os.environ["CHECKPOINTS"]), int(sys.argv[1])
with PreemptionGuard() as guard:
    found = newest_valid(root)
    step = found.step if found else 0
    while step < steps:
        time.sleep(0.02)
        step += 1
        if step == steps or step % 10 == 0 or guard.should_stop:
            with save_checkpoint(root, step) as folder:
                (folder / "state").write_text(str(step))
        if guard.should_stop:
            guard.exit()
"""


def script(folder: Path, text: str = SAVES, more: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "startup.sh"
    path.write_text(text.format(python=sys.executable, root=str(ROOT), more=more))
    path.chmod(0o755)
    return path


def drill(*words: str | Path) -> int:
    return main([str(word) for word in words])


QUICK = ("--preempt-after", "300ms", "--times", "1", "--grace", "10s")


def test_options_stand_before_and_behind_the_script() -> None:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    words = [
        "--times",
        "5",
        "a.sh",
        "--grace",
        "2m",
        "--env",
        "A=1",
        "--env",
        "B=x=y",
        "--",
        "--times",
        "--",
        "9",
    ]
    found = command._complete(parser.parse_args(words))
    assert (found.script, found.times, found.grace) == (Path("a.sh"), 5, 120)
    assert found.arguments == ["--times", "--", "9"]
    assert found.env == [("A", "1"), ("B", "x=y")]


def test_arguments_may_follow_the_script_at_once() -> None:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    found = command._complete(parser.parse_args(["a.sh", "--", "--epochs", "3"]))
    assert (found.script, found.arguments, found.times) == (Path("a.sh"), ["--epochs", "3"], 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no script: give the path of the start-up script"),
        (["--", "x"], "no script: give the path"),
        (["nowhere.sh"], "script nowhere.sh: does not exist"),
        (["nowhere.sh", "--times", "0"], "--times: 0 is not in 1..100"),
        (
            ["nowhere.sh", "epochs=3"],
            "'epochs=3' is not an option of the drill; arguments of the script go behind --",
        ),
        (
            ["nowhere.sh", "--grace", "20"],
            "'20' is not a duration; allowed: a number above 0 with ms, s, m or h",
        ),
        (["--grace", "20x", "nowhere.sh"], "'20x' is not a duration"),
        (["nowhere.sh", "--env", "A"], "'A' is not NAME=VALUE"),
    ],
)
def test_misuse_ends_with_2_and_a_sentence(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = drill(*words)
    except SystemExit as end:  # argparse's own way
        code = int(str(end.code))
    assert code == 2
    assert message in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert drill(script(tmp_path / "project"), "--report", tmp_path / "file") == 2
    assert "give a directory that can be written" in capsys.readouterr().err


def test_a_script_that_fails_at_once_is_shown_with_its_last_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = script(tmp_path / "project", "#!/bin/sh\necho cannot find the data >&2\nexit 3\n")
    assert drill(path, "--report", tmp_path / "report") == 2
    errors = capsys.readouterr().err
    assert "ended with exit code 3 by itself" in errors
    assert errors.endswith("cannot find the data\n")
    assert (tmp_path / "report/logs/reference/1.log").read_text() == "cannot find the data\n"


def test_a_script_that_ends_before_the_first_preemption_is_refused_with_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drill(script(tmp_path / "project", "#!/bin/sh\nexit 0\n"), *QUICK) == 2
    errors = capsys.readouterr().err
    assert "--preempt-after: 0.3 s is too late, the training ends by itself after" in errors
    assert re.search(r"use a shorter one \(1 preemption fit with \d+ms\)", errors)


@pytest.mark.parametrize(
    ("seconds", "proposed"), [(0.6, "120ms"), (50, "10s"), (9000, "1800s"), (0.0, "1ms")]
)
def test_a_proposed_time_is_a_duration_that_leaves_room_for_all_preemptions(
    seconds: float, proposed: str
) -> None:
    assert fitting(seconds, 3) == proposed
    assert duration(proposed) * 3 <= max(seconds, 0.003)


@pytest.mark.slow
def test_a_script_that_handles_no_sigterm_is_preempted_in_time_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = "#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8 9 10; do echo $i >> $CHECKPOINTS/progress.txt; sleep 0.1; done\n"
    assert drill(script(tmp_path / "project", loop), *QUICK) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "reached its end after 1 preemption, in 2 starts" in shown
    assert "no process of it handles SIGTERM" in shown
    assert (
        "it saved progress.txt, which is not a checkpoint that can be read here; save with save_checkpoint"
        in shown
    )


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["schema", "script", "verdict", "plan", "checks", "preemptions", "cost", "runs"],
    "additionalProperties": False,
    "properties": {
        "schema": {"const": "runai-drill/1"},
        "script": {"type": "string"},
        "verdict": {"enum": ["pass", "fail", "unknown"]},
        "plan": {"type": "object"},
        "checks": {
            "type": "array",
            "items": {
                "required": ["name", "question", "verdict", "reason", "advice", "page"],
                "properties": {"verdict": {"enum": ["pass", "fail", "unknown"]}},
            },
        },
        "preemptions": {
            "type": "array",
            "items": {
                "required": [
                    "start",
                    "lost_seconds",
                    "lost_steps",
                    "stop_seconds",
                    "start_seconds",
                    "killed",
                ]
            },
        },
        "cost": {"required": ["overhead_seconds", "seconds_per_day", "share_of_day"]},
        "runs": {
            "type": "array",
            "items": {"required": ["kind", "ended", "blind", "starts", "checkpoints"]},
        },
    },
}


@pytest.mark.slow
def test_report_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = script(tmp_path / "project", more="print('hello', os.environ['SECRET'], flush=True)")
    before = sorted(tmp_path.joinpath("project").rglob("*"))
    code = drill(
        path,
        *QUICK,
        "--env",
        "SECRET=geheim",
        "--json",
        "--report",
        tmp_path / "report",
        "--",
        "60",
    )
    printed = capsys.readouterr()
    assert code == 0, printed.out + printed.err
    found = json.loads(printed.out)
    jsonschema.validate(found, SCHEMA)
    assert found == json.loads((tmp_path / "report/drill.json").read_text())
    text = (tmp_path / "report/report.txt").read_text()
    assert text.startswith("Will startup.sh survive? yes\n\npass  finished  ")
    assert max(map(len, text.splitlines())) <= 120
    ElementTree.fromstring((tmp_path / "report/drill.svg").read_text())
    assert (
        "geheim"
        not in printed.out + printed.err + text + (tmp_path / "report/drill.svg").read_text()
    )
    assert (tmp_path / "report/logs/drill/2.log").read_text() == "hello geheim\n"
    assert sorted(tmp_path.joinpath("project").rglob("*")) == before, (
        "the script's folder was not written to"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "more"),
    [
        (["--checkpoints", "out/here"], "os.environ['CHECKPOINTS'] = 'out/here'"),
        (
            ["--checkpoints", "/nfs/out", "--env", "OUT=/nfs/out"],
            "os.environ['CHECKPOINTS'] = os.environ['OUT']",
        ),
    ],
)
def test_checkpoints_are_found_where_the_script_saves(
    options: list[str], more: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = script(tmp_path / "project", more=more)
    # Of an earlier training, to be left alone.
    (path.parent / "out" / "here" / "step-00000050").mkdir(parents=True)
    assert drill(path, *QUICK, *options, "--", "50") == 0
    assert "50 steps, as without preemptions" in capsys.readouterr().out
    assert not Path("/nfs/out").exists(), "an absolute place becomes a temporary one"


@pytest.mark.slow
def test_checkpoints_elsewhere_are_pointed_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = "os.environ['CHECKPOINTS'] = '.'; pathlib.Path('model.pt').write_text('x')"
    assert drill(script(tmp_path / "project", more=more), *QUICK, "--", "50") == 3
    shown = " ".join(capsys.readouterr().out.split())
    assert "it saved elsewhere in its folder: model.pt; name that place with --checkpoints" in shown


@pytest.mark.slow
def test_a_training_that_takes_too_long_is_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drill(script(tmp_path / "project"), *QUICK, "--limit", "1s", "--", "500") == 3
    assert "was stopped after 1 s" in capsys.readouterr().out


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def running_drill(
    folder: Path, *ignored: signal.Signals
) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Run a drill whose script waits, with these signals ignored; its process, and those of the script."""
    note, temporary = folder / "pids", folder / "tmp"
    temporary.mkdir()
    path = script(
        folder / "project",
        '#!/bin/sh\nsleep 300 &\necho $$ $! > "$1.new"; mv "$1.new" "$1"; sleep 300\n',
    )
    drill = [sys.executable, "-m", "airflow_runai.drill", str(path), "--", str(note)]
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        ignoring(ignored, drill), env=environment, stderr=subprocess.PIPE, text=True
    ) as child:
        wait_until(note.exists)
        yield child, [int(pid) for pid in note.read_text().split()]
        assert child.wait() == 130
        assert child.stderr is not None
        assert "interrupted; everything that it started was stopped" in child.stderr.read()
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_drill_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    with running_drill(tmp_path, signal.SIGINT) as (child, pids):
        assert all(map(is_alive, pids))
        child.send_signal(number)
    wait_until(lambda: not any(map(is_alive, pids)))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_under_nohup_a_drill_outlives_its_terminal(tmp_path: Path) -> None:
    with running_drill(tmp_path, signal.SIGHUP) as (child, _):
        found = re.search(
            r"^SigIgn:\s*(\w+)", Path(f"/proc/{child.pid}/status").read_text(), re.MULTILINE
        )
        assert found is not None
        assert int(found[1], 16) & 1 << (signal.SIGHUP - 1)
        child.terminate()
