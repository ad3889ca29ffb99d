"""The trigger alone on an event loop: what Airflow's triggerer may do to it, and what it does to the wire."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_runai.backends import organization
from airflow_runai.emulator import Emulator
from airflow_runai.hooks import sessions
from airflow_runai.triggers.killing import FINISHED
from airflow_runai.triggers.workload import RunaiWorkloadTrigger
from tests.airflow.conftest import SECRET
from tests.airflow.running import Person
from tests.polling import PATIENCE, wait_until


def trigger(emulator: Emulator, slug: str = "short-t", on_kill: str = "stop", **given: Any) -> RunaiWorkloadTrigger:
    made = Person(emulator).submit("team-a", slug, gpus=0)
    workload = {"id": made.id, "name": made.name, "project_id": "4501", "cluster_id": made.cluster_id, "phase": ""}
    policy = {"poll_interval": 0.1, "when_suspended": "wait", "limits": {}, **given.pop("policy", {})}
    return RunaiWorkloadTrigger("runai_default", workload, policy, on_kill, **{"min_defer_seconds": 0.0, **given})


async def first(made: RunaiWorkloadTrigger) -> dict[str, Any]:
    async for event in made.run():
        return dict(event.payload)
    raise AssertionError("ended without an event")


async def soon(look: Callable[[], bool]) -> None:
    """Wait without blocking the loop until something is so."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not look():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)


def test_it_does_not_fire_before_its_time(emulator: Emulator) -> None:
    made = trigger(emulator, min_defer_seconds=1.2)
    wait_until(lambda: emulator.workloads_named("short-t")[0].phase == "Completed")
    began = time.monotonic()
    event = asyncio.run(first(made))
    assert time.monotonic() - began >= 1.2
    assert event["status"] == "succeeded"


def test_cancelled_while_waiting_it_closes_its_session(emulator: Emulator) -> None:
    made = trigger(emulator, "long-t")

    async def cancel() -> None:
        waiting = asyncio.create_task(first(made))
        await soon(lambda: bool(sessions._SESSIONS))
        (joined,) = sessions._SESSIONS.values()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert joined._client.is_closed

    asyncio.run(cancel())
    assert not sessions._SESSIONS


def test_a_connection_that_is_missing_at_first_is_waited_for(
    emulator: Emulator, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch, database: None
) -> None:
    made = trigger(emulator)
    monkeypatch.delenv("AIRFLOW_CONN_RUNAI_DEFAULT")

    async def later() -> dict[str, Any]:
        waiting = asyncio.create_task(first(made))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        connect(emulator.url)
        return await waiting

    assert asyncio.run(later())["status"] == "succeeded"


def test_a_secret_that_is_rotated_in_the_middle_is_read_anew(emulator: Emulator, connect: Callable[..., None]) -> None:
    made = trigger(emulator, "long-t")

    async def rotate() -> dict[str, Any]:
        waiting = asyncio.create_task(first(made))
        await asyncio.sleep(0.4)
        emulator.plane.tokens._secret = "rotated"
        emulator.plane.tokens.revoke()
        await asyncio.sleep(0.5)
        assert not waiting.done()
        connect(emulator.url, secret="rotated")
        await asyncio.sleep(0.5)
        emulator.plane.world.workloads[made.workload["id"]].desired = "Deleted"
        return await asyncio.wait_for(waiting, 10)

    assert asyncio.run(rotate())["status"] == "gone"


def test_what_is_stored_is_plain_json_without_secrets(emulator: Emulator) -> None:
    from airflow.serialization.serialized_objects import BaseSerialization

    made = trigger(emulator)
    path, given = made.serialize()
    assert path == "airflow_runai.triggers.workload.RunaiWorkloadTrigger"
    assert json.loads(json.dumps(given)) == given
    assert BaseSerialization.deserialize(BaseSerialization.serialize(given)) == given
    assert SECRET not in json.dumps(given)
    assert RunaiWorkloadTrigger(**given).serialize() == (path, given)


class Supervisor:
    """Stands for Airflow's supervisor at the wire: answers how a task stands."""

    def __init__(self, state: str | None) -> None:
        self.state = state
        self.asked: list[Any] = []

    async def asend(self, message: Any) -> Any:
        self.asked.append(message)
        return SimpleNamespace(task_states={"run": {"task": self.state} if self.state else {}})


@pytest.fixture
def supervised(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str | None], Supervisor]]:
    from airflow.sdk.execution_time import task_runner

    def answer(state: str | None) -> Supervisor:
        supervisor = Supervisor(state)
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
        return supervisor

    return answer  # type: ignore[return-value]  # the monkeypatch undoes it


def with_task(made: RunaiWorkloadTrigger) -> RunaiWorkloadTrigger:
    who: Any = SimpleNamespace(dag_id="dag", task_id="task", run_id="run", map_index=-1, try_number=1)
    made.task_instance = who
    return made


def test_it_shows_the_timeline_while_it_waits(
    emulator: Emulator, supervised: Callable[[str | None], Supervisor]
) -> None:
    made = with_task(trigger(emulator))
    supervisor = supervised("deferred")
    asyncio.run(first(made))
    shown = [m for m in supervisor.asked if getattr(m, "key", None) == "runai_timeline"]
    assert (shown[-1].dag_id, shown[-1].run_id, shown[-1].task_id) == ("dag", "run", "task")
    assert [m.value["phase"] for m in shown][-1] == "Completed"
    assert len(shown) <= 6, "only what is new is written"
    assert SECRET not in str(shown)


def deletes(emulator: Emulator) -> int:
    return sum(r.method == "DELETE" for r in emulator.requests)


@pytest.mark.parametrize("state", ["deferred", "queued", "running", "restarting", "up_for_retry", "scheduled", None])
def test_killed_while_the_task_lives_it_leaves_the_workload_alone(
    emulator: Emulator, supervised: Callable[[str | None], Supervisor], state: str | None
) -> None:
    made = with_task(trigger(emulator, "long-t"))
    supervisor = supervised(state)
    asyncio.run(made.on_kill())
    assert len(supervisor.asked) == 1
    assert supervisor.asked[0].run_ids == ["run"]
    assert deletes(emulator) == 0
    assert emulator.workloads_named("long-t")[0].desired == "Running"


@pytest.mark.parametrize("state", sorted(FINISHED))
def test_killed_after_a_user_ended_the_task_it_stops_the_workload(
    emulator: Emulator, supervised: Callable[[str | None], Supervisor], state: str
) -> None:
    made = with_task(trigger(emulator, "long-t"))
    supervised(state)
    asyncio.run(made.on_kill())
    assert deletes(emulator) == 1
    wait_until(lambda: emulator.workloads_named("long-t")[0].deleted_at)


def test_killed_it_suspends_where_the_author_says_so(
    emulator: Emulator, supervised: Callable[[str | None], Supervisor]
) -> None:
    made = with_task(trigger(emulator, "long-t", on_kill="suspend"))
    supervised("failed")
    asyncio.run(made.on_kill())
    wait_until(lambda: emulator.workloads_named("long-t")[0].phase == "Stopped")


def test_killed_it_asks_nobody_where_the_workload_is_to_be_kept(
    emulator: Emulator, supervised: Callable[[str | None], Supervisor]
) -> None:
    supervisor = supervised("failed")
    asyncio.run(with_task(trigger(emulator, "long-t", on_kill="keep")).on_kill())
    assert not supervisor.asked
    assert emulator.workloads_named("long-t")[0].desired == "Running"


def test_killing_survives_its_own_cancellation(
    emulator: Emulator, supervised: Callable[[str | None], Supervisor]
) -> None:
    made = with_task(trigger(emulator, "long-t"))
    supervised("failed")
    emulator.faults.add("slow", seconds=2.0, path="/api/v1/workloads/*", method="GET")

    async def impatient() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(made.on_kill(), 1.0)
        assert deletes(emulator) == 0, "the slow answer is still under way"
        await soon(lambda: deletes(emulator) > 0)
        await _rest()

    asyncio.run(impatient())
    assert deletes(emulator) == 1


async def _rest() -> None:
    """Let what runs in the background come to its end."""
    others: list[Awaitable[Any]] = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
    await asyncio.gather(*others, return_exceptions=True)


@pytest.mark.slow
def test_two_hundred_waits_share_one_client_one_login_and_few_lists(emulator: Emulator) -> None:
    person = Person(emulator)
    made = [trigger(emulator, f"long-{n}", policy={"poll_interval": 0.5}) for n in range(3)]
    known = [*(m.workload for m in made)]
    project = person.do(_project())
    known += [{**known[0], **_submit(person, project, n)} for n in range(197)]
    policy = {"poll_interval": 1.0, "when_suspended": "wait", "limits": {}}
    waits = [RunaiWorkloadTrigger("runai_default", w, policy, "stop", 0.0) for w in known]
    before = len(emulator.requests)
    seconds = 6.0

    async def together() -> None:
        tasks = [asyncio.create_task(first(one)) for one in waits]
        await asyncio.sleep(seconds / 2)
        assert len(sessions._SESSIONS) == 1
        await asyncio.sleep(seconds / 2)
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(together())
    seen = emulator.requests[before:]
    logins = [r for r in seen if r.path.endswith("/token")]
    lists = [r for r in seen if r.path == "/api/v1/workloads"]
    histories = [r for r in seen if r.path.endswith("/history")]
    singles = [r for r in seen if r.path.startswith("/api/v1/workloads/") and r not in histories]
    assert len(logins) <= 3
    assert len(lists) <= 2 * seconds + 4
    assert len(histories) <= 3 * len(waits)
    assert len(singles) <= len(waits) / 2, "single reads are for what the list lacks"


def _project() -> Any:

    return organization.find_project("team-a")


def _submit(person: Person, project: Any, number: int) -> dict[str, str]:
    from airflow_runai.backends import control_plane

    body = {"spec": {"image": "x"}}
    found = person.do(control_plane.create(project, "trainings", f"long-many-{number}", body))
    return {"id": found.id, "name": found.name}
