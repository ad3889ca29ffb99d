"""What Airflow knows of the commands, what that costs, and how they end."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable

import pytest

from airflow_runai.cli.exit_codes import command
from airflow_runai.cli.table import COMMANDS, CliCommand
from airflow_runai.emulator import Emulator
from airflow_runai.provider_info import get_provider_info
from tests.cli.conftest import Airflow, executable

IMPORTS = """
import json, sys
import airflow.cli.cli_config
before = set(sys.modules)
from airflow_runai.cli.commands import get_commands
(group,) = get_commands()
print(json.dumps([sorted(set(sys.modules) - before), [command.name for command in group.subcommands]]))
"""


@pytest.mark.slow
def test_registration_imports_next_to_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True
    )
    imported, names = json.loads(done.stdout)
    ours = {"airflow_runai.cli", "airflow_runai.cli.commands", "airflow_runai.cli.table"}
    # The package itself is there already: Airflow has read the provider's description.
    assert set(imported) - set(sys.stdlib_module_names) - {"airflow_runai"} == ours
    assert names == [command.name for command in COMMANDS]


def test_airflow_finds_the_commands_by_the_provider_s_description() -> None:
    from airflow.cli.cli_config import GroupCommand
    from airflow.providers_manager import ProvidersManager

    assert get_provider_info()["cli"] == ["airflow_runai.cli.commands.get_commands"]
    found = [
        command for function in ProvidersManager().cli_command_functions for command in function()
    ]
    (ours,) = [command for command in found if command.name == "runai"]
    assert isinstance(ours, GroupCommand)


@pytest.mark.parametrize(
    "each", [c for c in COMMANDS if not c.has_own_parser], ids=lambda each: each.name
)
def test_every_command_has_a_help_and_refuses_what_it_does_not_know(
    each: CliCommand, airflow: Airflow
) -> None:
    assert airflow(each.name, "--help").code == 0
    assert airflow(each.name, "--no-such-option").code == 2


def test_drill_reads_its_words_itself(airflow: Airflow) -> None:
    shown = airflow("drill", "--help")
    assert (shown.code, "--preempt-after" in shown.out) == (0, True)
    refused = airflow("drill", "no-such-script.sh", "--times", "2", "--", "--epochs", "3")
    assert refused.code == 2
    assert "no-such-script.sh" in refused.err


def test_help_lists_them_all(airflow: Airflow) -> None:
    shown = airflow("--help")
    assert shown.code == 0
    assert [command.name for command in COMMANDS if command.name not in shown.out] == []


def test_ctrl_c_ends_a_command_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def patient(arguments: Namespace) -> int:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as end:
        patient(Namespace())
    assert end.value.code == 130
    assert capsys.readouterr().err == ""


def test_unreachable_server_says_where_to_look(
    airflow: Airflow, connect: Callable[..., None], database: None
) -> None:
    connect("http://127.0.0.1:9")
    shown = airflow("ps")
    assert shown.code == 1
    assert shown.err.endswith("Connection refused; check the connection's host\n")


def test_connection_whose_text_cannot_be_read_is_told_from_one_that_is_missing(
    airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", '{"password": "not-for-you"')
    shown = airflow("ps", "--conn", "broken")
    assert shown.code == 1
    assert (
        "not defined as far as AIRFLOW_CONN_BROKEN can be read (one JSON object or one URI); make it"
        in shown.err
    )
    assert "not-for-you" not in shown.err
    assert "connection 'nowhere': not defined; make it" in airflow("ps", "--conn", "nowhere").err


@pytest.mark.slow
def test_real_executable_asks_a_real_socket_and_prints_nothing_but_json(emulator: Emulator) -> None:
    done = executable("dry-run", "--line", "runai submit train1 -i repo/image:1 -g 1", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert {row["verdict"] for row in json.loads(done.stdout)} == {"ok"}
    assert {request.method for request in emulator.requests} == {"GET", "POST"}


@pytest.mark.slow
def test_real_executable_says_what_is_wrong_without_a_traceback() -> None:
    done = executable("translate", "runai submit train1 --imagee x")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--imagee: unknown flag; did you mean '--image'?" in done.stderr
    assert "Traceback" not in done.stderr
