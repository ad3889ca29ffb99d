"""The examples of ``docs/cli.md``: what is printed there is what is printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from airflow_runai.core.naming import TaskIdentity, base_name
from airflow_runai.emulator import Emulator
from tests.airflow.running import Person
from tests.cli.conftest import Airflow
from tests.cli.test_ps import set_state, submit

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
EXAMPLES = [
    tuple(block.split("\n", 1)) for block in re.findall(r"^```console\n\$ (.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
]
DURATION = re.compile(r"\b\d+(?:s|m\d\ds|h\d\dm|d\d\dh)\b")
BLANKS = re.compile(r" {2,}|-{2,}")


def same(text: str) -> str:
    """Leave out what no two runs have in common: durations, and the widths of columns with them."""
    return BLANKS.sub(" ", DURATION.sub("0s", text)).strip()


def printed(airflow: Airflow, emulator: Emulator, line: str) -> str:
    program, group, *words = shlex.split(line)
    assert (program, group) == ("airflow", "runai")
    shown = airflow(*words)
    assert "Traceback" not in shown.err
    return (shown.out + shown.err).replace(emulator.url, "http://127.0.0.1:8710")


@pytest.mark.parametrize(("line", "output"), EXAMPLES, ids=lambda text: text.split("\n")[0][14:60])
def test_example_prints_what_the_page_says(
    line: str,
    output: str,
    airflow: Airflow,
    emulator: Emulator,
    database: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (source,) = re.findall(r"^```python dag\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "nightly.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    if line.split()[2] in ("ps", "logs"):
        Person(emulator).wait_for(submit(emulator, "train1", command="sleep 60"), "Running")
        set_state("failed" if "--orphans" in line else "deferred")
    assert same(printed(airflow, emulator, line)) == same(output)
    assert "not-for-you" not in output


def test_name_on_the_page_is_the_one_that_a_run_would_have() -> None:
    name = f"{base_name(TaskIdentity('airflow', 'nightly', 'run1', 'train'), 'train1')}-g1"
    assert name in PAGE
