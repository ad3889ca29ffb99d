"""Settings and the command line: what they refuse and how they say it."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.emulator import EmulatorSettings, SteppedClock, serve
from airflow_runai.emulator.__main__ import main
from airflow_runai.emulator.settings import ProjectQuota


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--host", "0.0.0.0"], "not a loopback address"),
        (["--host", "example.org"], "not a loopback address"),
        (["--port", "70000"], "port: 70000 is not in 0..65535"),
        (["--project", "team-a"], "'team-a' is not NAME:GPUS"),
        (["--project", "team-a:two"], "'team-a:two' is not NAME:GPUS"),
        (["--project", "team-a:-1"], "'team-a:-1' is not NAME:GPUS"),
        (["--project", "team-a:2,limit=some"], "'team-a:2,limit=some' is not NAME:GPUS"),
        (["--project", "team-a:2,weight=-1"], "'team-a:2,weight=-1' is not NAME:GPUS"),
        (["--project", "team-a:2,colour=3"], "'team-a:2,colour=3' is not NAME:GPUS"),
        (["--project", "team-a:" + "9" * 400], "is not NAME:GPUS"),
        (["--project", "a@other:1"], "names cluster 'other'"),
        (["--project", "a:1", "--project", "a:2"], "names a project twice"),
        (["--nodes", "0"], "nodes: 0 is too small"),
        (["--grace", "-1"], "grace: -1.0 is too small"),
        (["--seed-token-life", "0"], "token_seconds: 0.0 is not greater than 0"),
        (["--volume", "/nfs"], "--volume: '/nfs' is not NAME=DIR"),
        (["--control-plane-version", "1.0"], "'1.0' is not known; use one of 2.18"),
    ],
)
def test_wrong_arguments_are_named(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(arguments) == 2
    assert complaint in capsys.readouterr().err


def test_taken_port_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


def test_state_that_is_a_file_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--port", "0", "--state", str(tmp_path / "file")]) == 2
    assert "file" in capsys.readouterr().err


def test_help_tells_what_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "their command and args are run" in text
    assert "--volume" in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"duplicate_name_status": 500},
        {"clusters": ()},
        {"clusters": ("a", "a")},
        {"processes": True, "clock": SteppedClock()},
        {"tick_seconds": 0},
        {"gpus_per_node": -1},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EmulatorSettings(**wrong)


def test_projects_have_a_quota_and_may_have_a_limit_and_a_weight() -> None:
    settings = EmulatorSettings(
        clusters=("a", "b"),
        projects=("one:2", "two@b:0.5,limit=4", "three:1,limit=2,weight=0", "four:0,weight=3"),
    )
    assert settings.project_quotas == (
        ProjectQuota("one", 2, "a", None, 1),
        ProjectQuota("two", 0.5, "b", 4, 1),
        ProjectQuota("three", 1, "a", 2, 0),
        ProjectQuota("four", 0, "a", None, 3),
    )


def test_other_interface_needs_a_secret_of_its_own() -> None:
    assert EmulatorSettings(host="0.0.0.0", client_secret="mine").secret == "mine"


def test_start_takes_less_than_half_a_second_of_work() -> None:
    with serve():
        pass  # imports what it needs: how long that takes depends on who imported it before
    began = time.process_time()
    with serve() as emulator, socket.create_connection(("127.0.0.1", emulator.port)):
        assert time.process_time() - began < 0.5
