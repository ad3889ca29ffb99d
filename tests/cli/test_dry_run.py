"""`airflow runai dry-run`: asks everything, creates nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_runai.cli.dry_run import STEPS
from airflow_runai.core.naming import TaskIdentity, base_name, generation_name
from airflow_runai.emulator import Emulator, serve
from tests.airflow.conftest import SECRET, fast
from tests.airflow.running import Person
from tests.cli.conftest import Airflow
from tests.cli.test_ps import submit

pytestmark = pytest.mark.usefixtures("called_airflow")
Dags = Callable[..., Path]
TASK = "RunaiTrainingOperator(task_id='train', workload_name='long', spec={'image': 'x:1', 'compute': {'gpu_devices': 1}})"
RUN = base_name(TaskIdentity("airflow", "example", "run1", "train"), "long")


def checked(airflow: Airflow, *words: str, code: int = 0) -> dict[str, tuple[str, str]]:
    shown = airflow("dry-run", *words, "-o", "json")
    assert shown.code == code, shown.out + shown.err
    assert "Traceback" not in shown.err
    assert SECRET not in shown.out + shown.err
    return {row["check"]: (row["verdict"], row["says"]) for row in json.loads(shown.out)}


def test_task_that_would_run_is_ok_in_every_check(
    airflow: Airflow, dags: Dags, emulator: Emulator
) -> None:
    found = checked(airflow, "example", "train", "-S", str(dags(TASK)))
    assert list(found) == [name for name, _, _ in STEPS]
    assert {verdict for verdict, _ in found.values()} == {"ok"}
    assert found["version"][1].startswith("2.24")
    assert found["quota"][1] == "asks for 1 GPU; quota 2, in use 0"
    assert found["free GPUs"][1] == "4 of 4 free now"
    assert found["name"][1].startswith("long-<hash of the run>-g1")


def test_nothing_but_the_token_is_posted(airflow: Airflow, dags: Dags, emulator: Emulator) -> None:
    submit(emulator, "long", dag_id="example")
    before = len(emulator.requests)
    checked(airflow, "example", "train", "-S", str(dags(TASK)), "--run-id", "run1")
    checked(airflow, "--line", "runai submit other -i x:1 -g 9", code=1)
    sent = emulator.requests[before:]
    assert len(sent) > 10
    assert {request.path for request in sent if request.method != "GET"} == {"/api/v2/token"}
    assert [workload.name for workload in emulator.workloads_named("")] == [generation_name(RUN, 1)]


@pytest.mark.slow
def test_a_line_has_no_runs(airflow: Airflow, emulator: Emulator) -> None:
    line = ("--line", "runai submit a -i x:1")
    assert checked(airflow, *line)["name"][1].endswith("-g1; only a task has runs")
    assert checked(airflow, *line, "--run-id", "r1")["name"][1].endswith(
        "--run-id says nothing without a task"
    )


def test_the_launcher_of_an_mpi_job_counts_no_gpu(airflow: Airflow, emulator: Emulator) -> None:
    found = checked(airflow, "--line", "runai submit-mpi a -i x:1 --processes 2 -g 2 -- mpirun t")
    assert found["quota"][1].startswith("asks for 4 GPUs; quota 2")
    assert found["free GPUs"] == ("ok", "4 of 4 free now")


def test_workload_of_the_same_run_would_be_adopted(
    airflow: Airflow, dags: Dags, emulator: Emulator
) -> None:
    path = str(dags(TASK))
    assert (
        checked(airflow, "example", "train", "-S", path, "--run-id", "run1")["name"][1]
        == f"{RUN}-g1 is free"
    )
    name = submit(emulator, "long", dag_id="example")
    assert name == f"{RUN}-g1"
    found = checked(airflow, "example", "train", "-S", path, "--run-id", "run1")
    assert f"{RUN}-g1 exists (" in found["name"][1]
    assert "adopted" in found["name"][1]
    assert checked(airflow, "example", "train", "-S", path, "--run-id", "run2")["name"][1].endswith(
        "-g1 is free"
    )
    assert f"{RUN}-g1 (" in checked(airflow, "example", "train", "-S", path)["name"][1]


def test_name_that_somebody_else_took_is_a_problem(
    airflow: Airflow, dags: Dags, emulator: Emulator
) -> None:
    person, path = Person(emulator), str(dags(TASK))
    person.submit("team-a", f"{RUN}-g1")
    person.wait_for(RUN, "Running")
    found = checked(airflow, "example", "train", "-S", path, "--run-id", "run1", code=1)
    assert found["name"] == (
        "problem",
        f"{RUN}-g1 exists (Running), but no task made it: the task would refuse it; delete it",
    )


@pytest.mark.slow
def test_run_that_has_ended_would_begin_the_next_generation(
    airflow: Airflow, dags: Dags, emulator: Emulator
) -> None:
    path = str(dags(TASK.replace("'long'", "'short'")))
    name = submit(emulator, "short", dag_id="example")
    Person(emulator).wait_for(name, "Completed")
    found = checked(airflow, "example", "train", "-S", path, "--run-id", "run1")
    assert found["name"][1] == f"{name[:-1]}2 is free; {name} has ended (Completed)"


@pytest.mark.slow
def test_policy_quota_and_cluster_size_are_compared(
    airflow: Airflow, shared: Path, connect: Callable[..., None]
) -> None:
    with serve(fast(shared, policy_max_gpus=3)) as emulator:
        connect(emulator.url)
        Person(emulator).submit("team-a", "long-one", gpus=2)
        Person(emulator).wait_for("long-one", "Running")
        over = checked(airflow, "--line", "runai submit a -i x:1 -g 1")
        assert "over quota" in over["quota"][1]
        assert over["free GPUs"][1] == "2 of 4 free now"
        queued = checked(airflow, "--line", "runai submit a -i x:1 -g 3")
        assert queued["free GPUs"][1] == "2 of 4 free now: it would queue first"
        refused = checked(airflow, "--line", "runai submit a -i x:1 -g 5", code=1)
        assert refused["policy"] == (
            "problem",
            "spec.compute.gpuDevicesRequest: 5; the policy allows at most 3",
        )
        assert refused["free GPUs"] == ("problem", "asks for 5 GPUs; the cluster has 4")
        never = "runai training submit a --image x:1 --gpu-devices-request 3 --preemptibility non-preemptible"
        assert checked(airflow, "--line", never, code=1)["quota"][0] == "problem"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "verdict", "says"),
    [
        ("2.24", "problem", "semi-preemptible: from Run:ai 3.0 on, and this cluster has 2.24"),
        ("3.0", "ok", "trainings, semi-preemptible"),
    ],
)
def test_a_server_may_be_too_old_for_semi_preemptible(
    airflow: Airflow,
    shared: Path,
    connect: Callable[..., None],
    version: str,
    verdict: str,
    says: str,
) -> None:
    line = "runai training submit a --image x:1 --gpu-devices-request 1 --preemptibility semi-preemptible"
    with serve(fast(shared, control_plane_version=version)) as emulator:
        connect(emulator.url)
        found = checked(airflow, "--line", line, code=0 if verdict == "ok" else 1)
        assert found["specification"][0] == verdict
        assert found["specification"][1].endswith(says)
        assert not emulator.workloads_named("")


def test_spec_in_a_file_is_checked_before_anything_is_compared(
    airflow: Airflow, emulator: Emulator, tmp_path: Path
) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("image: x:1\ncompute:\n  gpu_devices: two\n")
    found = checked(airflow, "--spec", str(path), code=1)
    assert found["specification"][0] == "problem"
    assert "spec.compute.gpu_devices: 'two'" in found["specification"][1]
    assert found["policy"] == ("unknown", "not asked: the specification cannot be read")
    path.write_text("image: x:1\nimage: y:1\n")
    assert "stands twice" in airflow("dry-run", "--spec", str(path)).err


@pytest.mark.slow
def test_what_is_rendered_later_is_unknown_and_the_rest_is_checked(
    airflow: Airflow, dags: Dags, emulator: Emulator
) -> None:
    body = """
RunaiTrainingOperator(
    task_id="train",
    project="{{ params.project }}",
    spec={"image": "{{ params.image }}", "compute": {"gpu_devices": "{{ params.gpus }}", "cpu_cores": 1}},
)
"""
    path = str(dags(body))
    found = checked(airflow, "example", "train", "-S", path)
    assert found["project"] == (
        "unknown",
        "not asked: the task's project is known only when it runs; name one with --project",
    )
    assert found["specification"][0] == "unknown"
    assert "spec.compute.gpu_devices" in found["specification"][1]
    assert "cpu_cores" not in found["specification"][1]
    assert (
        checked(airflow, "example", "train", "-S", path, "--project", "team-b")["project"][0]
        == "ok"
    )


@pytest.mark.parametrize("status", [404, 403, 503])
def test_server_without_an_endpoint_is_no_problem(
    status: int, airflow: Airflow, emulator: Emulator
) -> None:
    for path in ("/api/v2/policy/*", "/api/v1/nodes/*", "/api/v1/org-unit/projects/*"):
        emulator.faults.add("status", path=path, status=status, times=5)
    found = checked(airflow, "--line", "runai submit a -i x:1 -g 1")
    for check in ("policy", "time limits", "quota", "free GPUs"):
        assert found[check][0] == "unknown"
        assert str(status) in found[check][1]
    assert (found["project"][0], found["name"][0]) == ("ok", "ok")


def test_wrong_secret_and_unreachable_server_are_problems_and_the_rest_is_not_asked(
    airflow: Airflow, emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(emulator.url, secret="wrong-secret")
    found = checked(airflow, "--line", "runai submit a -i x:1", code=1)
    assert found["token"][0] == "problem"
    assert {found[name][0] for name in ("project", "policy", "quota", "name")} == {"unknown"}
    connect("http://127.0.0.1:9")
    assert checked(airflow, "--line", "runai submit a -i x:1", code=1)["token"][0] == "problem"
    found = checked(airflow, "--line", "runai submit a -i x:1", "--conn", "nowhere", code=1)
    assert found["connection"][0] == "problem"
    assert "connection 'nowhere': not defined" in found["connection"][1]


def test_project_that_is_none_is_a_problem(
    airflow: Airflow, emulator: Emulator, connect: Callable[..., None]
) -> None:
    found = checked(airflow, "--line", "runai submit a -i x:1 -p team-x", code=1)
    assert "project 'team-x': no such project" in found["project"][1]
    connect(emulator.url, project=None)
    found = checked(airflow, "--line", "runai submit a -i x:1", code=1)
    assert found["project"][0] == "problem"


@pytest.mark.parametrize(
    "words",
    [(), ("example",), ("--line", "runai submit a -i x", "--spec", "f"), ("--spec", "no-file")],
)
def test_what_it_is_about_must_be_one_thing(words: tuple[str, ...], airflow: Airflow) -> None:
    shown = airflow("dry-run", *words)
    assert (shown.code, shown.out) == (2, "")
    assert "error: " in shown.err


@pytest.mark.slow
def test_gpus_that_are_rendered_later_are_not_taken_for_none(
    airflow: Airflow, dags: Dags, emulator: Emulator
) -> None:
    later = "RunaiTrainingOperator(task_id='train', spec={'image': 'x:1', 'compute': {'gpu_devices': '{{ params.g }}'}})"
    found = checked(airflow, "example", "train", "-S", str(dags(later)))
    said = ("unknown", "not asked: how many GPUs is known only when the task runs")
    assert (found["quota"], found["free GPUs"]) == (said, said)
    known = "RunaiTrainingOperator(task_id='train', spec={'image': '{{ params.i }}', 'working_dir': '{{ params.w }}'})"
    assert checked(airflow, "example", "train", "-S", str(dags(known)))["quota"][1].startswith(
        "asks for 0 GPUs"
    )


def test_what_differs_between_instances_of_a_mapped_task_is_unknown(
    airflow: Airflow, dags: Dags, emulator: Emulator
) -> None:
    body = "RunaiTrainingOperator.partial(task_id='train', workload_name='long').expand(spec=[{'image': 'x:1'}])"
    path = str(dags(body))
    found = checked(airflow, "example", "train", "-S", path, "--run-id", "run1")
    assert found["specification"] == (
        "unknown",
        "valid so far; known only when the task runs: spec",
    )
    assert found["quota"][0] == "unknown"
    assert found["name"] == (
        "unknown",
        "not asked: the task is mapped; name one of its instances with --map-index",
    )
    one = checked(airflow, "example", "train", "-S", path, "--run-id", "run1", "--map-index", "3")
    name = generation_name(
        base_name(TaskIdentity("airflow", "example", "run1", "train", 3), "long"), 1
    )
    assert one["name"][1] == f"{name} is free"


@pytest.mark.slow
def test_task_of_a_mapped_group_has_no_name_without_its_index(
    airflow: Airflow, dags: Dags, emulator: Emulator
) -> None:
    before = """
from airflow.sdk import task_group

@task_group
def tried(rate):
    RunaiTrainingOperator(task_id="train", workload_name="long", spec={"image": "x:1", "args": rate})
"""
    path = str(dags("tried.expand(rate=['0.1', '0.2'])", before))
    words = ("example", "tried.train", "-S", path, "--run-id", "run1")
    assert checked(airflow, *words)["name"] == (
        "unknown",
        "not asked: the task is mapped; name one of its instances with --map-index",
    )
    assert checked(airflow, *words, "--map-index", "1")["name"][1].endswith("-g1 is free")
