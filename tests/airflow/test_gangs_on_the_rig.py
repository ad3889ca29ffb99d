"""A distributed training on a real API server, with KAI's stand-in and with the real Kueue: one gang, one task, one try."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from airflow_runai.triggers.workload import RunaiWorkloadTrigger
from tests.airflow.gangs import Gang, charges
from tests.airflow.running import Run, dag_of
from tests.airflow.test_logs import log_lines
from tests.airflow.triggering import Supervised, supervised, with_task
from tests.contract.rivalry import KAI, KUEUE, Rivalry
from tests.rig.cluster import Cluster
from tests.rig.lanes import empty, lane
from tests.rig.waiting import until

__all__ = ["supervised"]

Runner = Callable[..., Run]
pytestmark = [pytest.mark.rig, pytest.mark.slow]
DEFERRED, BLOCKING = True, False
#: `make test` plays one of them; each takes 10 s or more.
ways = pytest.mark.parametrize(
    ("rivalry", "deferrable"),
    [
        pytest.param(KUEUE, DEFERRED, id="kueue-deferred"),
        pytest.param(KUEUE, BLOCKING, id="kueue-blocking", marks=pytest.mark.qualify),
        pytest.param(KAI, DEFERRED, id="kai-deferred", marks=pytest.mark.qualify),
        pytest.param(KAI, BLOCKING, id="kai-blocking", marks=pytest.mark.qualify),
    ],
)

clusters = pytest.mark.parametrize("rivalry", [KAI, KUEUE], ids=lambda one: one.dialect)


@pytest.fixture
def gang(
    rivalry: Rivalry, rig_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Gang]:
    """A lane of two GPUs, of which each of two queues deserves one; the connection names it."""
    with lane(rig_cluster, gpus=2) as own:
        made = Gang(own, rivalry, tmp_path)
        monkeypatch.setenv("AIRFLOW_CONN_RUNAI_DEFAULT", made.connection)
        yield made
        empty(own)


@ways
def test_a_gang_waits_is_taken_and_fails_as_a_whole_within_one_try(
    run: Runner, gang: Gang, deferrable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def play() -> None:
        until(lambda: gang.is_queued, "a gang that waits")
        assert gang.alive == ()
        rival.close()
        gang.await_whole()
        with gang.contend(1):
            until(lambda: gang.alive == (), "the eviction of all members")
        gang.await_whole()
        gang.fail("1")
        gang.await_whole()
        gang.finish()

    rival = ExitStack()
    rival.enter_context(gang.contend(1))
    with rival, gang.played(play):
        done = run(dag_of(gang.task(deferrable=deferrable, poll_interval=1.0)))
    assert done.state == "success", done.words
    assert done.task().try_number == 1
    result, shown = done.xcom(), done.xcom("runai_timeline")["timeline"]
    (whole,) = gang.sets
    assert whole["metadata"]["uid"] == result["workload_id"]
    assert charges(whole) == 1
    assert (result["interruptions"], result["preemptions"]) == (2, 1)
    words = [moment["message"] for moment in shown]
    member = f"reclaim: Pod {gang.lane.namespace}/{result['name']}-"
    evictor = "kueue: Preempted to accommodate" if gang.rivalry is KUEUE else member
    assert any(one.startswith(f"preempted by {evictor}") for one in words), words
    named = ["-worker-0-0-" in one and "failed with exit code 3" in one for one in words]
    assert any(named), words
    shown_lines = log_lines(capsys)
    if deferrable:  # a worker comes too late for the logs of pods that are gone within 2 s
        assert "| member 1: CUDA out of memory" in shown_lines
    assert "| member 0 is finished" not in shown_lines, "a success shows no tail"


@pytest.mark.qualify
@clusters
def test_a_gang_whose_budget_is_spent_has_failed_and_nothing_of_it_runs(
    run: Runner, gang: Gang
) -> None:
    def play() -> None:
        gang.await_whole()
        gang.fail("1")

    with gang.played(play):
        task = gang.task(deferrable=True, backoff_limit=0, retries=0)
        done = run(dag_of(task))
    assert done.state == "failed"
    assert "failed with exit code 3 (Error)" in done.words
    assert f"{gang.sets[0]['metadata']['name']}-worker-0-0-" in done.words
    assert gang.alive == ()


@pytest.mark.qualify
@clusters
def test_a_gang_that_a_user_ends_leaves_nothing(
    run: Runner, gang: Gang, supervised: Supervised
) -> None:
    done = run(dag_of(gang.task(wait_for_completion=False)))
    gang.await_whole()
    shown = done.xcom("runai_workload")
    workload = {name: shown[name] for name in ("id", "name", "project_id", "cluster_id", "kind")}
    policy = {"poll_interval": 1.0, "when_suspended": "wait", "timeouts": {}}
    made = RunaiWorkloadTrigger("runai_default", {**workload, "phase": ""}, policy, "stop")
    supervised("failed")
    asyncio.run(with_task(made).on_kill())
    until(lambda: not gang.sets and not gang.pods, "its end")
    assert gang.alive == ()
