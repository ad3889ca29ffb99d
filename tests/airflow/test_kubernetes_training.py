"""The operators with a connection of type ``kubernetes``, over the model of Kubernetes behind a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.triggers.workload import RunaiWorkloadTrigger
from tests.airflow.running import Run, clear, dag_of, meanwhile
from tests.airflow.task_logs import assert_readable
from tests.airflow.triggering import Supervised, first, supervised, with_task
from tests.model.conftest import job
from tests.model.kubelet import Life, phase_of
from tests.model.resources import JOBS, PODS, Object
from tests.model.serving import ServedModel, served
from tests.support.waiting import eventually, wait_until

__all__ = ["supervised"]

Runner = Callable[..., Run]
pytestmark = pytest.mark.slow
SPEC = {"image": "python:3.12", "compute": {"gpu_devices": 1}}
both = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "blocking"])


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedModel]:
    """A cluster with two GPUs; the connection names it and the project team-b."""
    with served(life_of=lambda pod: Life(run=3.0)) as running:
        connection = running.connection(project="team-b", runai_dialect="kai")
        monkeypatch.setenv("AIRFLOW_CONN_RUNAI_DEFAULT", connection)
        yield running


def training(slug: str = "train", **given: Any) -> Callable[[], RunaiTrainingOperator]:
    return lambda: RunaiTrainingOperator(
        **{"task_id": "task", "spec": SPEC, "workload_name": slug, **given}
    )


def jobs(model: ServedModel) -> list[Object]:
    with model.lock:
        return list(model.cluster.store.all(JOBS))


def running_pod(model: ServedModel) -> Object | None:
    with model.lock:
        pods = [one for one in model.cluster.store.all(PODS) if phase_of(one) == "Running"]
    return pods[0] if pods else None


def wait_for_pod(model: ServedModel) -> Object:
    wait_until(lambda: running_pod(model), "a pod that runs")
    # Of what comes and goes before anybody looks, nobody can know.
    wait_until(lambda: any(line.startswith("PATCH") for line in model.asked), "a look at it")
    pod = running_pod(model)
    assert pod is not None
    return pod


@both
def test_a_training_is_preempted_and_succeeds_without_a_retry(
    run: Runner, model: ServedModel, deferrable: bool
) -> None:
    lives = iter([Life(run=1e9), Life(run=3.0)])
    model.cluster.life_of = lambda pod: next(lives)

    def reclaim() -> None:
        pod = wait_for_pod(model)
        with model.lock:
            model.cluster.kai.reclaim(pod)

    with meanwhile(reclaim):
        done = run(dag_of(training(deferrable=deferrable, retries=2)))
    assert done.state == "success", done.words
    result = done.xcom()
    assert (result["project"], result["phase"]) == ("team-b", "Completed")
    assert result["interruptions"] == result["preemptions"] == 1
    assert done.task().try_number == 1
    assert len(jobs(model)) == 1
    assert creates(model) == 1


@both
def test_failure_names_the_exit_code(run: Runner, model: ServedModel, deferrable: bool) -> None:
    model.cluster.life_of = lambda pod: Life(run=2.0, exit_code=3)
    spec = {**SPEC, "backoff_limit": 0}
    done = run(dag_of(training(spec=spec, deferrable=deferrable)))
    assert done.state == "failed"
    assert "with exit code 3 (Error)" in done.words
    assert "`kubectl logs -n team-b -l batch.kubernetes.io/job-name=train-" in done.words


def test_a_task_that_is_cleared_to_reattach_adopts_its_job(run: Runner, model: ServedModel) -> None:
    model.cluster.life_of = lambda pod: Life(run=1e9)
    done = run(dag_of(training(wait_for_completion=False, on_clear="reattach")))
    (made,) = jobs(model)
    clear(done)
    assert done.task().state == "success", done.words
    assert done.xcom()["workload_id"] == made["metadata"]["uid"]
    assert creates(model) == 1


def test_a_timeout_stops_it(run: Runner, model: ServedModel) -> None:
    model.cluster.life_of = lambda pod: Life(run=1e9)
    done = run(dag_of(training(timeouts={"running": 20})))
    assert done.state == "failed"
    assert "running" in done.words
    wait_until(lambda: not jobs(model), "the Job is gone")


@pytest.mark.slow
@both
def test_a_timeout_that_may_not_stop_it_names_the_right_and_waits_on(
    run: Runner, model: ServedModel, deferrable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    model.cluster.life_of = lambda pod: Life(run=200)
    model.cluster.server.forbidden.add(("delete", "jobs"))
    done = run(dag_of(training(timeouts={"running": 20}, deferrable=deferrable)))
    assert done.state == "success"
    assert "is timed_out, but was not ended" in caplog.text
    assert "let airflow delete jobs.batch in namespace team-b (a Role" in caplog.text
    assert len(jobs(model)) == 1


def test_without_a_right_that_it_takes_a_task_fails_before_it_waits_for_room(
    run: Runner, model: ServedModel, capfd: pytest.CaptureFixture[str]
) -> None:
    model.cluster.server.forbidden.add(("create", "jobs"))
    hold = job("held", "team-b", 2)
    with model.lock:
        model.cluster.store.create(
            JOBS, {**hold, "metadata": {**hold["metadata"], "namespace": "team-b"}}
        )
    done = run(dag_of(training(submit_when="quota", retries=3)))
    assert done.state == "failed"
    words = assert_readable(done, capfd)
    assert words.startswith("RightMissing: the connection's identity lacks rights in namespace")
    assert "create jobs of API group batch" in words
    assert done.task().try_number == 1
    assert creates(model) == 0


def test_a_right_that_is_missing_is_said_once_also_if_it_waits_for_room(
    run: Runner, model: ServedModel, caplog: pytest.LogCaptureFixture
) -> None:
    model.cluster.server.forbidden.add(("list", "nodes"))
    done = run(dag_of(training(submit_when="quota")))
    assert done.state == "success"
    assert caplog.text.count("lacks rights in namespace 'team-b': list nodes in the whole") == 1


def deferred(model: ServedModel, run: Runner, on_kill: str = "stop") -> RunaiWorkloadTrigger:
    """Submit a training that runs on and on, and return the trigger that waits for it."""
    model.cluster.life_of = lambda pod: Life(run=1e9)
    done = run(dag_of(training(wait_for_completion=False)))
    shown = done.xcom("runai_workload")
    workload = {name: shown[name] for name in ("id", "name", "project_id", "cluster_id", "kind")}
    policy = {"poll_interval": 15.0, "when_suspended": "wait", "timeouts": {}}
    return with_task(
        RunaiWorkloadTrigger(
            "runai_default", {**workload, "phase": ""}, policy, on_kill, min_defer_seconds=0.0
        )
    )


def test_killed_after_a_user_ended_the_task_it_stops_the_job(
    run: Runner, model: ServedModel, supervised: Supervised
) -> None:
    made = deferred(model, run)
    supervised("failed")
    asyncio.run(made.on_kill())
    wait_until(lambda: not jobs(model), "the Job is gone")


def test_killed_it_suspends_where_the_author_says_so(
    run: Runner, model: ServedModel, supervised: Supervised
) -> None:
    made = deferred(model, run, "suspend")
    supervised("failed")
    asyncio.run(made.on_kill())
    (left,) = jobs(model)
    assert left["spec"]["suspend"] is True


def test_a_hundred_triggers_cost_one_list_and_one_watch_for_each_kind(
    run: Runner, model: ServedModel, supervised: Supervised
) -> None:
    supervised("deferred")
    made = [deferred(model, run)] + [clone(model, number) for number in range(99)]
    model.asked.clear()

    async def wait_all() -> None:
        waits = [asyncio.create_task(first(one)) for one in made]
        await eventually(lambda: kinds_of(model, "watch=true") == ["jobs", "pods"])
        for one in waits:
            one.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    asyncio.run(wait_all())
    assert kinds_of(model, "limit=1000") == ["jobs", "pods"]
    assert kinds_of(model, "watch=true") == ["jobs", "pods"]


def clone(model: ServedModel, number: int) -> RunaiWorkloadTrigger:
    """Return the trigger of one more training like the first."""
    (first_made, *_) = jobs(model)
    body = {key: first_made[key] for key in ("apiVersion", "kind", "spec")}
    body["spec"] = {key: value for key, value in body["spec"].items() if key != "selector"}
    kept = first_made["metadata"]
    metadata = {
        "name": f"clone-{number}-{kept['name']}",
        "namespace": "team-b",
        "labels": kept["labels"],
        "annotations": kept["annotations"],
    }
    with model.lock:
        job = model.cluster.store.create(JOBS, {**body, "metadata": metadata})
    workload = {
        "id": job["metadata"]["uid"],
        "name": metadata["name"],
        "project_id": "team-b",
        "cluster_id": "",
        "kind": "Training",
        "phase": "",
    }
    policy = {"poll_interval": 15.0, "when_suspended": "wait", "timeouts": {}}
    return RunaiWorkloadTrigger(
        "runai_default", workload, policy, min_defer_seconds=0.0, show_timeline=False
    )


def kinds_of(model: ServedModel, part: str) -> list[str]:
    """Return the kinds of the lists or watches for all waits that were asked for."""
    ours = [line for line in model.asked if part in line and "managed-by" in line]
    return sorted(line.split("?")[0].rpartition("/")[2] for line in ours)


def creates(model: ServedModel) -> int:
    created = [line for line in model.asked if line.startswith("POST /apis/batch/v1/")]
    return len(created)
