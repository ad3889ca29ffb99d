"""
Tasks that wait for room before they submit: fifty real operators, real triggers, the embedded Run:ai.

The scheduler is played: each task runs in a thread like a worker's process, and what it defers to
runs on one event loop like a triggerer's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_runai.backends import control_plane
from airflow_runai.core.waiting_line import AT_ONCE
from airflow_runai.emulator import Emulator, serve
from airflow_runai.emulator.records import EmulatedWorkload
from airflow_runai.errors import SpecError
from airflow_runai.hooks import sessions
from airflow_runai.operators.training import RunaiTrainingOperator
from tests.airflow.conftest import SECRET, fast
from tests.airflow.running import Person, Run, clear, dag_of, meanwhile
from tests.airflow.worker import Worker
from tests.support.waiting import eventually, wait_until

Runner = Callable[..., Run]
both = pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "blocking"])
SPEC = {"image": "python:3.12", "compute": {"gpu_devices": 1}}
TASKS, GPUS = 50, 3


@pytest.fixture
def small(
    shared: Any, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Emulator]:
    """One node with three GPUs, all of them the quota of team-a."""
    monkeypatch.setenv("AIRFLOW__RUNAI__INSTANCE_NAME", "tests")
    settings = fast(shared, nodes=1, gpus_per_node=GPUS, projects=("team-a:3", "team-b:0"))
    with serve(settings) as running:
        connect(running.url)
        yield running


def looks(emulator: Emulator) -> int:
    return sum(
        seen.path == "/api/v1/nodes/telemetry" and "FREE_GPUS" in seen.query
        for seen in emulator.requests
    )


def creates(emulator: Emulator) -> list[str]:
    return [one.name for one in emulator.workloads_named("")]


@dataclass
class Site:
    """Tasks, each on its way through workers and the triggerer."""

    workers: list[Worker]
    waiting: list[asyncio.Task[Any]] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    async def begin(self) -> None:
        """Start all tasks at once."""
        self.waiting = [asyncio.create_task(self._live(worker)) for worker in self.workers]
        await eventually(lambda: all(worker.deferrals for worker in self.workers) or self.errors)

    async def _live(self, worker: Worker) -> None:
        try:
            await worker.live()
        except Exception as error:
            self.errors.append(error)

    async def end(self) -> None:
        for task in self.waiting:
            task.cancel()
        await asyncio.gather(*self.waiting, return_exceptions=True)
        assert self.errors == []


def site(count: int = TASKS, **given: Any) -> Site:
    return Site([Worker(f"t{number:02}", _training(**given)) for number in range(count)])


def _training(**given: Any) -> RunaiTrainingOperator:
    known = {
        "task_id": "task",
        "spec": SPEC,
        "workload_name": "long",
        "wait_for_completion": False,
        "poll_interval": 0.3,
    }
    return RunaiTrainingOperator(**{**known, **given})


@pytest.mark.slow
@pytest.mark.parametrize("submit_when", ["idle", pytest.param("quota", marks=pytest.mark.qualify)])
def test_fifty_tasks_and_three_gpus_make_three_workloads(small: Emulator, submit_when: str) -> None:
    played = site(submit_when=submit_when)

    async def play() -> None:
        await played.begin()
        await eventually(lambda: len(creates(small)) >= GPUS)
        seen = looks(small)
        # Each of these looks would have let more go, had it counted wrongly.
        await eventually(lambda: looks(small) >= seen + 8)
        assert len(creates(small)) == GPUS <= GPUS + AT_ONCE
        await _one_ends(small, played)
        await played.end()

    asyncio.run(play())
    begun = [since(worker) for worker in played.workers if worker.is_done]
    still = [since(worker) for worker in played.workers if not worker.is_done]
    assert len(begun) == GPUS + 1
    assert max(begun) <= min(still), "nobody is overtaken"


def since(worker: Worker) -> float:
    return float(worker.deferrals[0].trigger.since)


async def _one_ends(emulator: Emulator, played: Site) -> None:
    """Free one GPU; exactly one task follows."""
    await asyncio.to_thread(Person(emulator).steer, control_plane.delete, creates(emulator)[0])
    await eventually(lambda: len(creates(emulator)) > GPUS or played.errors)
    seen = looks(emulator)
    await eventually(lambda: looks(emulator) >= seen + 8)
    assert len(creates(emulator)) == GPUS + 1


@pytest.mark.slow
def test_however_many_wait_one_look_serves_all(small: Emulator) -> None:
    Person(small).submit("team-a", "long-theirs", gpus=3)
    played = site(20, submit_when="idle")

    async def play() -> None:
        await played.begin()
        before, seen = len(small.requests), looks(small)
        await eventually(lambda: looks(small) >= seen + 6)
        # A look is five requests; a token may be renewed.
        assert len(small.requests) - before <= 5 * (looks(small) - seen + 1) + 4
        await played.end()

    asyncio.run(play())
    assert creates(small) == ["long-theirs"]


@pytest.mark.slow
def test_the_worker_looks_once_more_and_may_go_back(small: Emulator) -> None:
    """Somebody takes the GPUs between the trigger's look and the worker's."""
    worker = Worker("t", _training(submit_when="idle", poll_interval=0.1))
    worker.before_return = lambda: Person(small).submit("team-a", "long-theirs", gpus=3)

    async def play() -> None:
        living = asyncio.create_task(worker.live())
        await eventually(lambda: len(worker.deferrals) == 2 or living.done())
        assert creates(small) == ["long-theirs"]
        first, second = (deferral.trigger.since for deferral in worker.deferrals)
        assert first == second, "it keeps its position"
        worker.before_return = lambda: None
        await asyncio.to_thread(Person(small).steer, control_plane.delete, "long-theirs")
        await living

    asyncio.run(play())
    assert len(creates(small)) == 2


def test_what_exists_is_adopted_at_once(small: Emulator) -> None:
    """The cluster is full of the task's own workload: a turnstile there would never open."""
    first = Worker("t", _training(submit_when="now", spec={**SPEC, "compute": {"gpu_devices": 3}}))
    asyncio.run(first.live())
    (name,) = creates(small)
    Person(small).wait_for(name, "Running")
    again = Worker(
        "t", _training(submit_when="quota", spec={**SPEC, "compute": {"gpu_devices": 3}})
    )
    again.store = first.store
    asyncio.run(again.live())
    assert creates(small) == [name]
    assert again.deferrals == []


@pytest.mark.parametrize("compute", [{}, {"gpu_devices": 0}], ids=["none", "zero"])
def test_workload_without_gpus_waits_for_none(small: Emulator, compute: Any) -> None:
    Person(small).submit("team-a", "long-theirs", gpus=3)
    worker = Worker("t", _training(submit_when="idle", spec={"image": "x", "compute": compute}))
    asyncio.run(worker.live())
    assert worker.deferrals == []
    assert looks(small) == 0


def test_not_preemptible_means_quota(small: Emulator) -> None:
    spec = {**SPEC, "preemptibility": "non-preemptible"}
    worker = Worker("t", _training(submit_when="idle", spec=spec))
    with pytest.raises(TaskDeferred) as deferred:
        worker.run_once()
    assert deferred.value.trigger.need["when"] == "quota"


@pytest.mark.slow
@both
def test_more_than_the_quota_is_refused_with_the_figures(
    run: Runner, small: Emulator, deferrable: bool
) -> None:
    spec = {**SPEC, "compute": {"gpu_devices": 4}}
    given = {"submit_when": "quota", "spec": spec, "poll_interval": 0.1, "retries": 2}
    done = run(dag_of(lambda: _training(deferrable=deferrable, **given)))
    assert "asks for 4 GPUs; the project's quota is 3: it would wait for ever" in done.words
    assert done.task().try_number == 1
    assert creates(small) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("submit_when", "deferrable"),
    [
        ("quota", True),
        ("idle", False),
        pytest.param("quota", False, marks=pytest.mark.qualify),
        pytest.param("idle", True, marks=pytest.mark.qualify),
    ],
)
def test_it_waits_for_room_and_trains(
    run: Runner, small: Emulator, deferrable: bool, submit_when: str
) -> None:
    person = Person(small)
    person.submit("team-a", "long-theirs", gpus=3)

    def make_room() -> None:
        wait_until(lambda: looks(small) >= 3)
        assert creates(small) == ["long-theirs"]
        person.steer(control_plane.delete, "long-theirs")

    given = {"workload_name": "short", "wait_for_completion": True, "poll_interval": 0.1}
    operator = lambda: _training(submit_when=submit_when, deferrable=deferrable, **given)  # noqa: E731
    with meanwhile(make_room):
        done = run(dag_of(operator))
    assert done.state == "success", done.words
    assert done.xcom()["phase"] == "Completed"


@pytest.mark.slow
@both
def test_timeout_ends_the_wait_and_nothing_was_submitted(
    run: Runner, small: Emulator, deferrable: bool
) -> None:
    Person(small).submit("team-a", "long-theirs", gpus=3)
    given = {"submit_when": "idle", "timeouts": {"room": 0.5}, "poll_interval": 0.1, "retries": 1}
    done = run(dag_of(lambda: _training(deferrable=deferrable, **given)))
    assert "project team-a: no room for 1 GPU (idle) within 0 s" in done.words
    assert "nothing was submitted" in done.words
    assert done.task().try_number == 2, "a retry waits anew"
    assert creates(small) == ["long-theirs"]


@pytest.mark.slow
@both
def test_cleared_task_ends_its_workload_and_waits_for_room_again(
    run: Runner, small: Emulator, deferrable: bool
) -> None:
    operator = partial(_training, submit_when="quota", deferrable=deferrable, poll_interval=0.1)
    done = run(dag_of(operator))
    assert done.state == "success", done.words
    person = Person(small)
    person.submit("team-a", "long-theirs", gpus=3)
    before = looks(small)

    def ours() -> list[EmulatedWorkload]:
        return [one for one in small.workloads_named("long") if one.name != "long-theirs"]

    def make_room() -> None:
        wait_until(lambda: looks(small) >= before + 3)
        (own,) = ours()
        assert own.phase != "Running", "it was ended before the wait"
        person.steer(control_plane.delete, "long-theirs")

    with meanwhile(make_room):
        clear(done)
    assert [one.name[-2:] for one in ours()] == ["g1", "g2"]


@pytest.mark.slow
@both
def test_figures_that_the_server_does_not_tell_do_not_block_for_ever(
    run: Runner, small: Emulator, deferrable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    small.faults.add("status", status=404, times=1000, path="/api/v1/nodes/telemetry*")
    given = {"submit_when": "idle", "poll_interval": 0.1}
    done = run(dag_of(lambda: _training(deferrable=deferrable, **given)))
    assert done.state == "success", done.words
    assert "the free GPUs cannot be read here, so nothing is waited for" in caplog.text


def test_unknown_node_pool_of_the_specification_is_named(run: Runner, small: Emulator) -> None:
    spec = {**SPEC, "node_pools": ["h100"]}
    done = run(dag_of(lambda: _training(submit_when="quota", spec=spec, poll_interval=0.1)))
    assert "node_pool 'h100': project 'team-a' has no such node pool; it has: default" in done.words
    assert creates(small) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"submit_when": "later"}, "submit_when: 'later'; allowed: now, quota, idle"),
        ({"timeouts": {"room": 60}}, "timeouts.room: set, with submit_when='now'"),
        ({"submit_when": "idle", "timeouts": {"room": 0}}, "timeouts.room: 0; allowed"),
        ({"max_live": 0}, "max_live: 0; allowed: a whole number from 1"),
        ({"max_live": True}, "max_live: True; allowed: a whole number from 1"),
        ({"max_live_with": ["other"]}, "max_live_with: set, without max_live"),
    ],
)
def test_slips_are_found_when_the_dag_is_parsed(given: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        _training(**given)


def test_a_mapped_task_is_checked_too() -> None:
    with pytest.raises(SpecError, match="submit_when: 'later'"):
        RunaiTrainingOperator.partial(task_id="task", spec=SPEC, submit_when="later")
    with pytest.raises(SpecError, match="max_live: 0"):
        RunaiTrainingOperator.partial(task_id="task", spec=SPEC, max_live=0)


@pytest.mark.slow
def test_user_who_ends_the_task_leaves_nothing_behind(small: Emulator) -> None:
    """Airflow cancels the trigger; there is no workload, and nobody else waits for this one."""
    Person(small).submit("team-a", "long-theirs", gpus=3)
    played = site(2, submit_when="idle", poll_interval=0.1)

    async def play() -> None:
        await played.begin()
        await eventually(lambda: looks(small) >= 2)
        ended = played.waiting.pop(0)
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)
        seen = looks(small)
        await eventually(lambda: looks(small) >= seen + 3, "the other one looks now")
        await played.end()
        assert not sessions.shared().sessions

    asyncio.run(play())
    assert creates(small) == ["long-theirs"]


class _Stopped(RunaiTrainingOperator):
    """Its worker is told to stop just before the submission."""

    def _prepare(self) -> None:
        self.on_kill()


@both
def test_worker_that_is_told_to_stop_submits_nothing(
    run: Runner, small: Emulator, deferrable: bool
) -> None:
    given: Any = {"submit_when": "idle", "deferrable": deferrable, "poll_interval": 0.1}
    done = run(dag_of(lambda: _Stopped(task_id="task", spec=SPEC, **given)))
    assert "the worker was told to stop: the next one goes on with the submission" in done.words
    assert creates(small) == []


@pytest.mark.slow
def test_connection_that_cannot_be_used_is_asked_for_again(
    small: Emulator, connect: Callable[..., None]
) -> None:
    worker = Worker("t", _training(submit_when="idle", poll_interval=0.1))
    with pytest.raises(TaskDeferred) as deferred:
        worker.run_once()
    trigger = deferred.value.trigger
    connect(small.url, secret="wrong")

    async def play() -> Any:
        waiting = asyncio.create_task(first(trigger))
        await eventually(lambda: refused(small) >= 2 or waiting.done())
        assert not waiting.done()
        connect(small.url)
        return await waiting

    assert asyncio.run(play())["figures"]["free"] == GPUS


async def first(trigger: Any) -> Any:
    async for event in trigger.run():
        return event.payload


def refused(emulator: Emulator) -> int:
    return sum(seen.status == 401 for seen in emulator.requests)


def test_what_is_stored_is_plain_json_without_secrets(small: Emulator) -> None:
    import json

    worker = Worker("t", _training(submit_when="quota"))
    with pytest.raises(TaskDeferred) as deferred:
        worker.run_once()
    trigger = deferred.value.trigger
    path, given = trigger.serialize()
    assert path == "airflow_runai.triggers.room.RunaiRoomTrigger"
    assert json.loads(json.dumps(given)) == given
    assert SECRET not in json.dumps(given)
    assert type(trigger)(**given).serialize() == (path, given)
