"""
The HTTP side: routes, tokens, faults, and the book of requests.

Endpoints are plain functions of the control plane and a call; everything about the wire happens
here, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from airflow_runai.emulator import (
    routes_control,
    routes_limits,
    routes_organization,
    routes_page,
    routes_tokens,
)
from airflow_runai.emulator import routes_watch as watch
from airflow_runai.emulator import routes_workloads as workloads
from airflow_runai.emulator.colours import coloured
from airflow_runai.emulator.connections import cut
from airflow_runai.emulator.control_plane import ControlPlane, RecordedRequest
from airflow_runai.emulator.faults import Fault
from airflow_runai.emulator.hosts import HostCheckMiddleware, needs_host_check
from airflow_runai.emulator.page import PATHS, page
from airflow_runai.emulator.replies import ApiCall, ApiError, ApiReply

Endpoint = Callable[[ControlPlane, ApiCall], ApiReply]

_V1 = "/api/v1"
_ROUTES: list[tuple[str, str, Endpoint]] = [
    ("POST", f"{_V1}/token", routes_tokens.token_v1),
    ("POST", "/api/v2/token", routes_tokens.token_v2),
    ("GET", f"{_V1}/clusters", routes_organization.clusters),
    ("GET", f"{_V1}/org-unit/projects", routes_organization.projects),
    ("GET", f"{_V1}/org-unit/projects/{{id}}", routes_organization.project),
    ("GET", f"{_V1}/org-unit/departments", routes_organization.departments),
    ("GET", f"{_V1}/node-pools", routes_organization.node_pools),
    ("GET", f"{_V1}/nodes/telemetry", routes_limits.nodes_telemetry),
    ("GET", f"{_V1}/workload-types", routes_organization.workload_types),
    ("GET", f"{_V1}/workload-priorities", routes_organization.workload_priorities),
    ("GET", f"{_V1}/workloads", watch.workloads),
    ("GET", f"{_V1}/workloads/count", watch.count),
    ("GET", f"{_V1}/workloads/pods", watch.pods),
    ("POST", f"{_V1}/workloads/batch", workloads.batch),
    ("GET", f"{_V1}/workloads/{{id}}", watch.workload),
    ("GET", f"{_V1}/workloads/{{id}}/history", watch.history),
    ("GET", f"{_V1}/workloads/{{id}}/events", watch.events),
    ("GET", f"{_V1}/workloads/{{id}}/pods", watch.workload_pods),
    ("GET", f"{_V1}/workloads/{{id}}/metrics", watch.metrics),
    ("POST", "/_emulator/faults", routes_control.add_fault),
    ("GET", "/_emulator/faults", routes_control.faults),
    ("DELETE", "/_emulator/faults", routes_control.clear_faults),
    ("POST", "/_emulator/clock", routes_control.move_clock),
    ("GET", "/_emulator/workloads/{name}/logs", routes_control.logs),
    ("POST", "/_emulator/workloads/{name}/preempt", routes_control.preempt),
    ("GET", "/_emulator/requests", routes_control.requests),
    ("GET", "/_emulator/overview", routes_page.overview),
    ("GET", "/_emulator/workloads/{name}/story", routes_page.story),
]
_KINDS = ("trainings", "distributed")
_KIND_ROUTES: list[tuple[str, str, Endpoint]] = [
    ("POST", "", workloads.create),
    ("GET", "/{id}", workloads.read),
    ("DELETE", "/{id}", workloads.delete),
    ("POST", "/{id}/suspend", workloads.suspend),
    ("POST", "/{id}/resume", workloads.resume),
]


def application(plane: ControlPlane) -> Starlette:
    """Build the ASGI application of a control plane."""
    table = [
        (method, f"{_V1}/workloads/{kind}{path}", endpoint, {"kind": kind})
        for kind in _KINDS
        for method, path, endpoint in _KIND_ROUTES
    ] + [(method, path, endpoint, {}) for method, path, endpoint in _ROUTES]
    table += [
        ("GET", f"/api/v2/policy/{kind}", routes_limits.policy, {"kind": kind}) for kind in _KINDS
    ]
    routes = [
        Route(path, _Handler(plane, endpoint, fixed).answer, methods=[method])
        for method, path, endpoint, fixed in table
    ]
    routes += [Route(path, page, methods=["GET"]) for path in PATHS]
    guard = [Middleware(HostCheckMiddleware)] if needs_host_check(plane.settings) else []
    return Starlette(routes=routes, middleware=guard, exception_handlers={404: _lost, 405: _lost})


async def _lost(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return _json(
        ApiReply({"code": status, "message": "not found", "details": request.url.path}, status)
    )


class _Handler:
    """Answers the calls of one route."""

    def __init__(self, plane: ControlPlane, endpoint: Endpoint, fixed: dict[str, str]) -> None:
        self._plane = plane
        self._endpoint = endpoint
        self._fixed = fixed
        self._open = endpoint in (routes_tokens.token_v1, routes_tokens.token_v2)

    async def answer(self, request: Request) -> Response:
        """Answer one request, or let a planned fault spoil it."""
        path, method = request.url.path, request.method
        own = path.startswith("/_emulator")
        faults = [] if own else self._plane.faults.take(method, path)
        response = await self._spoiled(request, faults)
        skew = next((fault.seconds for fault in faults if fault.kind == "skew"), 0.0)
        response.headers["Date"] = formatdate(self._plane.clock.now() + skew, usegmt=True)
        status = 0 if isinstance(response, _Nothing) else response.status_code
        self._plane.requests.append(RecordedRequest(method, path, request.url.query, status))
        return response

    async def _spoiled(self, request: Request, faults: list[Fault]) -> Response:
        kinds = {fault.kind: fault for fault in faults}
        if "slow" in kinds:
            await request.body()  # what has been sent is done, even if its sender is dead by then
            await asyncio.sleep(kinds["slow"].pause())
        if "reset" in kinds:
            return _Nothing(reset=True)
        for kind in ("status", "html"):
            if kind in kinds:
                return _refusal(kinds[kind])
        if "deliver_late" in kinds:
            with contextlib.suppress(ApiError):  # what cannot be read never arrives
                await self._deliver_late(request, kinds["deliver_late"].seconds)
            return _Nothing(reset=False)
        reply = await self._reply(request, kinds)
        response = _json(ApiReply(coloured(reply.payload, kinds), reply.status))
        if "lose_reply" in kinds:
            await asyncio.sleep(kinds["lose_reply"].pause())
            return _Nothing(reset=False)
        return response

    async def _reply(self, request: Request, kinds: dict[str, Fault]) -> ApiReply:
        try:
            return self._done(await self._read(request), kinds)
        except ApiError as refused:
            return ApiReply(refused.body, refused.status)

    async def _deliver_late(self, request: Request, seconds: float) -> None:
        call = await self._read(request)

        def deliver() -> None:
            try:
                status = self._done(call, {}).status
            except ApiError as refused:
                status = refused.status
            self._plane.requests.append(
                RecordedRequest(call.method, call.path, request.url.query, status)
            )

        self._plane.later(seconds, deliver)

    async def _read(self, request: Request) -> ApiCall:
        if not self._open and not self._plane.tokens.accepts(request.headers.get("authorization")):
            raise ApiError(401, "Unauthorized", "the token is missing or not valid")
        params = {**request.path_params, **self._fixed}
        return ApiCall(
            request.method,
            request.url.path,
            params,
            dict(request.query_params),
            await _body(request),
        )

    def _done(self, call: ApiCall, kinds: dict[str, Fault]) -> ApiReply:
        lag = {"staleness": str(kinds["stale_list"].seconds)} if "stale_list" in kinds else {}
        hidden = {"hidden": kinds["hide"].name} if "hide" in kinds else {}
        call = replace(call, params={**call.params, **lag, **hidden})
        with self._plane.lock:
            self._look(call)
            self._hide(call, kinds)
            return self._endpoint(self._plane, call)

    def _look(self, call: ApiCall) -> None:
        pace = self._plane.settings.seconds_per_look
        if pace and call.method == "GET" and call.path.startswith(f"{_V1}/workloads"):
            self._plane.advance(pace)

    def _hide(self, call: ApiCall, kinds: dict[str, Fault]) -> None:
        """Answer 404 for a workload that is not to be seen, yet or at all."""
        workload = self._plane.world.workloads.get(call.params.get("id", ""))
        if workload is None:
            return
        young = (
            "hide_new" in kinds
            and self._plane.clock.now() - workload.created_at < kinds["hide_new"].seconds
        )
        if young or ("hide" in kinds and fnmatchcase(workload.name, kinds["hide"].name)):
            raise ApiError(404, f"workload {workload.id} not found")


class _Nothing(Response):
    """No answer at all: the connection is closed or reset."""

    def __init__(self, reset: bool) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cut(scope["client"], scope["server"], self._reset)
        # The server complains of a missing answer unless it knows by then that nobody is there.
        while (await receive())["type"] != "http.disconnect":
            pass


async def _body(request: Request) -> Any:
    content = await request.body()
    if not content:
        return None
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(content.decode("utf-8", "replace")))
    try:
        return json.loads(content)
    except ValueError as error:
        raise ApiError(400, "request body is not JSON", str(error)) from error


def _json(reply: ApiReply) -> Response:
    if reply.payload is None:
        return Response(status_code=reply.status)
    content = json.dumps(reply.payload).encode()
    return Response(content, reply.status, media_type="application/json")


def _refusal(fault: Fault) -> Response:
    if fault.kind == "html":
        status = 502 if fault.status == 503 else fault.status
        return HTMLResponse(f"<html><body><h1>{status} Bad Gateway</h1></body></html>", status)
    response = _json(
        ApiReply({"code": fault.status, "message": "planned fault", "details": ""}, fault.status)
    )
    if fault.retry_after is not None:
        response.headers["Retry-After"] = f"{fault.retry_after:g}"
    return response
