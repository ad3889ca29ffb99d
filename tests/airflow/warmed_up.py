"""
Imported before workers are forked: does once what each Airflow does at its first task.

Airflow builds its internal API at the first request, which takes seconds of processor time.
"""

from __future__ import annotations

import asyncio

import httpx
from airflow.sdk.execution_time.supervisor import in_process_api_server

import tests.airflow.crashing  # noqa: F401  # what workers run


async def _ask() -> None:
    transport = in_process_api_server().atransport
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        await client.get("/nothing")


asyncio.run(_ask())
