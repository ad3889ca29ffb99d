"""What a site and a task say beside the training: where it waits, whether it waits, what it leaves."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.configuration import conf

from airflow_runai.deployment import configuration
from airflow_runai.emulator import Emulator
from airflow_runai.errors import SpecError
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.operators.orphans import RunaiReapOrphansOperator
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.sensors.checkpoint import RunaiCheckpointSensor
from airflow_runai.sensors.workload import RunaiWorkloadSensor
from tests.airflow.running import Person, Run, clear, dag_of, event_of

Runner = Callable[..., Run]
SPEC = {"image": "python:3.12", "compute": {"gpu_devices": 1}}
SITE = "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE"
both = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "blocking"])


def training(slug: str = "short", **given: Any) -> Callable[[], RunaiTrainingOperator]:
    return lambda: RunaiTrainingOperator(
        **{"task_id": "task", "spec": SPEC, "workload_name": slug, **given}
    )


@pytest.fixture
def site_file(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Let Airflow read one more configuration file."""

    def write(lines: str) -> None:
        path = tmp_path / "airflow.cfg"
        path.write_text(f"[operators]\n{lines}\n")
        conf.read(str(path))

    yield write
    conf.remove_section("operators")


@pytest.fixture
def deferred(caplog: pytest.LogCaptureFixture) -> Callable[[Run], bool]:
    """Tell whether a run has had a trigger, by what `dag.test()` logs."""
    caplog.set_level("INFO")

    def look(done: Run) -> bool:
        assert done.state == "success", done.words
        return "running trigger in line" in caplog.text

    return look


# -- deferrable


@pytest.mark.slow
def test_a_task_defers_where_the_site_says_nothing(
    run: Runner, emulator: Emulator, deferred: Callable[[Run], bool]
) -> None:
    assert conf.getboolean("operators", "default_deferrable") is False, "what Airflow ships"
    assert deferred(run(dag_of(training())))


@pytest.mark.slow
def test_false_in_the_environment_blocks(
    run: Runner,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    deferred: Callable[[Run], bool],
) -> None:
    monkeypatch.setenv(SITE, "false")
    assert not deferred(run(dag_of(training())))


@pytest.mark.slow
def test_false_in_the_file_blocks(
    run: Runner,
    emulator: Emulator,
    site_file: Callable[[str], None],
    deferred: Callable[[Run], bool],
) -> None:
    site_file("default_deferrable = False")
    assert not deferred(run(dag_of(training())))


def test_the_defaults_in_a_file_that_airflow_has_generated_are_not_the_sites_word(
    tmp_path: Path, site_file: Callable[[str], None]
) -> None:
    """At its first start Airflow writes a file of all its defaults, `false` among them."""
    from airflow.configuration import conf as whole

    generated = tmp_path / "generated.cfg"
    with generated.open("w") as file:
        whole.write(file, only_defaults=True, show_values=True)
    parser = ConfigParser(interpolation=None)
    parser.read(generated)
    lines = [f"{name} = {value}" for name, value in parser["operators"].items()]
    assert "default_deferrable = false" in lines
    site_file("\n".join(lines))
    assert configuration.deferrable(None)
    site_file("default_deferrable = False")  # a person's word, in the same file
    assert not configuration.deferrable(None)


@pytest.mark.slow
def test_sensors_ask_the_site_too(
    run: Runner,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    deferred: Callable[[Run], bool],
) -> None:
    monkeypatch.setenv(SITE, "false")
    Person(emulator).submit("team-a", "short-theirs")
    workload: dict[str, Any] = {"task_id": "task", "workload": "short-theirs", "poke_interval": 0.1}
    assert not deferred(run(dag_of(lambda: RunaiWorkloadSensor(**workload))))
    monkeypatch.setenv(SITE, "sometimes")
    checkpoint: dict[str, Any] = {"task_id": "task", "root": "/nowhere", "timeout": 0.1}
    done = run(dag_of(lambda: RunaiCheckpointSensor(**checkpoint), dag_id="sensors"))
    assert "[operators] default_deferrable: 'sometimes'; allowed: true or false" in done.words


def test_the_task_wins_over_the_site_and_the_environment_over_the_file(
    monkeypatch: pytest.MonkeyPatch, site_file: Callable[[str], None]
) -> None:
    site_file("default_deferrable = False")
    assert configuration.deferrable(True)
    monkeypatch.setenv(SITE, "true")
    assert configuration.deferrable(None)
    assert not configuration.deferrable(False)


def test_a_wrong_word_of_the_site_is_named_before_anything_is_submitted(
    run: Runner, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Airflow's own classes read the option when they are imported, which the serialization does.
    for name in ("operators.trigger_dagrun", "sensors.external_task"):
        importlib.import_module(f"airflow.providers.standard.{name}")
    monkeypatch.setenv(SITE, "perhaps")
    done = run(dag_of(training(retries=1)))
    assert done.task().try_number == 1
    assert "[operators] default_deferrable: 'perhaps'; allowed: true or false" in done.words
    assert emulator.workloads_named("") == []


def test_no_command_is_run_and_no_secret_looked_up(
    monkeypatch: pytest.MonkeyPatch, site_file: Callable[[str], None], tmp_path: Path
) -> None:
    """Airflow takes these for sensitive options only, and this is none: it would not run them either."""
    command = f"touch {tmp_path / 'was run'}"
    monkeypatch.setenv(f"{SITE}_CMD", command)
    monkeypatch.setenv(f"{SITE}_SECRET", "no/such/path")
    site_file(f"default_deferrable_cmd = {command}")
    training()()
    assert configuration.deferrable(None)
    assert conf.getboolean("operators", "default_deferrable") is False, "Airflow ignores them"
    assert not (tmp_path / "was run").exists()


# -- wait_for_completion


@pytest.mark.slow
@both
def test_without_waiting_the_task_succeeds_while_its_workload_goes_on(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    done = run(dag_of(training("long", wait_for_completion=False, deferrable=deferrable)))
    assert done.state == "success", done.words
    (made,) = emulator.workloads_named("long")
    result = done.xcom()
    assert list(result) == ["workload_id", "name", "project", "phase", "submitted_at"]
    assert (result["name"], result["project"]) == (made.name, "team-a")
    assert result["submitted_at"] > 0
    assert done.xcom("runai_workload")["id"] == result["workload_id"]
    Person(emulator).wait_for("long", "Running")


@pytest.mark.slow
def test_a_workload_that_nobody_was_to_wait_for_is_no_orphan(
    run: Runner, emulator: Emulator
) -> None:
    assert run(dag_of(training("long", wait_for_completion=False))).state == "success"
    reaper: dict[str, Any] = {"task_id": "task", "older_than": 0, "dry_run": True}
    assert run(dag_of(lambda: RunaiReapOrphansOperator(**reaper), dag_id="reaping")).xcom() == []


@pytest.mark.slow
def test_without_waiting_a_clear_adopts_what_is_there(run: Runner, emulator: Emulator) -> None:
    done = run(dag_of(training("long", wait_for_completion=False, on_clear="reattach")))
    first = done.xcom()
    clear(done)
    assert done.xcom()["workload_id"] == first["workload_id"]
    assert len(emulator.workloads_named("long")) == 1


def test_what_needs_a_wait_is_refused_without_one() -> None:
    with pytest.raises(SpecError, match="timeouts: set, with wait_for_completion=False"):
        training(wait_for_completion=False, timeouts={"total": 5})()
    with pytest.raises(SpecError, match=r"wait_for_completion: False; .* an evaluation judges"):
        RunaiEvaluationOperator(
            task_id="evaluate",
            spec=SPEC,
            checkpoint="/shared/c",
            metrics="/shared/m.json",
            wait_for_completion=False,
        )


# -- do_xcom_push


@pytest.mark.slow
@both
def test_a_task_that_pushes_no_xcom_leaves_none(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    done = run(dag_of(training(do_xcom_push=False, deferrable=deferrable)))
    assert done.state == "success", done.words
    keys = ("return_value", "runai_workload", "runai_timeline")
    assert [done.xcom(key) for key in keys] == [None, None, None]


@pytest.mark.slow
def test_a_checkpoint_sensor_needs_the_xcom_of_its_training(
    run: Runner, emulator: Emulator
) -> None:
    given: dict[str, Any] = {
        "task_id": "sensor",
        "root": "/nowhere",
        "workload": {"task_id": "task"},
    }
    done = run(dag_of(training(do_xcom_push=False), lambda: RunaiCheckpointSensor(**given)))
    assert "workload: task 'task' has do_xcom_push=False" in done.words


def test_a_task_is_durable_whatever_its_author_wishes() -> None:
    assert training(durable=True)().durable
    with pytest.raises(SpecError, match=r"durable: False; allowed: True, .*on_clear='restart'"):
        training(durable=False)()


def test_the_event_of_an_asset_says_what_came_of_a_training(
    run: Runner, emulator: Emulator
) -> None:
    done = run(dag_of(training(outlets=[Asset("trained")])))
    assert done.state == "success", done.words
    names = {key: done.xcom()[key] for key in ("workload_id", "name", "project")}
    assert event_of("trained") == names
