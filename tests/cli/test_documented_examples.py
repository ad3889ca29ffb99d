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
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("called_airflow")
PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
REAP = "airflow runai reap"
NAME = f"{base_name(TaskIdentity('airflow', 'nightly', 'run1', 'train'), 'train1')}-g1"


def every_example() -> list[tuple[str, ...]]:
    blocks = re.findall(r"^```console\n\$ (.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [tuple(block.split("\n", 1)) for block in blocks]


EXAMPLES = [example for example in every_example() if not example[0].startswith(REAP)]
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


@pytest.mark.slow
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
        says = "sh -c 'echo step 180, loss 0.4127; echo saved step-00000180; sleep 60'"
        name = submit(emulator, "train1", command=says)
        Person(emulator).wait_for(name, "Running")
        wait_until(lambda: "saved" in emulator.log(name), "the training to save")
        set_state("failed" if "--orphans" in line else "deferred")
    assert same(printed(airflow, emulator, line)) == same(output)
    assert "not-for-you" not in output


@pytest.mark.usefixtures("minutes", "database")
def test_reaping_prints_what_the_page_says(airflow: Airflow, emulator: Emulator) -> None:
    (example,) = [pair for pair in every_example() if pair[0].startswith(REAP)]
    name = submit(emulator, "train1", command="sleep 60")
    Person(emulator).wait_for(name, "Running")
    set_state("failed")
    (orphan,) = emulator.workloads_named(name)
    with emulator.plane.lock:
        orphan.created_at -= 7200  # as old as the example asks for
    assert same(printed(airflow, emulator, example[0])) == same(example[1])


def test_name_on_the_page_is_the_one_that_a_run_would_have() -> None:
    assert NAME in PAGE
