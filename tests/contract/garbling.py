"""A way to the embedded Run:ai, on which rows of some workloads become unreadable."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import httpx

from airflow_runai.emulator.application import application
from airflow_runai.emulator.control_plane import ControlPlane


class GarblingLine(httpx.AsyncBaseTransport):
    """
    Asks an emulator in this process, without a socket.

    :param spoiled: names of workloads.
    """

    def __init__(self, plane: ControlPlane, spoiled: Collection[str]) -> None:
        self._inner = httpx.ASGITransport(application(plane))
        self._spoiled = spoiled

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        response = await self._inner.handle_async_request(request)
        content = await response.aread()
        if self._spoiled and response.headers.get("content-type") == "application/json":
            content = json.dumps(self._garbled(json.loads(content))).encode()
        kept = ("content-type", "date", "retry-after")
        headers = {name: response.headers[name] for name in kept if name in response.headers}
        return httpx.Response(response.status_code, headers=headers, content=content)

    def _garbled(self, body: Any) -> Any:
        if isinstance(body, list):
            return [self._garbled(one) for one in body]
        if not isinstance(body, dict):
            return body
        if body.get("name") in self._spoiled:
            return {**body, "phase": 5, "actualPhase": [], "createdAt": {}}
        return {key: self._garbled(one) for key, one in body.items()}
