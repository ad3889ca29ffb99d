"""A study of the real Optuna: the same run asks once and tells once, whatever was cut off before."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest

from airflow_runai.core.sweep.space import read_space
from airflow_runai.errors import InvalidArgument, RunaiError, Unreachable
from airflow_runai.operators.study import RunaiAskStudyOperator
from airflow_runai.tasks.study import Asked, ask, open_study, tell
from airflow_runai.tasks.study_storage import study_storage
from tests.airflow.running import Run

Runner = Callable[..., Run]
Open = Callable[..., AbstractContextManager[optuna.Study]]
SPACE = read_space(
    {
        "rate": {"log_uniform": [0.001, 1]},
        "kind": ["a", "b"],
        "depth": {"integer": [1, 9], "when": {"kind": "b"}},
    }
)


def opener(where: str) -> Open:
    """Return what opens a study as a task does, each time anew."""

    @contextmanager
    def open_it(metric: str = "accuracy", mode: str = "max") -> Iterator[optuna.Study]:
        with study_storage(where, None) as storage:
            yield open_study(storage, "digits", metric, mode)

    return open_it


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    return opener(str(tmp_path / "digits.journal"))


def asked(opened: Open, run: str, count: int = 4, space: Any = SPACE, seed: int = 1) -> list[Asked]:
    with opened() as study:
        return ask(study, space, count, run, seed)


def states(opened: Open) -> list[str]:
    with opened() as study:
        return [trial.state.name for trial in study.trials]


def test_the_same_run_is_given_the_same_trials_and_another_one_others(opened: Open) -> None:
    first = asked(opened, "monday")
    assert [one.number for one in first] == [0, 1, 2, 3]
    assert asked(opened, "monday") == first
    assert [one.number for one in asked(opened, "tuesday")] == [4, 5, 6, 7]
    assert all(("depth" in one.parameters) == (one.parameters["kind"] == "b") for one in first)


@pytest.mark.slow
def test_a_database_by_its_connection_does_the_same(
    database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "sqlite", "host": str(tmp_path / "studies.db")}
    monkeypatch.setenv("AIRFLOW_CONN_STUDIES", json.dumps(connection))
    opened = opener("studies")
    first = asked(opened, "monday")
    assert asked(opened, "monday") == first
    with opened() as study:
        assert tell(study, "monday", {0: 0.5, 1: None}) == [0, 1]
        assert tell(study, "monday", {0: 0.9, 2: 0.7}) == [2]
    assert states(opened) == ["COMPLETE", "FAIL", "COMPLETE", "RUNNING"]
    assert [one.number for one in asked(opened, "tuesday")] == [4, 5, 6, 7]


def test_a_try_that_was_cut_off_is_finished_with_other_points(opened: Open) -> None:
    first = asked(opened, "monday", count=2)
    with opened() as study:
        study.ask().set_user_attr("airflow_run", "monday")  # and the worker dies
    whole = asked(opened, "monday", count=4)
    assert whole[:2] == first
    assert [one.number for one in whole] == [0, 1, 3, 4]
    assert len({str(one.parameters) for one in whole}) == 4
    assert states(opened) == ["RUNNING", "RUNNING", "FAIL", "RUNNING", "RUNNING"]


def test_of_two_trials_of_one_number_the_first_counts(opened: Open) -> None:
    first = asked(opened, "monday", count=1)
    with opened() as study:
        again = study.ask()
        for name, mark in {"airflow_run": "monday", "airflow_map_index": 0}.items():
            again.set_user_attr(name, mark)
        again.suggest_float("rate", 0.001, 1, log=True)
        again.suggest_categorical("kind", ["a", "b"])
    assert asked(opened, "monday", count=1) == first
    assert states(opened) == ["RUNNING", "FAIL"]


def test_the_same_seed_and_study_lead_to_the_same_points(tmp_path: Path) -> None:
    def points(name: str, seed: int) -> list[Any]:
        with study_storage(str(tmp_path / name), None) as storage:
            study = open_study(storage, "digits", "accuracy", "max")
            return [one.parameters for one in ask(study, SPACE, 4, name, seed)]

    first = points("one", 1)
    assert points("two", 1) == first
    assert [point for point in points("three", 2) if point in first] == []


def test_a_result_is_told_once(opened: Open) -> None:
    asked(opened, "monday")
    with opened() as study:
        assert tell(study, "monday", {0: 0.5, 1: None, 2: math.inf}) == [0, 1, 2]
        assert tell(study, "monday", {0: 0.9, 1: 0.9, 2: 0.9, 3: 0.7}) == [3]
    assert states(opened) == ["COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    with opened() as study:
        assert (study.best_value, study.trials[0].value) == (0.7, 0.5)


def test_trials_of_another_run_are_not_told(opened: Open) -> None:
    asked(opened, "monday", count=1)
    with opened() as study, pytest.raises(InvalidArgument, match="has no trial 0 of this run"):
        tell(study, "tuesday", {0: 0.5})
    assert states(opened) == ["RUNNING"]


@pytest.mark.slow
def test_what_nights_before_have_found_is_used(opened: Open) -> None:
    """Nobody who draws at random tries nothing but the one rate in a hundred that is good."""
    space = read_space({"rate": {"uniform": [0, 1]}})

    def night(run: str) -> list[float]:
        trials = asked(opened, run, count=12, space=space)
        rates = {one.number: float(one.parameters["rate"]) for one in trials}
        with opened() as study:
            tell(study, run, {number: -((rate - 0.3) ** 2) for number, rate in rates.items()})
        return [abs(rate - 0.3) for rate in rates.values()]

    nights = [sorted(night(f"night {number}"))[6] for number in range(4)]
    assert nights[-1] < nights[0] / 2


def test_a_study_of_something_else_is_refused(opened: Open) -> None:
    with opened():
        pass
    for goal in (("loss", "min"), ("accuracy", "min"), ("recall", "max")):
        with pytest.raises(InvalidArgument) as slip, opened(*goal):
            pass
        assert "study: 'digits' is there to maximize 'accuracy', not to" in str(slip.value)


def test_a_choice_that_has_changed_is_one_sentence_and_leaves_nothing_open(opened: Open) -> None:
    asked(opened, "monday", count=1)
    other = read_space({"rate": {"log_uniform": [0.001, 1]}, "kind": ["a", "c"]})
    with pytest.raises(InvalidArgument, match=r"^space\.kind: the study knows it otherwise \("):
        asked(opened, "tuesday", space=other)
    assert states(opened) == ["RUNNING", "FAIL"]


def test_a_range_that_has_changed_is_asked_anew(opened: Open) -> None:
    asked(opened, "monday", count=2)
    wider = read_space({"rate": {"log_uniform": [2, 9]}, "kind": ["a", "b"]})
    again = asked(opened, "monday", count=2, space=wider)
    assert [one.number for one in again] == [2, 3]
    assert all(2 <= one.parameters["rate"] <= 9 for one in again)
    assert states(opened) == ["FAIL", "FAIL", "RUNNING", "RUNNING"]


@pytest.mark.parametrize(
    ("study", "words"),
    [
        ("/bucket/digits.journal", "is in object storage; allowed: a file that all workers can"),
        ("postgresql://user:s3cr3t@host/db", "study: an address; allowed: the path of a journal"),
        ("nobody", "study: 'nobody' is not a connection that Airflow can read"),
        ("web", "study: 'web' is a connection of type 'http'; allowed: postgres, mysql, sqlite"),
    ],
)
def test_what_holds_no_study_is_refused(
    database: None, monkeypatch: pytest.MonkeyPatch, study: str, words: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WEB", "http://example.com")
    with pytest.raises(InvalidArgument) as slip, study_storage(study, {"/bucket": "s3://bucket"}):
        pass
    assert words in str(slip.value)
    assert "s3cr3t" not in str(slip.value)


def test_a_slip_in_an_operator_is_known_when_it_is_made() -> None:
    where: dict[str, Any] = {"study": "/shared/digits.journal", "study_name": "digits"}
    with pytest.raises(InvalidArgument) as slip:
        RunaiAskStudyOperator(
            task_id="ask", metric="accuracy", space={"x": [1]}, count=0, seed=-1, **where
        )
    assert len(slip.value.problems) == 2
    assert "count: 0; allowed: a whole number from 1" in str(slip.value)


def test_a_link_below_the_mount_is_not_written_through(tmp_path: Path) -> None:
    for name, target in {"digits.journal": "dag.py", "studies": "elsewhere"}.items():
        (tmp_path / name).symlink_to(tmp_path / target)
    for path in ("/shared/digits.journal", "/shared/studies/digits.journal"):
        with (
            pytest.raises(InvalidArgument, match="is a link, which may lead anywhere; remove it"),
            study_storage(path, {"/shared": str(tmp_path)}),
        ):
            pass
    assert not (tmp_path / "dag.py").exists()


def test_a_journal_that_is_none_or_has_no_folder_can_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("no journal\n{}\n")
    for name in ("broken", "missing/digits.journal"):
        with (
            pytest.raises(Unreachable, match=r"^study: .*: cannot be used now: "),
            study_storage(str(tmp_path / name), None) as storage,
        ):
            open_study(storage, "digits", "accuracy", "max")


def test_a_password_is_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    where = {"host": "127.0.0.1", "port": 1, "login": "x", "password": "s3cr3t", "schema": "y"}
    monkeypatch.setenv("AIRFLOW_CONN_STUDIES", json.dumps({"conn_type": "postgres", **where}))
    with pytest.raises(Unreachable) as failure, study_storage("studies", None):
        pass
    assert "s3cr3t" not in str(failure.value)
    assert "Connection refused" in str(failure.value)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"sslmode": "whatever"}, 'invalid sslmode value: "whatever"'),
        ({"ssl": {"no": {"option": 1}}}, 'invalid connection option "ssl_no_option"'),
        ({"connect_timeout": 5, "keepalives": False}, 'invalid integer value "false"'),
        ({"options": ["-c", "x"]}, "study: 'studies': Extra, options: no text or number"),
    ],
)
def test_extra_of_a_connection_reaches_the_driver(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], words: str
) -> None:
    where = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_STUDIES", json.dumps(where))
    with pytest.raises(RunaiError) as failure, study_storage("studies", None):
        pass
    assert words in str(failure.value)


def test_optuna_that_is_missing_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with (
        pytest.raises(InvalidArgument, match=r"install 'airflow-provider-runai\[optuna\]' on the"),
        study_storage(str(tmp_path / "digits.journal"), None),
    ):
        pass
