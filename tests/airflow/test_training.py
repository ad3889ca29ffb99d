"""The training operator, deferred and blocking: one workload, whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.definitions.callback import AsyncCallback

from airflow_runai.backends import control_plane, organization
from airflow_runai.emulator import Emulator, Scenario, serve
from airflow_runai.emulator.records import EmulatedWorkload
from airflow_runai.operators.training import RunaiTrainingOperator
from tests.airflow import heard
from tests.airflow.conftest import ONCE_INTERRUPTED, SECRET, fast
from tests.airflow.running import Person, Run, dag_of, meanwhile
from tests.support.waiting import wait_until

Runner = Callable[..., Run]
SPEC = {"image": "python:3.12", "compute": {"gpu_devices": 1}}
both = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "blocking"])


def training(slug: str = "short", **given: Any) -> Callable[[], RunaiTrainingOperator]:
    return lambda: RunaiTrainingOperator(
        **{"task_id": "task", "spec": SPEC, "workload_name": slug, **given}
    )


def creates(emulator: Emulator) -> int:
    return sum(
        r.method == "POST" and r.path.endswith(("/trainings", "/distributed"))
        for r in emulator.requests
    )


def the_one(emulator: Emulator, slug: str = "") -> EmulatedWorkload:
    found = emulator.workloads_named(slug)
    assert len(found) == 1, [w.name for w in found]
    return found[0]


def once_running(emulator: Emulator, call: Callable[[Any], Any]) -> None:
    person = Person(emulator)
    person.wait_for("long", "Running")
    person.steer(call, "long")


@pytest.mark.slow
@both
def test_success_leaves_a_small_result(run: Runner, emulator: Emulator, deferrable: bool) -> None:
    done = run(dag_of(training(deferrable=deferrable)))
    assert done.state == "success"
    result = done.xcom()
    assert result["name"].startswith("short-")
    assert result["project"] == "team-a"
    assert result["phase"] == "Completed"
    assert result["submitted_at"] <= result["started_at"] <= result["ended_at"]
    assert result["interruptions"] == 0
    assert result["clocks"]["running"] > 0.2
    assert creates(emulator) == 1
    used, clocks = result["usage"], result["clocks"]
    assert used["gpus"] == 1
    assert used["waiting"] + used["allocated"] == pytest.approx(clocks["total"], abs=0.01)
    assert used["starting"] + used["useful"] == pytest.approx(used["allocated"], abs=0.01)
    assert used["lost"] == 0
    assert used["idle_share"] < 0.01, "the emulator's GPUs are busy; the edges are milliseconds"
    assert done.xcom("runai_timeline")["usage"] == used


@pytest.mark.slow
def test_a_submission_asks_for_no_more_than_it_needs(
    run: Runner, emulator: Emulator, connect: Callable[..., None]
) -> None:
    where = Person(emulator).do(organization.find_project("team-a"))
    submits = training(wait_for_completion=False)
    submission = ["POST /api/v2/token", "GET /api/v1/workloads", "POST /api/v1/workloads/trainings"]
    look_up = ["GET /api/v1/org-unit/projects"]

    def sent() -> list[str]:
        before = len(emulator.requests)
        assert run(dag_of(submits)).state == "success"
        return [f"{r.method} {r.path}" for r in list(emulator.requests)[before:]]

    assert sent() == [*submission[:1], *look_up, *submission[1:]]
    connect(emulator.url, project_id=int(where.id), cluster_id=where.cluster_id)
    assert sent() == submission


@pytest.mark.slow
@both
def test_reclaimed_by_another_project_it_goes_on_without_a_retry(
    run: Runner, shared: Path, connect: Callable[..., None], deferrable: bool
) -> None:
    scenarios = {"greedy": ONCE_INTERRUPTED, "rightful": Scenario(run_seconds=0.4)}
    spec = {**SPEC, "compute": {"gpu_devices": 2}}
    few = {"nodes": 1, "projects": ("team-a:1", "team-b:1")}
    with serve(fast(shared, scenarios=scenarios, **few)) as emulator:
        connect(emulator.url)

        def reclaim() -> None:
            person = Person(emulator)
            person.wait_for("greedy", "Running")
            person.submit("team-b", "rightful")

        with meanwhile(reclaim):
            done = run(dag_of(training("greedy", spec=spec, deferrable=deferrable, retries=2)))
        assert done.state == "success"
        assert done.xcom()["interruptions"] == done.xcom()["preemptions"] == 1
        assert done.xcom()["clocks"]["interrupted_total"] > 0.1
        assert done.task().try_number == 1
        assert creates(emulator) == 2, "ours once, theirs once"


@pytest.mark.slow
@both
def test_people_are_told_of_a_preemption_whatever_they_do(
    run: Runner,
    shared: Path,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    deferrable: bool,
) -> None:
    monkeypatch.setenv("AIRFLOW__RUNAI__DIGEST_SECONDS", "0.5")
    heard.CALLS.clear()
    scenarios = {
        "greedy": replace(ONCE_INTERRUPTED, run_seconds=2.0),
        "rightful": Scenario(run_seconds=0.4),
    }
    spec = {**SPEC, "compute": {"gpu_devices": 2}}
    few = {"nodes": 1, "projects": ("team-a:1", "team-b:1")}
    callbacks = {
        "on_interruption": [heard.broken, AsyncCallback(heard.anote, {"to": "{{ run_id }}"})],
        "on_resume": heard.Pager("{{ dag.dag_id }}: {% raw %}{{ sentence }}{% endraw %}"),
    }
    with serve(fast(shared, scenarios=scenarios, **few)) as emulator:
        connect(emulator.url)

        def reclaim() -> None:
            person = Person(emulator)
            person.wait_for("greedy", "Running")
            person.submit("team-b", "rightful")

        with meanwhile(reclaim):
            done = run(dag_of(training("greedy", spec=spec, deferrable=deferrable, **callbacks)))
    assert done.state == "success"
    told = {name: (kwargs, context) for name, kwargs, context in heard.CALLS}
    assert [*sorted(told)] == ["Pager", "anote", "broken"]
    name = done.xcom()["name"]
    assert told["anote"][0] == {"to": done.run_id}
    assert told["anote"][1]["sentence"].startswith(f"{name} was preempted; it is ")
    assert told["anote"][1]["link"] == done.xcom("runai_workload")["url"]
    # How it is by then depends on how busy the machine is.
    assert told["Pager"][0]["text"].startswith(f"dag: {name} ran again; it is ")
    who = {key: told["broken"][1][key] for key in ("dag_id", "task_id", "run_id", "map_index")}
    assert who == {"dag_id": "dag", "task_id": "task", "run_id": done.run_id, "map_index": -1}


@pytest.mark.slow
@both
def test_a_template_that_cannot_be_rendered_costs_no_workload(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    pager = heard.Pager("{{ dag_run.conf['nobody'] }}")
    done = run(dag_of(training(on_stall=pager, deferrable=deferrable)))
    assert done.state == "failed"
    assert "nobody" in done.words
    assert creates(emulator) == 0


@pytest.mark.slow
@both
def test_a_callback_that_becomes_an_object_never_costs_a_workload(
    run: Runner, emulator: Emulator, capfd: pytest.CaptureFixture[str], deferrable: bool
) -> None:
    values = iter([object(), "plain", object()])
    native: dict[str, Any] = {
        "render_template_as_native_obj": True,
        "user_defined_macros": {"value": lambda: next(values)},
    }
    given: dict[str, Any] = {"on_stall": heard.Pager("{{ value() }}"), "deferrable": deferrable}
    refused = run(dag_of(training(**given), **native))
    assert "its argument 'text' is of type object" in refused.words
    assert (refused.state, creates(emulator)) == ("failed", 0)
    done = run(dag_of(training(**given), **native))
    assert (done.state, creates(emulator)) == ("success", 1)
    assert "nobody will be told what happens to the workload (on_stall" in capfd.readouterr().out


@pytest.mark.slow
@both
def test_timeline_and_link_are_left_for_the_ui(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    done = run(dag_of(training(deferrable=deferrable)))
    phases = [moment["phase"] for moment in done.xcom("runai_timeline")["timeline"]]
    assert phases[0] in ("Creating", "Pending")
    assert phases[-2:] == ["Running", "Completed"]
    name = the_one(emulator).name
    assert done.xcom("runai_workload")["url"] == f"{emulator.url}/workloads?search={name}"
    assert done.xcom("_link_RunaiWorkloadLink") == f"{emulator.url}/workloads?search={name}"


@pytest.mark.slow
@both
def test_failure_says_what_is_known_and_spends_its_retry_on_a_new_generation(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    failing = {**SPEC, "command": "sh -c 'exit 7'", "backoff_limit": 0}
    done = run(dag_of(training("failing", spec=failing, deferrable=deferrable, retries=1)))
    assert done.state == "failed"
    assert "the command failed, each time that it was started" in done.words
    first, second = emulator.workloads_named("failing")
    assert first.name.endswith("-g1")
    assert second.name == first.name[:-1] + "2"


@pytest.mark.slow
@both
def test_retry_after_failure_can_succeed(
    run: Runner, emulator: Emulator, shared: Path, deferrable: bool
) -> None:
    script = "sh -c 'test -e /shared/again && exit 0; touch /shared/again; exit 3'"
    spec = {
        **SPEC,
        "command": script,
        "backoff_limit": 0,
        "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
    }
    done = run(dag_of(training("second", spec=spec, deferrable=deferrable, retries=2)))
    assert done.state == "success"
    assert done.task().try_number == 2
    assert done.xcom()["name"].endswith("-g2")
    assert len(emulator.workloads_named("second")) == 2


@pytest.mark.slow
@both
def test_distributed_training_is_submitted_as_such(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    spec = {**SPEC, "distributed": {"framework": "PyTorch", "workers": 2}}
    done = run(dag_of(training("short-gang", spec=spec, deferrable=deferrable)))
    assert done.state == "success"
    found = the_one(emulator, "short-gang")
    assert (found.kind, len(found.gpu_demand)) == ("distributed", 3)
    assert [
        r
        for r in emulator.requests
        if (r.method, r.path) == ("POST", "/api/v1/workloads/distributed")
    ]


@pytest.mark.slow
def test_templates_in_the_specification_are_rendered(run: Runner, emulator: Emulator) -> None:
    spec = {
        "image": "python:{{ params.python }}",
        "compute": {"gpu_devices": "{{ params.gpus }}"},
        "environment": {"RUN": "{{ run_id }}"},
    }
    done = run(dag_of(training(spec=spec, workload_name="short-{{ params.who }}"), params=PARAMS))
    assert done.state == "success"
    found = the_one(emulator, "short-me-")
    assert found.spec["image"] == "python:3.12"
    assert found.spec["compute"]["gpuDevicesRequest"] == 2
    assert {"name": "RUN", "value": done.run_id} in found.spec["environmentVariables"]


PARAMS = {"python": "3.12", "gpus": 2, "who": "me"}

ENDS = {"stop": "Deleting", "suspend": "Stopped", "keep": "Running"}


@pytest.mark.slow
@both
@pytest.mark.parametrize("action", ENDS)
def test_a_limit_ends_the_task_and_then_the_workload_as_asked(
    run: Runner, emulator: Emulator, deferrable: bool, action: str
) -> None:
    done = run(
        dag_of(training("long", timeouts={"total": 0.5}, on_kill=action, deferrable=deferrable))
    )
    assert done.state == "failed"
    assert "timed_out" in done.words
    assert "its timeout is" in done.words
    found = the_one(emulator)
    if action == "stop":
        wait_until(lambda: found.deleted_at)
    elif action == "suspend":
        wait_until(lambda: found.phase == "Stopped")
    else:
        assert found.desired == "Running"
        assert "left alone" in done.words


@pytest.mark.slow
@pytest.mark.parametrize(("action", "tries"), [("stop", 2), ("suspend", 1), ("keep", 1)])
def test_a_limit_is_retried_only_if_its_workload_is_gone(
    run: Runner, emulator: Emulator, action: str, tries: int
) -> None:
    done = run(dag_of(training("long", timeouts={"total": 0.5}, on_kill=action, retries=1)))
    assert done.state == "failed"
    assert done.task().try_number == tries
    assert creates(emulator) == tries


@pytest.mark.slow
@both
def test_queueing_too_long_is_a_limit_of_its_own(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    spec = {**SPEC, "compute": {"gpu_devices": 9}}
    done = run(dag_of(training("long", spec=spec, timeouts={"queue": 0.3}, deferrable=deferrable)))
    assert "the queue clock reached" in done.words
    wait_until(lambda: the_one(emulator).deleted_at)


@pytest.mark.slow
@both
def test_suspended_by_a_person_it_waits_until_resumed(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    def pause() -> None:
        person = Person(emulator)
        person.wait_for("patient", "Running")
        person.steer(control_plane.suspend, "patient")
        person.wait_for("patient", "Stopped")
        person.steer(control_plane.resume, "patient")

    with meanwhile(pause):
        done = run(dag_of(training("patient", deferrable=deferrable)))
    assert done.state == "success"
    assert done.xcom()["interruptions"] == 1
    assert done.xcom()["preemptions"] == 0


@pytest.mark.slow
@both
def test_suspended_by_a_person_it_ends_where_the_author_says_so(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    with meanwhile(lambda: once_running(emulator, control_plane.suspend)):
        done = run(dag_of(training("long", when_suspended="end", deferrable=deferrable, retries=2)))
    assert done.state == "failed"
    assert "suspended by someone else" in done.words
    assert done.task().try_number == 1, "a retry would undo what a person did"
    assert wait_until(lambda: the_one(emulator).phase == "Stopped")


@pytest.mark.slow
@both
def test_deleted_by_a_person_it_is_gone(run: Runner, emulator: Emulator, deferrable: bool) -> None:
    with meanwhile(lambda: once_running(emulator, control_plane.delete)):
        done = run(dag_of(training("long", deferrable=deferrable)))
    assert done.state == "failed"
    assert "gone" in done.words
    assert "deleted by someone else" in done.words


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "deferrable"),
    [("lose_reply", True), ("lose_reply", False), ("reset", True), ("html", False)],
)
def test_a_create_without_an_answer_leads_to_one_workload(
    run: Runner, emulator: Emulator, fault: str, deferrable: bool
) -> None:
    emulator.faults.add(fault, method="POST", path="/api/v1/workloads/trainings")
    done = run(dag_of(training(deferrable=deferrable)))
    assert done.state == "success"
    the_one(emulator)


@pytest.mark.slow
@both
def test_bursts_of_errors_before_and_in_the_middle_are_survived(
    run: Runner, emulator: Emulator, deferrable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.faults.add("status", status=503, path="/api/v1/org-unit/projects")
    emulator.faults.add("status", status=503, path="/api/v1/workloads", method="GET")
    looks = {"method": "GET", "path": "/api/v1/workloads/*", "after": 1}
    emulator.faults.add("status", status=503, times=3, **looks)
    emulator.faults.add("html", times=2, **looks)
    done = run(dag_of(training(deferrable=deferrable)))
    assert done.state == "success", done.words
    assert emulator.faults.planned() == []
    assert done.task().try_number == 1
    assert creates(emulator) == 1
    said = [one.message for one in caplog.records if "; trying again until " in one.message]
    assert [one.partition(";")[0] for one in said] == [
        "GET /api/v1/org-unit/projects: 503 planned fault",
        "GET /api/v1/workloads: 503 planned fault",
    ]


@pytest.mark.slow
@both
def test_a_token_that_expires_in_the_middle_is_renewed(
    run: Runner, shared: Path, connect: Callable[..., None], deferrable: bool
) -> None:
    scenarios = {"slow": Scenario(run_seconds=2.5)}
    with serve(fast(shared, scenarios=scenarios, token_seconds=1)) as emulator:
        connect(emulator.url)

        def only_the_first_expires() -> None:
            wait_until(lambda: emulator.plane.tokens.issued)
            emulator.plane.tokens.seconds = 3600.0

        with meanwhile(only_the_first_expires):
            done = run(dag_of(training("slow", deferrable=deferrable)))
        assert done.state == "success"
        tokens = [r for r in emulator.requests if r.path.endswith("/token") and r.status == 200]
        assert len(tokens) >= 2


DAY = datetime(2026, 3, 1, tzinfo=timezone.utc)


@pytest.mark.slow
@both
def test_a_run_that_is_deleted_and_made_again_trains_again(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    """The same run id with everything Airflow knew of it lost: what an earlier life of it trained is not its own."""
    names = []
    for _ in range(2):
        done = run(dag_of(training(deferrable=deferrable), dag_id="noteless"), at=DAY)
        assert done.state == "success"
        names.append(done.xcom()["name"])
    assert [name.rpartition("-")[2] for name in names] == ["g1", "g2"]
    assert creates(emulator) == 2


@pytest.mark.slow
@both
def test_what_lives_and_is_not_of_this_run_is_never_taken_nor_tried_again(
    run: Runner, emulator: Emulator, deferrable: bool
) -> None:
    limited = training("long", timeouts={"total": 0.4}, on_kill="keep", deferrable=deferrable)
    run(dag_of(limited, dag_id="foreign"), at=DAY)
    other = run(
        dag_of(training("long", deferrable=deferrable, retries=2), dag_id="foreign"), at=DAY
    )
    assert other.state == "failed"
    assert other.task().try_number == 1
    assert "no try of this run has submitted it" in other.words
    assert "the same name, as after copying a database" in other.words
    the_one(emulator)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown project": ({"project": "team-x"}, "'team-x': no such project"),
    "image missing": ({"spec": {"command": "x"}}, "spec.image: missing"),
    "portion": (
        {"spec": {"image": "x", "compute": {"gpu_portion": "1.5"}}},
        "spec.compute.gpu_portion",
    ),
    "two devices": (
        {"spec": {"image": "x", "compute": {"gpu_portion": "0.5", "gpu_devices": "2"}}},
        "together with gpu_devices=2",
    ),
    "list": ({"spec": {"image": "x", "command": ["a", "b"]}}, "spec.command"),
    "no mapping": ({"spec": "{{ run_id }}"}, "spec"),
    "timeouts": ({"timeouts": {"queue": "{{ 'soon' }}"}}, "queue"),
    "rendered name": ({"workload_name": "{{ 'No_Label' }}"}, "cannot become a DNS label"),
    "no project": ({"project": "{{ ' ' }}"}, "project"),
}


@pytest.mark.slow
@pytest.mark.parametrize("wrong", BAD)
def test_bad_input_is_refused_before_anything_is_submitted(
    run: Runner, emulator: Emulator, wrong: str
) -> None:
    given, words = BAD[wrong]
    done = run(dag_of(training(**{"retries": 2, **given})))
    assert done.state == "failed"
    assert words in done.words
    assert done.task().try_number == 1
    assert emulator.workloads_named("") == []


def test_a_slip_in_the_configuration_leaves_no_workload_behind(
    run: Runner, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__RUNAI__MIN_DEFER_SECONDS", "soon")
    done = run(dag_of(training("long", retries=2)))
    assert "[runai] min_defer_seconds: 'soon'" in done.words
    assert done.task().try_number == 1
    assert emulator.workloads_named("") == []


EARLY: dict[str, tuple[dict[str, Any], list[str]]] = {
    "keys": (
        {"spec": {"imgae": "x", "compute": {"gpus": 1}}},
        ["imgae", "image", "spec.compute.gpus"],
    ),
    "name": ({"workload_name": "Not_a_label"}, ["cannot become a DNS label"]),
    "words": (
        {"on_kill": "kill", "on_clear": "again", "when_suspended": "cry"},
        ["on_kill: 'kill'", "on_clear: 'again'", "when_suspended: 'cry'", "stop, suspend, keep"],
    ),
    "clock": ({"timeouts": {"queu": 5}}, ["timeouts.queu", "queue"]),
    "negative": ({"timeouts": {"queue": -5}}, ["timeouts.queue: -5"]),
    "timeouts": ({"timeouts": 5}, ["timeouts: 5"]),
    "duration": (
        {"timeouts": {"total": timedelta(days=1)}},
        ["timeouts.total: datetime.timedelta", "seconds"],
    ),
    "pace": ({"poll_interval": "often"}, ["poll_interval: 'often'", "seconds"]),
    "interval": ({"poll_interval": 0}, ["poll_interval: 0"]),
}


@pytest.mark.parametrize("wrong", EARLY)
def test_what_can_be_known_when_the_dag_is_parsed_is_refused_there(wrong: str) -> None:
    given, words = EARLY[wrong]
    with pytest.raises(ValueError, match="problem") as refusal:
        training(**given)()
    assert [word for word in words if word not in str(refusal.value)] == []


@pytest.mark.slow
@both
def test_no_secret_and_no_token_in_logs_xcoms_and_rendered_fields(
    run: Runner,
    emulator: Emulator,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    deferrable: bool,
) -> None:
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.utils.session import create_session
    from sqlalchemy import select

    caplog.set_level("DEBUG", "airflow_runai")
    emulator.faults.add("status", status=500, path="/api/v1/workloads/*", method="GET")
    done = run(dag_of(training(deferrable=deferrable)))
    assert done.state == "success"
    with create_session() as session:
        rendered = str(session.scalars(select(RenderedTaskInstanceFields.rendered_fields)).all())
    seen = capfd.readouterr()
    everything = seen.out + seen.err + caplog.text + rendered
    everything += "".join(
        str(done.xcom(key)) for key in ("return_value", "runai_timeline", "runai_workload")
    )
    assert "short-" in everything, "the logs are really captured"
    assert SECRET not in everything
    assert "Bearer" not in everything
    assert "eyJhbG" not in everything, "the beginning of any token"
