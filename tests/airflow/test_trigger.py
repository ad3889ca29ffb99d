"""The trigger alone on an event loop: what Airflow's triggerer may do to it, and what it does to the wire."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.execution_time.comms import SetXCom

from airflow_runai.backends import organization
from airflow_runai.emulator import Emulator
from airflow_runai.hooks import sessions
from airflow_runai.triggers.workload import RunaiWorkloadTrigger
from tests.airflow.conftest import SECRET
from tests.airflow.running import Person
from tests.airflow.triggering import Supervised, first, supervised, trigger, with_task
from tests.support.waiting import eventually, wait_until

__all__ = ["supervised"]


@pytest.mark.slow
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
        await eventually(lambda: bool(sessions.shared().sessions))
        (joined,) = sessions.shared().sessions.values()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert joined._client.is_closed
        assert not sessions.shared().sessions

    asyncio.run(cancel())


@pytest.mark.slow
def test_a_connection_that_is_missing_at_first_is_waited_for(
    emulator: Emulator,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    database: None,
) -> None:
    made = trigger(emulator)
    monkeypatch.delenv("AIRFLOW_CONN_RUNAI_DEFAULT")
    logged: list[str] = []

    def logs(words: str) -> bool:
        logged.append(capfd.readouterr().out)
        return words in "".join(logged)

    async def later() -> dict[str, Any]:
        waiting = asyncio.create_task(first(made))
        await eventually(lambda: logs("isn't defined") or waiting.done())
        connect(emulator.url, timeout="soon")
        await eventually(lambda: logs("timeout: 'soon'") or waiting.done())
        assert not waiting.done(), "it has looked twice in vain, and looks again"
        connect(emulator.url)
        return await waiting

    assert asyncio.run(later())["status"] == "succeeded"


def delete(emulator: Emulator, made: RunaiWorkloadTrigger) -> None:
    workload = emulator.plane.world.workloads[made.workload["id"]]
    with emulator.plane.lock:
        workload.desired = "Deleted"
        emulator.plane.changed(workload)


@pytest.mark.slow
def test_a_secret_that_is_rotated_in_the_middle_is_read_anew(
    emulator: Emulator, connect: Callable[..., None]
) -> None:
    made = trigger(emulator, "long-t")

    async def rotate() -> dict[str, Any]:
        waiting = asyncio.create_task(first(made))
        await eventually(lambda: answers(emulator, 200) >= 2 or waiting.done())
        emulator.plane.tokens._secret = "rotated"
        emulator.plane.tokens.revoke()
        await eventually(lambda: answers(emulator, 401) >= 4 or waiting.done())
        assert not waiting.done(), "refused again and again, it asks again"
        connect(emulator.url, secret="rotated")
        before = answers(emulator, 200)
        await eventually(lambda: answers(emulator, 200) >= before + 2 or waiting.done())
        delete(emulator, made)
        return await waiting

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


def test_it_shows_the_timeline_while_it_waits_and_leaves_the_end_to_its_task(
    emulator: Emulator, supervised: Supervised
) -> None:
    made = with_task(trigger(emulator, "long-t"))
    supervisor = supervised("deferred")

    def shown() -> list[Any]:
        sent = (message for message in supervisor.asked if isinstance(message, SetXCom))
        return [message for message in sent if message.key == "runai_timeline"]

    async def until_deleted() -> dict[str, Any]:
        waiting = asyncio.create_task(first(made))
        await eventually(lambda: bool(shown()) or waiting.done())
        delete(emulator, made)
        return await waiting

    event = asyncio.run(until_deleted())
    message = shown()[-1]
    assert (message.dag_id, message.run_id, message.task_id) == ("dag", "run", "task")
    assert event["status"] == "gone"
    assert len(event["timeline"]) > len(message.value["timeline"])
    assert SECRET not in str(shown())


@pytest.mark.slow
def test_two_hundred_waits_share_one_client_one_login_and_few_lists(emulator: Emulator) -> None:
    person = Person(emulator)
    made = [trigger(emulator, f"long-{n}", policy={"poll_interval": 0.5}) for n in range(3)]
    known = [*(m.workload for m in made)]
    project = person.do(_project())
    known += [{**known[0], **_submit(person, project, n)} for n in range(197)]
    policy = {"poll_interval": 1.0, "when_suspended": "wait", "timeouts": {}}
    waits = [RunaiWorkloadTrigger("runai_default", w, policy, "stop", 0.0) for w in known]
    before = len(emulator.requests)

    def lists() -> int:
        return sum(seen.path == "/api/v1/workloads" for seen in emulator.requests[before:])

    async def together() -> float:
        began = asyncio.get_running_loop().time()
        tasks = [asyncio.create_task(first(one)) for one in waits]
        await eventually(lambda: lists() >= 6)
        assert len(sessions.shared().sessions) == 1
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return asyncio.get_running_loop().time() - began

    seconds = asyncio.run(together())
    seen = emulator.requests[before:]
    logins = [r for r in seen if r.path.endswith("/token")]
    histories = [r for r in seen if r.path.endswith("/history")]
    singles = [r for r in seen if r.path.startswith("/api/v1/workloads/") and r not in histories]
    assert len(logins) <= 3
    assert lists() <= 2 * seconds + 4
    assert len(histories) <= 3 * len(waits)
    assert len(singles) <= len(waits) / 2, "single reads are for what the list lacks"


def answers(emulator: Emulator, status: int) -> int:
    """How often the emulator has answered with a status."""
    return sum(seen.status == status for seen in emulator.requests)


def _project() -> Any:
    return organization.find_project("team-a")


def _submit(person: Person, project: Any, number: int) -> dict[str, str]:
    from airflow_runai.backends import control_plane

    body = {"spec": {"image": "x"}}
    found = person.do(control_plane.create(project, "trainings", f"long-many-{number}", body))
    return {"id": found.id, "name": found.name}
