"""The production line to the model's server: with logins, with streams, and with objects that nobody can read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from airflow_runai.backends import access
from tests.model.server import Server
from tests.model.transport import ModelTransport


class ModelLine:
    """
    The way of a crowd to the server.

    :ivar issued: how many credentials were obtained.
    :ivar spoiled: names of objects.
    """

    def __init__(self, server: Server) -> None:
        self._transport = ModelTransport(server)
        self._good = self.issued = 0
        self._held: access.ClusterAccess | None = None
        self.spoiled: list[str] = []

    def expire(self) -> None:
        """Accept no credentials that anybody holds."""
        self._held = self._obtain()
        self._good = self.issued + 1

    def client(self) -> httpx.AsyncClient:
        """Return a client as production makes it."""
        return access.async_client(self._held or self._obtain(), self._obtain)

    def _obtain(self) -> access.ClusterAccess:
        self.issued += 1
        return access.ClusterAccess("http://model", f"Bearer {self.issued}")

    @contextmanager
    def laid(self) -> Iterator[None]:
        """Let httpx's own transport lead to the server."""

        async def handle(_: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
            return await self._carry(request)

        with pytest.MonkeyPatch.context() as wire:
            wire.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
            yield

    async def _carry(self, request: httpx.Request) -> httpx.Response:
        if int(request.headers["authorization"].removeprefix("Bearer ")) < self._good:
            words = {"kind": "Status", "status": "Failure", "code": 401, "message": "Unauthorized"}
            return httpx.Response(401, json={**words, "reason": "Unauthorized"})
        response = await self._transport.handle_async_request(request)
        if request.url.params.get("watch") == "true" and response.is_success:
            lines = _GarbledLines(response, self.spoiled)
            return httpx.Response(response.status_code, headers=response.headers, stream=lines)
        if not self.spoiled or "json" not in response.headers.get("content-type", ""):
            return response
        body = json.loads(await response.aread())
        return httpx.Response(response.status_code, json=_garbled(body, self.spoiled))


class _GarbledLines(httpx.AsyncByteStream):
    def __init__(self, response: httpx.Response, spoiled: list[str]) -> None:
        self._response, self._spoiled = response, spoiled

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for line in self._response.aiter_lines():
            yield json.dumps(_garbled(json.loads(line), self._spoiled)).encode() + b"\n"

    async def aclose(self) -> None:
        await self._response.aclose()


def _garbled(body: Any, spoiled: list[str]) -> Any:
    """Return an answer with nonsense in place of what some objects are and have become."""
    if isinstance(body, list):
        return [_garbled(one, spoiled) for one in body]
    if not isinstance(body, dict):
        return body
    if (body.get("metadata") or {}).get("name") in spoiled:
        metadata = {**body["metadata"], "annotations": 5, "creationTimestamp": []}
        return {**body, "metadata": metadata, "spec": "?", "status": [7]}
    return {key: _garbled(one, spoiled) for key, one in body.items()}
