"""`airflow runai logs`: the log itself, and what there is instead."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_runai.emulator import Emulator
from tests.airflow.running import Person, meanwhile
from tests.cli.conftest import Airflow
from tests.support.waiting import wait_until

TALKS = "sh -c 'echo key is $API_KEY; seq 150; sleep 99'"
VARIABLES = [{"name": "API_KEY", "value": "0123456789abcdef"}]


def talking(emulator: Emulator, command: str, words: str, **spec: Any) -> None:
    Person(emulator).submit("team-a", "talks", command=command, **spec)
    wait_until(lambda: words in emulator.log("talks"), words)


@pytest.mark.slow
def test_the_log_is_shown_cut_and_masked(airflow: Airflow, emulator: Emulator) -> None:
    talking(emulator, TALKS, "150", environmentVariables=VARIABLES)
    shown = airflow("logs", "talks")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.split() == [str(number) for number in range(51, 151)]
    assert airflow("logs", "talks", "--tail", "2", "--since", "1d").out == "149\n150\n"
    whole = airflow("logs", "talks", "--tail", "-1", "--pod", "talks-0-0", "--container", "talks")
    assert whole.out.startswith("key is ***\n1\n")
    document = json.loads(airflow("logs", "talks", "--tail", "1", "-o", "json").out)
    assert (document["name"], document["logs"], document["error"]) == ("talks", ["150"], None)


@pytest.mark.slow
def test_previous_is_the_incarnation_that_failed(
    airflow: Airflow, emulator: Emulator, tmp_path: Any
) -> None:
    mark = tmp_path / "mark"
    once = f"sh -c 'test -e {mark} && echo again && exec sleep 99; touch {mark}; echo bang; exit 3'"
    talking(emulator, once, "again")
    assert airflow("logs", "talks").out == "again\n"
    assert airflow("logs", "talks", "--previous").out == "bang\n"


@pytest.mark.slow
def test_followed_until_the_workload_has_ended(airflow: Airflow, emulator: Emulator) -> None:
    go = emulator.root / "go"
    waits = f"sh -c 'echo one; until test -e {go}; do sleep 0.05; done; echo two'"
    talking(emulator, waits, "one")

    def let_it_end() -> None:
        path = "/cluster-api/api/v1/team-a/workloads/training/runai/talks/logs/download"
        wait_until(lambda: any(one.path == path for one in emulator.requests), "the first look")
        go.touch()

    with meanwhile(let_it_end):
        shown = airflow("logs", "talks", "-f")
    assert (shown.code, shown.out) == (0, "one\ntwo\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--since", "yesterday"), "--since: 'yesterday'; allowed: a whole number with s, m, h"),
        (("-f", "-o", "json"), "--follow: together with -o"),
    ],
)
def test_what_does_not_fit_is_named(
    airflow: Airflow, emulator: Emulator, words: tuple[str, ...], says: str
) -> None:
    shown = airflow("logs", "talks", *words)
    assert shown.code == 2
    assert says in shown.err
