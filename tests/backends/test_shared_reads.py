from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from airflow_runai.backends import drivers
from airflow_runai.backends.shared_reads import MIN_WAITS, SharedReads
from airflow_runai.core.flow import Request
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotFound, RunaiError, Unreachable
from tests.backends.rest import item, reply
from tests.core.stage import Hand

Answer = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


class Plane:
    """Lists and reads ``count`` workloads over a pretended wire, and counts the calls."""

    def __init__(self, count: int = 100) -> None:
        self.items: list[Any] = [item(f"w-{i}") for i in range(count)]
        self.lists = self.reads = 0
        self.list_status = 200
        self.asked = asyncio.Event()
        self.list_gate: asyncio.Event | None = None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/workloads":
            self.lists += 1
            self.asked.set()
            if self.list_gate:
                await self.list_gate.wait()
            await asyncio.sleep(0.01)
            return httpx.Response(self.list_status, content=json.dumps({"workloads": self.items}))
        self.reads += 1
        wanted = request.url.path.rsplit("/", 1)[1]
        found = next((i for i in self.items if isinstance(i, dict) and i.get("id") == wanted), None)
        if found is None:
            return httpx.Response(404, json={"message": "not found"})
        return httpx.Response(200, content=json.dumps(found))

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self), base_url="http://plane/")


def joined(waits: int, max_age: float = 15.0) -> SharedReads:
    shared = SharedReads("4501", max_age)
    for _ in range(waits):
        shared.join()
    return shared


def read_all(plane: Plane, shared: SharedReads, count: int, rounds: int = 1) -> list[Any]:
    async def main() -> list[Any]:
        async with plane.client() as client:
            found: list[Any] = []
            for _ in range(rounds):
                reads = (drivers.arun(shared.read(f"w-{i}"), client) for i in range(count))
                found = await asyncio.gather(*reads, return_exceptions=True)
            return found

    return asyncio.run(main())


def test_one_list_call_serves_a_hundred_waits() -> None:
    plane = Plane()
    found = read_all(plane, joined(100), 100, rounds=3)
    assert [w.id for w in found] == [f"w-{i}" for i in range(100)]
    assert (plane.lists, plane.reads) == (1, 0)


def test_a_list_that_is_too_old_is_asked_for_again_once() -> None:
    plane, shared, hand = Plane(3), joined(3), Hand()

    def answer(request: Request) -> Any:
        plane.lists += request.path == "/api/v1/workloads"
        return reply({"workloads": plane.items})

    hand.answer = answer
    for passed in (0.0, 14.0, 1.0, 14.9):
        hand.now += passed
        for i in range(3):
            hand.run(shared.read(f"w-{i}"))
    assert plane.lists == 2


def test_a_clock_that_was_set_back_does_not_keep_an_old_list_alive() -> None:
    shared, hand = joined(3), Hand(answer=lambda request: reply({"workloads": [item("w-0")]}))
    hand.run(shared.read("w-0"))
    hand.now -= 3600
    hand.run(shared.read("w-0"))
    assert len(hand.asked) == 2


def test_few_waits_read_for_themselves() -> None:
    plane = Plane(MIN_WAITS - 1)
    read_all(plane, joined(MIN_WAITS - 1), MIN_WAITS - 1)
    assert (plane.lists, plane.reads) == (0, MIN_WAITS - 1)


@pytest.mark.parametrize(
    "broken",
    [
        {"id": "w-7", "phase": 5},
        item("w-7", name="a\0"),
        {"phase": "Running"},
        item("\ud83d"),
        None,
        "odd",
    ],
)
def test_a_broken_row_hurts_one_wait_only(broken: Any) -> None:
    plane = Plane(10)
    plane.items[7] = broken
    found = read_all(plane, joined(10), 10)
    assert isinstance(found[7], RunaiError)
    assert [w.id for i, w in enumerate(found) if i != 7] == [f"w-{i}" for i in range(10) if i != 7]
    assert (plane.lists, plane.reads) == (1, 1)


def test_what_is_not_listed_is_read_by_itself() -> None:
    plane = Plane(4)
    found = read_all(plane, joined(5), 5)
    assert isinstance(found[4], NotFound)
    assert plane.reads == 1


@pytest.mark.parametrize("phase", ["Completed", "Failed"])
def test_an_end_is_read_from_the_workload_itself(phase: str) -> None:
    plane = Plane(3)
    plane.items[1] = item("w-1", phase)
    assert read_all(plane, joined(3), 3)[1].phase == phase
    assert plane.reads == 1


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
def test_a_list_that_fails_costs_calls_but_blinds_nobody(status: int) -> None:
    plane = Plane(20)
    plane.list_status = status
    found = read_all(plane, joined(20), 20, rounds=2)
    assert all(isinstance(w, Workload) for w in found)
    assert (plane.lists, plane.reads) == (1, 40)


def test_whoever_asks_for_the_list_and_is_cancelled_leaves_it_to_the_others() -> None:
    async def main() -> tuple[int, list[Workload]]:
        plane, shared = Plane(5), joined(5)
        plane.list_gate = asyncio.Event()
        async with plane.client() as client:
            owner = asyncio.create_task(drivers.arun(shared.read("w-0"), client))
            await plane.asked.wait()
            others = [
                asyncio.create_task(drivers.arun(shared.read(f"w-{i}"), client))
                for i in range(1, 5)
            ]
            await asyncio.sleep(0)
            owner.cancel()
            plane.list_gate.set()
            with pytest.raises(asyncio.CancelledError):
                await owner
            found = await asyncio.gather(*others)
            return plane.lists, list(found)

    lists, found = asyncio.run(main())
    assert lists == 2
    assert [w.id for w in found] == ["w-1", "w-2", "w-3", "w-4"]


def test_an_unreachable_control_plane_is_told_to_every_wait() -> None:
    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    async def main() -> list[Any]:
        shared = joined(3)
        async with httpx.AsyncClient(
            transport=httpx.MockTransport(down), base_url="http://plane/"
        ) as client:
            reads = (drivers.arun(shared.read(f"w-{i}"), client) for i in range(3))
            return await asyncio.gather(*reads, return_exceptions=True)

    assert [type(error) for error in asyncio.run(main())] == [Unreachable] * 3


def test_waits_are_counted() -> None:
    shared = joined(2)
    assert (shared.leave(), shared.leave()) == (1, 0)
