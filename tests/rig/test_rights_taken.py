"""Each right taken away in turn: what its table says does not work any more, and all else does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Before Airflow: it reads its home when it is first imported.
from tests.airflow.conftest import database, run

# isort: split
from airflow_runai.backends.kubernetes.least_rights import (
    NEEDS,
    TRIGGERER,
    WORKER,
    NeededRight,
)
from airflow_runai.triggers.workload import RunaiWorkloadTrigger
from tests.airflow.running import Run
from tests.airflow.task_logs import assert_without_history, errors_in
from tests.airflow.triggering import Supervised, first, supervised, with_task
from tests.rig import lanes
from tests.rig.deprivation import ELSEWHERE, USES, Bench, Seen
from tests.rig.identities import identity
from tests.rig.lanes import Lane

__all__ = ["database", "run", "supervised"]

pytestmark = [pytest.mark.rig, pytest.mark.qualify]


def rows(who: str) -> Iterator[tuple[NeededRight, str]]:
    """Yield each right that a worker needs, or that only a triggerer does, if it is seen here."""
    for need in NEEDS:
        for verb in need.verbs(who):
            is_own = who == WORKER or verb not in need.verbs(WORKER)
            if is_own and (need.kind.resource, verb) not in ELSEWHERE:
                yield need, verb


def names(who: str) -> list[str]:
    return [f"{need.kind.resource}-{verb}" for need, verb in rows(who)]


@pytest.fixture
def bench(
    request: pytest.FixtureRequest,
    rig_lane: Lane,
    run: Callable[..., Run],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bench]:
    need, verb = request.getfixturevalue("taken")
    dialect = USES[need.kind.resource, verb].dialect or need.dialects[0]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    caplog.set_level("INFO", "airflow_runai")
    yield Bench(rig_lane, dialect, run, capfd, caplog, monkeypatch)
    lanes.empty(rig_lane)


def test_each_right_has_a_use() -> None:
    needed = {(need.kind.resource, verb) for who in (WORKER, TRIGGERER) for need, verb in rows(who)}
    assert needed | ELSEWHERE == USES.keys()


@pytest.mark.parametrize("taken", rows(WORKER), ids=names(WORKER))
def test_without_it_just_that_does_not_work_which_the_table_says(
    bench: Bench, taken: tuple[NeededRight, str], tmp_path: Path
) -> None:
    need, verb = taken
    use = USES[need.kind.resource, verb]
    bench.connect(identity(bench.lane, tmp_path, bench.dialect))
    seen, works = use.make(bench)
    assert works, seen.log
    assert seen.warnings == []
    lanes.empty(bench.lane)
    bench.connect(identity(bench.lane, tmp_path, bench.dialect, (need.kind, verb)))
    seen, works = use.make(bench)
    assert not works, seen.log
    assert_without_history(seen.done)
    if need.needed:
        assert_refused(bench, seen, need, verb)
        return
    assert seen.done.state == use.state, seen.done.words
    assert seen.done.errors or "Traceback" not in seen.log
    (warning,) = seen.warnings
    assert f"{bench.lane.namespace!r}: {verb} {need.kind.resource}" in warning
    assert need.without in warning
    assert ("allow these verbs in a ClusterRole" in warning) is need.in_cluster


def assert_refused(bench: Bench, seen: Seen, need: NeededRight, verb: str) -> None:
    """Assert that the task fails at once, in one sentence that says what to do."""
    assert seen.done.state == "failed"
    (error,) = errors_in(seen.log)
    assert "\n" not in error
    for word in (verb, need.kind.resource, bench.lane.namespace, "a Role"):
        assert word in error


@pytest.mark.parametrize("taken", rows(TRIGGERER), ids=names(TRIGGERER))
def test_a_triggerer_without_it_sees_the_end_nevertheless(
    bench: Bench, taken: tuple[NeededRight, str], tmp_path: Path, supervised: Supervised
) -> None:
    need, verb = taken
    use = USES[need.kind.resource, verb]
    bench.connect(identity(bench.lane, tmp_path, bench.dialect))
    spec = use.given.get("spec", {})
    shown = bench.train("sleep 2", spec, wait_for_completion=False).done.xcom("runai_workload")
    workload = {name: shown[name] for name in ("id", "name", "project_id", "cluster_id", "kind")}
    bench.connect(identity(bench.lane, tmp_path, bench.dialect, (need.kind, verb)))
    supervised("deferred")
    policy = {"poll_interval": 1.0, "when_suspended": "wait", "timeouts": {}}
    waiting = RunaiWorkloadTrigger(
        "runai_default", {**workload, "phase": ""}, policy, min_defer_seconds=0.0
    )
    event = asyncio.run(first(with_task(waiting)))
    assert event["status"] == "succeeded"
