"""The sensor for room, deferred and poking: it says figures, takes nothing, and answers no riddles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_runai.backends import control_plane
from airflow_runai.emulator import Emulator
from airflow_runai.errors import InvalidArgument
from airflow_runai.sensors.quota import RunaiQuotaSensor
from tests.airflow.running import Person, Run, dag_of, meanwhile
from tests.support.waiting import wait_until

Runner = Callable[..., Run]
both = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "poking"])


def sensor(**given: Any) -> Callable[[], RunaiQuotaSensor]:
    known = {"task_id": "task", "poke_interval": 0.1, **given}
    return lambda: RunaiQuotaSensor(**known)


def looks(emulator: Emulator) -> int:
    return sum(seen.path == "/api/v1/nodes/telemetry" for seen in emulator.requests)


@both
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"gpus": 2, "when": "quota"},
        {"gpus": 4, "when": "idle", "node_pool": "{{ 'default' }}"},
        {"share": 1.0, "when": "idle"},
    ],
    ids=str,
)
def test_room_that_is_there_is_found_at_once_with_figures(
    run: Runner, emulator: Emulator, deferrable: bool, asked: Any
) -> None:
    done = run(dag_of(sensor(deferrable=deferrable, **asked)))
    assert done.state == "success", done.words
    figures = {"quota": 2.0, "limit": None, "held": 0.0, "queued": 0.0, "free": 4.0, "total": 4.0}
    assert done.xcom() == figures
    assert emulator.workloads_named("") == []


@pytest.mark.slow
@both
@pytest.mark.parametrize(
    ("asked", "theirs"),
    [
        ({"gpus": 2, "when": "quota"}, ("team-a", 1)),
        pytest.param({"share": 0.5, "when": "quota"}, ("team-a", 2), marks=pytest.mark.qualify),
        pytest.param({"gpus": 3, "when": "idle"}, ("team-b", 2), marks=pytest.mark.qualify),
        ({"share": 0.75, "when": "idle"}, ("team-b", 2)),
    ],
    ids=str,
)
def test_it_waits_until_there_is_room(
    run: Runner, emulator: Emulator, deferrable: bool, asked: Any, theirs: tuple[str, int]
) -> None:
    person = Person(emulator)
    person.submit(theirs[0], "long-theirs", gpus=theirs[1])
    person.wait_for("long-theirs", "Running")

    def leave() -> None:
        wait_until(lambda: looks(emulator) >= 6)
        person.steer(control_plane.delete, "long-theirs")

    with meanwhile(leave):
        done = run(dag_of(sensor(deferrable=deferrable, **asked)))
    assert done.state == "success", done.words
    assert done.xcom()["free"] == 4.0


@pytest.mark.slow
@both
@pytest.mark.parametrize(("soft", "state"), [(False, "failed"), (True, "skipped")])
def test_timeout_is_its_own(
    run: Runner, emulator: Emulator, deferrable: bool, soft: bool, state: str
) -> None:
    person = Person(emulator)
    person.submit("team-b", "long-theirs", gpus=2)
    person.wait_for("long-theirs", "Running")
    given = {"gpus": 3, "when": "idle", "timeout": 0.5, "soft_fail": soft}
    done = run(dag_of(sensor(deferrable=deferrable, **given)))
    assert done.task().state == state
    if deferrable and not soft:
        assert "no room for 3 GPUs (idle) within 0 s" in done.words


@both
def test_what_can_never_be_is_refused_at_once(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    done = run(dag_of(sensor(gpus=3, deferrable=deferrable, retries=2)))
    assert "asks for 3 GPUs; the project's quota is 2" in done.words
    assert done.task().try_number == 1


@both
def test_figure_that_the_server_does_not_tell_is_no_answer(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    emulator.faults.add("status", status=403, times=1000, path="/api/v1/nodes/telemetry*")
    done = run(dag_of(sensor(when="idle", deferrable=deferrable)))
    assert "the free GPUs cannot be read here" in done.words


@pytest.mark.slow
@both
def test_what_a_later_look_finds_ends_the_wait_too(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    Person(emulator).submit("team-b", "long-theirs", gpus=2)

    def forbid() -> None:
        wait_until(lambda: looks(emulator) >= 4)
        emulator.faults.add("status", status=403, times=1000, path="/api/v1/nodes/telemetry*")

    with meanwhile(forbid):
        done = run(dag_of(sensor(gpus=3, when="idle", deferrable=deferrable)))
    assert "the free GPUs cannot be read here" in done.words


@both
def test_unknown_node_pool_names_those_there_are(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    done = run(dag_of(sensor(node_pool="h100", deferrable=deferrable, retries=2)))
    assert "node_pool 'h100': project 'team-a' has no such node pool; it has: default" in done.words
    assert done.task().try_number == 1


@pytest.mark.slow
@both
def test_outage_says_nothing_about_the_room(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    person = Person(emulator)
    person.submit("team-b", "long-theirs", gpus=2)
    person.wait_for("long-theirs", "Running")

    def trouble() -> None:
        wait_until(lambda: looks(emulator) >= 4)
        emulator.faults.add("status", status=503, times=3, path="/api/v1/nodes/telemetry*")
        person.steer(control_plane.delete, "long-theirs")

    with meanwhile(trouble):
        done = run(dag_of(sensor(gpus=3, when="idle", deferrable=deferrable)))
    assert done.state == "success", done.words


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"when": "now"}, "when: 'now'; allowed: 'quota' or 'idle'"),
        ({"gpus": 1, "share": 0.5}, "gpus and share: both given; leave one of them out"),
        ({"gpus": 0}, "gpus: 0; allowed: a number greater than 0"),
        ({"gpus": True}, "gpus: True; allowed: a number greater than 0"),
        ({"gpus": float("nan")}, "gpus: nan; allowed: a number greater than 0"),
        ({"share": 1.5}, "share: 1.5; allowed: a number greater than 0, at most 1"),
    ],
)
def test_slips_are_found_when_the_dag_is_parsed(given: Any, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        sensor(**given)()
